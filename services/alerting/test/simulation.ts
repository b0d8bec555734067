import {
  AUDIT_EVENT_SCHEMA_ID,
  completeEvent,
  encodeDatum,
  formatUuid,
  frame,
  partitionOf,
} from '@cairn/event';
import { Failure } from '@cairn/failure';
import { Random } from '@cairn/traffic';
import type { Alert } from '@cairn/webhook';
import { LogInMemory } from '../../../packages/runtime/test/log-in-memory.ts';
import { SimulatedClock } from '../../../packages/runtime/test/simulated-clock.ts';
import { SimulatedProcess } from '../../../packages/runtime/test/simulated-process.ts';
import { RecordReader } from '../src/read-records.ts';
import { watchPartitions } from '../src/watch-partitions.ts';
import type { Windows } from '../src/windows.ts';
import { RULES, rulesOf } from './rules.ts';
import { type WindowsInMemory, windowsInMemory } from './windows-in-memory.ts';

/** How one run went: nothing in `wrong` when every promise held. */
export interface Verdict {
  readonly seed: number;
  readonly wrong: readonly string[];
  /** What happened, in order; for a run that went wrong. */
  readonly story: readonly string[];
  readonly troubles: number;
  /** Alerts that were recorded more than once, under one id. */
  readonly repeats: number;
  /** Times that the windows were made again from the log. */
  readonly rebuilds: number;
  readonly alerts: number;
}

const PARTITIONS = 2;
const GATEWAYS = 4;
const MINUTE = 60_000_000;
const LATENESS = MINUTE;
const QUIET = MINUTE;
/** When the last event has long passed, milliseconds since 1970: the simulated time begins there. */
const BEGIN_MS = 1_795_000_000_000;
const SPAN_MS = (2 * (MINUTE + LATENESS + MINUTE)) / 1_000;

const rules = rulesOf(RULES);
const inForce = { rules, reader: new RecordReader(rules.fieldsRead) };

/**
 * Alerting, as it is, over a log, windows and time in memory, in bad weather: requests and answers are lost and late, processes
 * die and freeze anywhere between two steps, partitions wander, and the windows are lost. Then the weather clears, everything
 * is started once more, and the alerts are held against those of a run in which nothing happened. The same seed gives the same
 * run.
 */
export async function simulate(seed: number): Promise<Verdict> {
  const calm = await run(seed, false);
  const rough = await run(seed, true);
  const wrong = [...rough.wrong];
  if (calm.wrong.length > 0) wrong.push(`without faults: ${calm.wrong.join('; ')}`);
  const compare = (what: string, expected: ReadonlySet<string>, found: ReadonlySet<string>): void => {
    for (const id of expected.difference(found)) wrong.push(`${what} ${id} is missing`);
    for (const id of found.difference(expected)) wrong.push(`${what} ${id} is there without a cause`);
  };
  compare('opening', calm.opened, rough.opened);
  compare('promise of', calm.opened, rough.promised);
  // An alert whose beginning was forgotten with the windows may end more than once; none stays open.
  for (const key of calm.endedKeys.difference(rough.endedKeys)) wrong.push(`alert ${key} did not end`);
  return { ...rough, seed, wrong, alerts: calm.opened.size };
}

