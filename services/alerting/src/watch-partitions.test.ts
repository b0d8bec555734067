import { AUDIT_EVENT_SCHEMA_ID, completeEvent, encodeDatum, frame } from '@cairn/event';
import { Failure } from '@cairn/failure';
import type { RecordDraft } from '@cairn/recorder';
import type { RuleSet } from '@cairn/rules';
import { type AssignedPartition, type LogRecord, type RawSource, recordOf } from '@cairn/runtime';
import { describe, expect, test } from '@jest/globals';
import { RULES, rulesOf } from '../test/rules.ts';
import { type WindowsInMemory, windowsInMemory } from '../test/windows-in-memory.ts';
import { RecordReader } from './read-records.ts';
import { watchPartitions } from './watch-partitions.ts';
import type { CountedBatch, PartitionWindows, Windows } from './windows.ts';

const BEGIN_MS = 1_795_000_000_000;
const MINUTE = 60_000_000;
const NAME = 'audit.events.standard/3';
const rules = rulesOf();

/** A log of one partition: each record once to whoever reads it, and nobody waits. */
class Log {
  readonly records: LogRecord[] = [];
  committed: { readonly offset: number; readonly metadata: string } | undefined;
  readonly #readers = new Set<() => void>();
  readonly #partition: number;

  constructor(partition = 3) {
    this.#partition = partition;
  }

  /** Denied calls of one agent of one gateway, by their sequence numbers; three of them raise an alert. */
  append(...seqs: readonly number[]): void {
    for (const seq of seqs) this.records.push(recordOf(this.records.length, denied(seq), BEGIN_MS + seq));
    for (const read of this.#readers) read();
  }

  /** A member that has the partition from when it runs. */
  source(): RawSource & { lose(): void } {
    const lost = new AbortController();
    let at: number | undefined;
    let read = (): void => {};
    return {
      lose: () => lost.abort(),
      run: async (sink) => {
        const partition: AssignedPartition = {
          ...{ topic: 'audit.events.standard', partition: this.#partition, partitions: 4, generation: 1 },
          lost: lost.signal,
          committed: async () => this.committed ?? { offset: undefined, metadata: '' },
          bounds: async () => ({ first: 0, end: this.records.length }),
          commit: async (offset, metadata) => {
            if (lost.signal.aborted)
              throw new Failure({ code: 'log.fenced', retry: 'no', message: 'taken away' });
            this.committed = { offset, metadata };
          },
          readFrom(offset) {
            at = offset;
            setImmediate(read);
          },
          pause: () => {},
          resume: () => {},
        };
        read = () => {
          if (at === undefined || lost.signal.aborted || at >= this.records.length) return;
          const first = at;
          at = this.records.length;
          const records = this.records.slice(first);
          sink.onBatch(partition, { first, last: at - 1, records, highWatermark: at });
        };
        this.#readers.add(read);
        sink.onAssigned(partition);
      },
      [Symbol.asyncDispose]: async () => {
        lost.abort();
        this.#readers.delete(read);
      },
    };
  }
}

function denied(seq: number): Uint8Array {
  const id = new Uint8Array(16).fill(seq);
  const draft = {
    ...({
      org_id: 'acme',
      gateway_id: 'gw',
      kind: 'tool_call',
      phase: 'single',
      capture: 'gateway',
    } as const),
    ...({ agent_id: 'agent', tool_name: 'tool', decision: 'deny' } as const),
    timestamp: (BEGIN_MS + seq) * 1_000,
  };
  const chain = { epoch: 1, seq, prev_hash: new Uint8Array(32), key_id: '00000000', signature: null };
  return frame(AUDIT_EVENT_SCHEMA_ID, encodeDatum({ ...completeEvent(draft, { event_id: id }), ...chain }));
}

/** What becomes of one call of `add`. */
type Fate = (apply: () => Promise<unknown>) => Promise<void>;

interface Stage {
  readonly windows: WindowsInMemory;
  /** Batches that were applied, and how many denials of the agent each added. */
  readonly applied: {
    readonly expected: number | undefined;
    readonly last: number;
    readonly denials: number;
  }[];
  /** For the next calls of `add`, in order; the ones after these are applied. */
  readonly fates: Fate[];
  /** Ids of alerts that were recorded as opened. */
  readonly opened: string[];
  readonly troubles: string[];
}

const openStage = (): Stage => ({
  windows: windowsInMemory(MINUTE),
  ...{ applied: [], fates: [], opened: [], troubles: [] },
});

const watch = (
  stage: Stage,
  source: RawSource,
  more: { readonly recordsMax?: number; readonly rulesNow?: () => RuleSet } = {},
) =>
  watchPartitions({
    source,
    windows: recording(stage),
    recorder: {
      async record({ method, detail }: RecordDraft) {
        if (method === 'alert/opened') stage.opened.push((JSON.parse(detail!) as { rule: string }).rule);
      },
    },
    promise: () => {},
    rulesNow: () => {
      const now = more.rulesNow?.() ?? rules;
      return { rules: now, reader: new RecordReader(now.fieldsRead) };
    },
    bounds: { lateness: MINUTE, ahead: MINUTE },
    ...{ quiet: MINUTE, closeGrace: MINUTE, backlogMsMax: BEGIN_MS, bufferBytesMax: 1 << 20 },
    releasedIdOf: (id) => id,
    offsetAt: async () => 0,
    spanMs: () => 3_600_000,
    nowMs: () => BEGIN_MS,
    limits: { recordsMax: more.recordsMax ?? 2, bytesMax: 1 << 20, ageMsMax: 1 },
    endEveryMs: 1_000_000,
    retry: { firstMs: 1, mostMs: 1 },
    onOpened: () => {},
    onWatched: () => {},
    onAlert: () => {},
    onEnded: () => {},
    onTrouble: (_, error) => stage.troubles.push(error instanceof Failure ? error.code : String(error)),
  });

function recording({ windows, applied, fates }: Stage): Windows {
  return {
    async take(partition): Promise<PartitionWindows> {
      const owned = await windows.take(partition);
      const add = async (batch: CountedBatch) => {
        let views: Awaited<ReturnType<PartitionWindows['add']>> = [];
        const apply = async (): Promise<void> => {
          views = await owned.add(batch);
          const { expected, last } = batch;
          applied.push({ expected, last, denials: denialsOf(batch) });
        };
        await (fates.shift() ?? ((act) => act() as Promise<void>))(apply);
        return views;
      };
      return { ...owned, add };
    },
  };
}

const denialsOf = ({ additions }: CountedBatch): number =>
  additions
    .filter(({ correlation }) => correlation.id === 'repeated-denials')
    .flatMap(({ cells }) => cells)
    .reduce((sum, { count }) => sum + count, 0);

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; look < 2_000; look += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error('it did not come to that');
}

const unanswered = (): Failure =>
  new Failure({ code: 'redis.unreachable', retry: 'yes', message: 'no answer came' });

describe('a chunk on its way to the windows', () => {
  /** Resolves `arrived` when it is on its way, and goes on when it is released. */
  const held = (fate: Fate) => {
    const arrived = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const heldFate: Fate = async (apply) => {
      arrived.resolve();
      await release.promise;
      await fate(apply);
    };
    return { fate: heldFate, arrived: arrived.promise, release: release.resolve };
  };

  test.each([
    ['was not counted', async () => Promise.reject(unanswered())],
    ['was counted, which nobody answered', (apply) => apply().then(() => Promise.reject(unanswered()))],
  ] satisfies [string, Fate][])(
    'that %s: the next one, folded meanwhile, is thrown away, and each event counts once',
    async (_, fate) => {
      const stage = openStage();
      const log = new Log();
      const first = held(fate);
      stage.fates.push(first.fate);
      await using _watching = await watch(stage, log.source());
      log.append(0, 1);
      await first.arrived;
      // Two chunks more are folded while the first is on its way; one record of each was sent before.
      log.append(1, 2, 3, 2, 4);
      first.release();
      await until(() => log.committed?.offset === 7);
      expect(stage.troubles).toEqual(['redis.unreachable']);
      expect(stage.applied.reduce((sum, { denials }) => sum + denials, 0)).toBe(5);
      // Each batch was counted upon the one before it and upon no other.
      const lasts = stage.applied.map(({ last }) => last);
      expect(stage.applied.map(({ expected }) => expected)).toEqual([undefined, ...lasts.slice(0, -1)]);
      expect(stage.opened).toEqual(['repeated-denials']);
    },
  );

  test('knows where its streams stand for the next one: what was sent twice counts once', async () => {
    const stage = openStage();
    const log = new Log();
    const first = held(async (apply) => void (await apply()));
    stage.fates.push(first.fate);
    await using _watching = await watch(stage, log.source());
    log.append(0, 1);
    await first.arrived;
    log.append(0, 1, 2, 3);
    first.release();
    await until(() => log.committed?.offset === 6);
    expect(stage.applied.map(({ denials }) => denials)).toEqual([2, 0, 2]);
    expect(stage.troubles).toEqual([]);
  });

  test('is counted by whoever took the partition over, when that was before it arrived, and by nobody else', async () => {
    const stage = openStage();
    const log = new Log();
    const first = held(async (apply) => void (await apply()));
    stage.fates.push(first.fate);
    const source = log.source();
    await using _before = await watch(stage, source);
    log.append(0, 1);
    await first.arrived;
    log.append(2, 3);
    // Taken over while one chunk is on its way and one is folded; the old owner hears of it late.
    await using _after = await watch(stage, log.source());
    await until(() => log.committed?.offset === 4);
    first.release();
    await until(() => stage.troubles.length > 0);
    source.lose();
    expect(stage.troubles[0]).toBe('windows.fenced');
    expect(stage.applied.map(({ expected, denials }) => [expected, denials])).toEqual([
      [undefined, 2],
      [1, 2],
    ]);
    expect(stage.opened).toEqual(['repeated-denials']);
  });

  test('is judged by the rules that were in force when it began', async () => {
    const stage = openStage();
    const log = new Log();
    let now = rules;
    const first = held(async (apply) => void (await apply()));
    stage.fates.push(first.fate);
    await using _watching = await watch(stage, log.source(), { recordsMax: 3, rulesNow: () => now });
    log.append(0, 1, 2);
    await first.arrived;
    now = rulesOf(RULES.replace('{ gte: 3 }', '{ gte: 300 }').replace('action: delete', 'decision: deny'));
    first.release();
    log.append(3, 4, 5);
    await until(() => log.committed?.offset === 6);
    expect(stage.opened).toEqual(['repeated-denials', 'deletion']);
  });
});

describe('records that are looked at again', () => {
  /** A process that reads all in one chunk, counts it up to this offset with the last call that is left to it, and is heard no more. */
  const dieAfterCounting = async (stage: Stage, log: Log, last: number): Promise<void> => {
    const source = log.source();
    stage.fates.push(async (apply) => {
      await apply();
      source.lose();
      throw unanswered();
    });
    await using _dying = await watch(stage, source, { recordsMax: 10 });
    await until(() => stage.applied.at(-1)?.last === last);
  };

  test('are committed together, as they were counted: of those in their midst nobody knows where streams stood', async () => {
    const stage = openStage();
    const log = new Log();
    const commits: number[] = [];
    log.append(0, 1, 0, 1);
    await dieAfterCounting(stage, log, 3);
    await using _watching = await watch(stage, recordingCommits(log.source(), commits), { recordsMax: 1 });
    log.append(2);
    await until(() => log.committed?.offset === 5);
    expect(commits).toEqual([4, 5]);
    expect(stage.applied.map(({ denials }) => denials)).toEqual([2, 1]);
  });

  test('that were committed, when windows are made again, do not hide the alert that later ones raise', async () => {
    const stage = openStage();
    const log = new Log();
    log.append(0, 1);
    const first = log.source();
    const before = await watch(stage, first);
    await until(() => log.committed?.offset === 2);
    await before[Symbol.asyncDispose]();
    stage.windows.lose();
    // The third raises the alert; it is in the windows when the process dies, and was not told.
    stage.fates.push(async (apply) => void (await apply()));
    log.append(2);
    await dieAfterCounting(stage, log, 2);
    expect(stage.opened).toEqual([]);
    await using _watching = await watch(stage, log.source());
    await until(() => log.committed?.offset === 3);
    expect(stage.opened).toEqual(['repeated-denials']);
    expect((await stage.windows.take(NAME)).isWhole).toBe(true);
  });
});

describe('a backlog', () => {
  test('begins with a part of a chunk, by the partition, so that those of all partitions are whole at different times', async () => {
    const lasts = async (partition: number): Promise<number[]> => {
      const stage = openStage();
      const log = new Log(partition);
      await using _watching = await watch(stage, log.source(), { recordsMax: 8 });
      log.append(...Array.from({ length: 24 }, (_, seq) => seq));
      await until(() => log.committed?.offset === 24);
      return stage.applied.map(({ last }) => last);
    };
    expect(await lasts(0)).toEqual([1, 9, 17, 23]);
    expect(await lasts(1)).toEqual([3, 11, 19, 23]);
    expect(await lasts(3)).toEqual([7, 15, 23]);
  });
});

/** Takes note of what a member commits. */
function recordingCommits(source: RawSource, commits: number[]): RawSource {
  return {
    run: ({ onAssigned, onBatch }) => {
      const seen = new Map<AssignedPartition, AssignedPartition>();
      return source.run({
        onAssigned(partition) {
          const commit = async (offset: number, metadata: string): Promise<void> => {
            await partition.commit(offset, metadata);
            commits.push(offset);
          };
          seen.set(partition, { ...partition, commit });
          onAssigned(seen.get(partition)!);
        },
        onBatch: (partition, batch) => onBatch(seen.get(partition)!, batch),
      });
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