async function run(seed: number, isRough: boolean) {
  const random = new Random(seed);
  const clock = new SimulatedClock(() => random.unit());
  const log = new LogInMemory(clock, PARTITIONS);
  fillLog(log, new Random(seed), seed);
  const windows = windowsInMemory(LATENESS);
  const story: string[] = [];
  const tell = (text: string): void => void story.push(`${clock.nowMs().toFixed(1)} ${text}`);
  const opened = new Set<string>();
  const promised = new Set<string>();
  const endedKeys = new Set<string>();
  const wrong: string[] = [];
  let bad = isRough;
  let troubles = 0;
  let repeats = 0;
  let rebuilds = 0;

  const start = (name: string) => {
    const simulated = new SimulatedProcess({
      name,
      clock,
      random,
      tell,
      isBad: () => bad,
      expel: () => log.expel(name),
    });
    const travel = () => simulated.travel();
    const lost = (what: string, code = 'redis.unreachable'): Failure =>
      new Failure({ code, retry: 'later', message: `${what}: no answer came` });
    const once = async <T>(what: string, apply: () => Promise<T>): Promise<T> => {
      await travel();
      if (simulated.strikes(0.02)) throw lost(what);
      const answer = await apply();
      await travel();
      if (simulated.strikes(0.02)) throw lost(`${what}, which was applied`);
      return answer;
    };
    const watching = watchPartitions({
      source: log.source(name, simulated.member(20)),
      windows: inWeather(windows, once),
      recorder: {
        record: (draft) =>
          once('record', async () => {
            const id = formatUuid(draft.event_id!);
            const detail = JSON.parse(draft.detail!) as { key: string };
            if (draft.method === 'alert/ended') {
              endedKeys.add(detail.key);
              return;
            }
            if (opened.has(id)) repeats += 1;
            opened.add(id);
          }),
      },
      promise(alerts: readonly Alert[]) {
        if (simulated.strikes(0.02)) throw lost('promise', 'deliveries.unusable');
        for (const { id, what } of alerts) {
          if (what !== 'opened') continue;
          if (!opened.has(id)) wrong.push(`${id} was promised and is not on disk`);
          promised.add(id);
        }
        if (simulated.strikes(0.02)) throw lost('promise, which was kept', 'deliveries.unusable');
      },
      rulesNow: () => inForce,
      bounds: { lateness: LATENESS, ahead: MINUTE },
      quiet: QUIET,
      releasedIdOf: (id) => id,
      offsetAt: async (_, partition, timeMs) => {
        const records = log.partitions[partition]!;
        const at = records.findIndex(({ appendedAtMs }) => appendedAtMs >= timeMs);
        return at < 0 ? records.length : at;
      },
      spanMs: () => SPAN_MS,
      backlogMsMax: BEGIN_MS,
      nowMs: () => BEGIN_MS + clock.nowMs(),
      limits: { recordsMax: 1 + random.below(30), bytesMax: 1 << 20, ageMsMax: random.below(8) },
      bufferBytesMax: 16_000,
      endEveryMs: 5 + random.below(20),
      closeGrace: MINUTE,
      retry: { firstMs: 2, mostMs: 40 },
      clock,
      onOpened({ partition }, { start: from, counted, told, rebuilds: again }) {
        if (again) rebuilds += 1;
        tell(`${name}: partition ${partition} opened at ${from}, counted ${counted}, told ${told}, ${again}`);
      },
      onWatched: () => {},
      onAlert: ({ what, id }) => tell(`${name}: ${what} ${id}`),
      onEnded: () => {},
      onTrouble(partition, error) {
        troubles += 1;
        if (!(error instanceof Failure))
          wrong.push(`MISTAKE ${error instanceof Error ? error.stack : error}`);
        tell(
          `${name}: ${partition?.partition ?? 'ends'} in trouble: ${error instanceof Error ? error.message : error}`,
        );
      },
    });
    return {
      kill: () => simulated.kill(),
      freeze: (ms: number) => simulated.freeze(ms),
      async stop() {
        await (await watching)[Symbol.asyncDispose]();
      },
    };
  };

  let born = 0;
  const alive = new Set([start(`p${born++}`)]);
  const mischief = isRough ? 3 + random.below(8) : 0;
  for (let act = 0; act < mischief; act += 1) {
    await clock.runUntil(() => false, 5 + random.unit() * 100);
    const victim = [...alive][random.below(alive.size)];
    switch (random.below(5)) {
      case 0:
      case 1:
        if (victim) {
          victim.kill();
          alive.delete(victim);
        }
        alive.add(start(`p${born++}`));
        break;
      case 2:
        victim?.freeze(random.unit() * 120);
        break;
      case 3:
        if (seed % 2 === 0) break;
        tell('the windows are lost');
        windows.lose();
        break;
      default:
        tell('the partitions wander');
        log.rebalance();
    }
  }
  bad = false;
  tell('the weather clears');
  for (const one of alive) one.kill();
  const last = start('last');
  const isDone = async (): Promise<boolean> => {
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const name = `audit.events.standard/${partition}`;
      if ((log.committed[partition]?.offset ?? 0) < log.partitions[partition]!.length) return false;
      if (windows.unfinished(name) > 0) return false;
    }
    return true;
  };
  let done = false;
  for (let look = 0; look < 200 && !done; look += 1) {
    await clock.runUntil(() => false, 100);
    done = await isDone();
  }
  if (!done) wrong.push('it does not come to an end');
  void last.stop();
  return { wrong, story, troubles, repeats, rebuilds, opened, promised, endedKeys };
}

/** Windows behind a line on which requests and answers are lost. */
function inWeather(
  windows: WindowsInMemory,
  once: <T>(what: string, apply: () => Promise<T>) => Promise<T>,
): Windows {
  return {
    take: async (partition) => {
      const owned = await once('take', () => windows.take(partition));
      return {
        offset: owned.offset,
        streams: owned.streams,
        isWhole: owned.isWhole,
        markWhole: () => once('whole', () => owned.markWhole()),
        add: (batch) => once('add', () => owned.add(batch)),
        look: (additions) => once('look', () => owned.look(additions)),
        set: (additions) => once('set', () => owned.set(additions)),
        continueEpisodes: (firings) => once('episodes', () => owned.continueEpisodes(firings)),
        markTold: (episodes) => once('told', () => owned.markTold(episodes)),
        ending: (upTo, most) => once('ending', () => owned.ending(upTo, most)),
        close: (episodes) => once('close', () => owned.close(episodes)),
        closing: (upTo, most) => once('closing', () => owned.closing(upTo, most)),
        closed: (closed, upTo) => once('closed', () => owned.closed(closed, upTo)),
      };
    },
  };
}

const NO_HASH = new Uint8Array(32);

/**
 * Gateways whose agents have quiet minutes and bursts: of denials, of many tools, of deletions. Some of it is sent twice, and
 * between are records that are no events.
 */
function fillLog(log: LogInMemory, random: Random, seed: number): void {
  const minutes = 20 + random.below(20);
  const lanes = Array.from({ length: GATEWAYS }, (_, index) => {
    const gateway = `gw-${index}`;
    const sent: { readonly value: Uint8Array; readonly atMs: number }[] = [];
    let seq = 0;
    for (let minute = 0; minute < minutes; minute += 1) {
      const isBurst = minute % 5 === index % 5;
      const agent = `agent-${index}-${Math.floor(minute / 5) % 2}`;
      const events = isBurst ? 2 + random.below(8) : random.below(3);
      const kind = random.below(3);
      for (let event = 0; event < events; event += 1) {
        const atMs = BEGIN_MS - 600_000 - (minutes - minute) * 60_000 + event * 5_000 + random.below(4_000);
        const id = new Uint8Array(16).map(() => random.below(256));
        const value = encodeDatum({
          ...completeEvent(
            {
              org_id: 'acme',
              gateway_id: gateway,
              kind: 'tool_call',
              phase: 'single',
              capture: 'gateway',
              timestamp: atMs * 1_000,
              agent_id: isBurst ? agent : `quiet-${index}-${minute}`,
              tool_name: `tool-${isBurst && kind === 1 ? event : 0}`,
              decision: isBurst && kind === 0 ? 'deny' : 'allow',
              action: isBurst && kind === 2 ? 'delete' : 'read',
            },
            { event_id: id },
          ),
          epoch: 1 + Math.floor(minute / 10),
          seq: seq++,
          prev_hash: NO_HASH,
          key_id: '00000000',
          signature: null,
        });
        sent.push({ value: frame(AUDIT_EVENT_SCHEMA_ID, value), atMs: atMs + random.below(500) });
        // A batch that is sent again is there right behind itself.
        // Where windows are lost the copies are near: a copy whose original was not read again is not known to be one.
        if (random.chance(0.1))
          sent.push(
            ...sent
              .slice(seed % 2 === 0 ? -3 : -1)
              .map(({ value: copy }) => ({ value: copy, atMs: atMs + 600 })),
          );
        if (random.chance(0.02)) sent.push({ value: new Uint8Array([1, 2, 3]), atMs: atMs + 700 });
      }
    }
    return { partition: partitionOf('acme', gateway, PARTITIONS), sent };
  });
  const all = lanes.flatMap(({ partition, sent }) =>
    sent.map(({ value, atMs }, order) => ({ partition, value, atMs, order })),
  );
  // Each gateway's records stay in their order.
  for (const { partition, value, atMs } of all.sort((a, b) => a.atMs - b.atMs || a.order - b.order))
    log.append(partition, value, atMs);
}
