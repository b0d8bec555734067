import { frame, partitionOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { Random } from '@cairn/traffic';
import { LogInMemory, TOPIC } from '../../../packages/runtime/test/log-in-memory.ts';
import { SimulatedClock } from '../../../packages/runtime/test/simulated-clock.ts';
import { SimulatedProcess } from '../../../packages/runtime/test/simulated-process.ts';
import { ingestPartitions } from '../src/ingest-partitions.ts';
import { streamOf } from './stream.ts';
import { rowsEncoder, TableInMemory, type TableWeather } from './table-in-memory.ts';

/** How one run went: nothing in `wrong` when every promise held. */
export interface Verdict {
  readonly seed: number;
  readonly wrong: readonly string[];
  /** What happened, in order; for a run that went wrong. */
  readonly story: readonly string[];
  readonly troubles: number;
  readonly rewound: number;
  /** Times that the partitions were handed out anew. */
  readonly rebalances: number;
  /**
   * Longest that a partition with records to load stood still, simulated milliseconds, in bad weather and in clear: from
   * one chunk of it that was loaded to the next, whoever loaded it.
   */
  readonly stillMsMax: { readonly bad: number; readonly clear: number };
}

const PARTITIONS = 2;
const GATEWAYS = 3;
const DAY_MS = 86_400_000;

/**
 * Ingest, as it is, over a log and a table in memory, on simulated time, in bad weather: requests and answers are lost
 * or late, inserts run on unheard, processes die and freeze, partitions wander, the database crashes and forgets parts,
 * producers send twice, and records are no events. Then the weather clears, everything is started once more, and every
 * promise is looked at. The same seed gives the same run.
 */
export async function simulate(seed: number): Promise<Verdict> {
  const random = new Random(seed);
  const clock = new SimulatedClock(() => random.unit());
  const log = new LogInMemory(clock, PARTITIONS);
  const table = new TableInMemory();
  const story: string[] = [];
  const tell = (text: string): void => void story.push(`${clock.nowMs().toFixed(1)} ${text}`);
  let bad = true;
  let troubles = 0;
  let rewound = 0;
  let tableDownUntil = 0;

  const wanted = fillLog(log, random);
  const stillness = watchStillness(log, clock);

  const lost = (what: string): Failure =>
    new Failure({ code: 'clickhouse.unreachable', retry: 'later', message: `${what}: no answer came` });

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
    const draw = (): number => (bad ? random.unit() : 1);
    const weather: TableWeather = {
      async effect(what, act) {
        await travel();
        const luck = draw();
        if (luck < 0.02 || clock.nowMs() < tableDownUntil) throw lost(what);
        const result = act();
        await travel();
        if (luck < 0.04) throw lost(what);
        return result;
      },
      async insert(begin) {
        await travel();
        const luck = draw();
        if (luck < 0.04 || clock.nowMs() < tableDownUntil) throw lost('insert');
        const running = begin();
        const ms = random.unit() * (bad && random.chance(0.1) ? 80 : 4);
        if (luck < 0.1) {
          // The connection breaks; the server goes on.
          clock.after(ms, () => {
            try {
              running.land();
              tell(`${name}: an unheard insert landed`);
            } catch {}
          });
          throw lost('insert, which goes on');
        }
        await clock.pause(ms);
        running.land();
        await travel();
        if (luck < 0.14) throw lost('insert, which landed');
      },
    };
    const member = simulated.member(12);
    const source = log.source(name, member);
    const ingesting = ingestPartitions({
      source,
      table: table.through(weather),
      encoder: rowsEncoder,
      kafka: {
        async appendWithHeaders(_topic, records) {
          await member.there();
          log.parked.push(...records);
          await member.back();
        },
      },
      releasedIdOf: (id) => id,
      limits: {
        recordsMax: 1 + random.below(16),
        bytesMax: 1 << 20,
        ageMsMax: random.below(8),
      },
      bufferBytesMax: 8_000,
      loadsAtOnce: 1 + random.below(2),
      instance: name,
      retry: { firstMs: 2, mostMs: 40 },
      clock,
      onOpened: ({ partition }, opened) => {
        if (opened.rewound > 0) rewound += 1;
        tell(`${name}: partition ${partition} opened at ${opened.start}, covered to ${opened.coveredTo}`);
      },
      onLoaded: ({ partition }, { first, last }, { rows }) => {
        stillness.loaded(partition, last, bad);
        tell(`${name}: partition ${partition} loaded ${first}–${last}, ${rows} rows`);
      },
      onTrouble: ({ partition }, error) => {
        troubles += 1;
        tell(
          `${name}: partition ${partition} in trouble: ${error instanceof Error ? error.message : String(error)}`,
        );
      },
    });
    return {
      kill: () => simulated.kill(),
      freeze: (ms: number) => simulated.freeze(ms),
      async stop() {
        await (await ingesting)[Symbol.asyncDispose]();
      },
    };
  };

  let born = 0;
  const alive = new Set([start(`p${born++}`), start(`p${born++}`)]);
  const someone = () => [...alive][random.below(alive.size)];
  const mischief = 2 + random.below(6);
  for (let act = 0; act < mischief; act += 1) {
    await clock.runUntil(() => false, 5 + random.unit() * 60);
    const victim = someone();
    switch (random.below(6)) {
      case 0:
        if (victim) {
          victim.kill();
          alive.delete(victim);
        }
        alive.add(start(`p${born++}`));
        break;
      case 1:
        victim?.freeze(random.unit() * 120);
        break;
      case 2:
        tell('the database dies');
        table.crash(() => random.chance(0.5));
        tableDownUntil = clock.nowMs() + random.unit() * 30;
        break;
      case 3:
        tell('the database dies and comes back without a part');
        table.crash(() => random.chance(0.5));
        table.losePart((parts) => (random.chance(0.6) ? parts - 1 : random.below(parts)));
        tableDownUntil = clock.nowMs() + random.unit() * 30;
        break;
      case 4:
        alive.add(start(`p${born++}`));
        break;
      default:
        tell('the partitions wander');
        log.rebalance();
    }
  }

  // The weather clears. Whoever lived is stopped in order or killed, and one process takes everything over.
  bad = false;
  stillness.begin();
  tell('the weather clears');
  for (const one of alive) one.kill();
  const last = start('last');
  let looks = 0;
  const covered = (): boolean =>
    // Looking costs more than the run itself.
    ++looks % 32 === 0 &&
    log.partitions.every((records, partition) => {
      const place = { topic: TOPIC, partition };
      const offsets = new Set(table.rowsOf(place).map(({ offset }) => offset));
      for (const gap of table.gapsOf(place))
        for (let at = gap.first; at <= gap.last; at += 1) offsets.add(at);
      return offsets.size === records.length;
    });
  const done = await clock.runUntil(covered, 5_000);
  await clock.runUntil(() => false, 300);
  void last.stop();
  const wrong = done
    ? judge(log, table, wanted)
    : ['not everything is accounted for', ...judge(log, table, wanted)];
  const { rebalances } = log;
  return { seed, wrong, story, troubles, rewound, rebalances, stillMsMax: stillness.most };
}

/** How long partitions stand still that have something to load. */
function watchStillness(log: LogInMemory, clock: SimulatedClock) {
  const since = log.partitions.map(() => 0);
  const most = { bad: 0, clear: 0 };
  return {
    most,
    /** Counts from now on. */
    begin(): void {
      since.fill(clock.nowMs());
    },
    loaded(partition: number, last: number, bad: boolean): void {
      const stillMs = clock.nowMs() - since[partition]!;
      const weather = bad ? 'bad' : 'clear';
      most[weather] = Math.max(most[weather], stillMs);
      // At the end of the log it waits for nothing, until the table loses a part.
      const hasMore = last < log.partitions[partition]!.length - 1;
      since[partition] = hasMore ? clock.nowMs() : Number.POSITIVE_INFINITY;
    },
  };
}

interface Wanted {
  /** `org gateway epoch seq` of every event that was produced. */
  readonly events: ReadonlySet<string>;
  /** Offsets of records that are no events, by partition. */
  readonly poison: readonly ReadonlySet<number>[];
}

/** Streams of several gateways, now and then sent twice, with records between them that are no events. */
function fillLog(log: LogInMemory, random: Random): Wanted {
  const events = new Set<string>();
  const poison = log.partitions.map(() => new Set<number>());
  const lanes = Array.from({ length: GATEWAYS }, (_, index) => {
    const gateway = `gw-${index}`;
    const count = 10 + random.below(40);
    // Now and then a gateway that is killed again and again, as soon as it has recorded something.
    const starts = random.chance(0.4) ? 1 + random.below(6) : 0;
    const epochs = [streamOf(count, { gateway })];
    for (let epoch = 2; epoch <= 1 + starts; epoch += 1)
      epochs.push(streamOf(1 + random.below(5), { gateway, epoch }));
    for (const [epoch, datums] of epochs.entries()) {
      for (let seq = 0; seq < datums.length; seq += 1) events.add(`acme ${gateway} ${epoch + 1} ${seq}`);
    }
    return {
      partition: partitionOf('acme', gateway, log.partitions.length),
      values: asSent(
        epochs.map((datums) => datums.map((datum) => frame(1, datum))),
        random,
      ),
    };
  });
  let time = DAY_MS * 20_000 + DAY_MS - random.below(60);
  for (let left = lanes.filter(({ values }) => values.length > 0); left.length > 0; ) {
    const lane = left[random.below(left.length)]!;
    time += random.below(3);
    if (random.chance(0.03)) {
      poison[lane.partition]!.add(log.partitions[lane.partition]!.length);
      log.append(lane.partition, random.bytes(random.below(20)), time);
    }
    log.append(lane.partition, lane.values.shift()!, time);
    left = lanes.filter(({ values }) => values.length > 0);
  }
  return { events, poison };
}

/**
 * A producer that was not told that its batch arrived sends it again, before anything newer; and a copy that was long on
 * its way may come after all of that, when the producer has started anew.
 */
function asSent(epochs: readonly (readonly Uint8Array[])[], random: Random): Uint8Array[] {
  const batches: (readonly Uint8Array[])[] = [];
  for (const values of epochs) {
    // A batch ends where an epoch does.
    for (let at = 0; at < values.length; ) {
      const batch = values.slice(at, at + 1 + random.below(8));
      batches.push(batch);
      if (random.chance(0.1)) batches.push(batch);
      at += batch.length;
    }
  }
  const late = batches.flatMap((batch, place) => (random.chance(0.05) ? [{ batch, place }] : []));
  for (const { batch, place } of late.toReversed()) {
    batches.splice(place + 1 + random.below(batches.length - place), 0, batch);
  }
  return batches.flat();
}

function judge(log: LogInMemory, table: TableInMemory, wanted: Wanted): string[] {
  const wrong: string[] = [];
  const found = new Map<string, number>();
  for (const [partition, records] of log.partitions.entries()) {
    const place = { topic: TOPIC, partition };
    const byOffset = new Map<number, number>();
    for (const row of table.rowsOf(place)) {
      byOffset.set(row.offset, (byOffset.get(row.offset) ?? 0) + 1);
      const event = `${row.orgId} ${row.gatewayId} ${row.epoch} ${row.seq}`;
      found.set(event, (found.get(event) ?? 0) + 1);
    }
    const declared = new Map<number, string>();
    for (const gap of table.gapsOf(place))
      for (let at = gap.first; at <= gap.last; at += 1) declared.set(at, gap.reason);
    for (const { offset } of records) {
      const rows = byOffset.get(offset) ?? 0;
      if (rows > 1) wrong.push(`partition ${partition} offset ${offset} is ${rows} rows`);
      if (rows === 0 && !declared.has(offset))
        wrong.push(`partition ${partition} offset ${offset} is missing`);
      if (rows > 0 && declared.has(offset))
        wrong.push(`partition ${partition} offset ${offset} is a row and declared ${declared.get(offset)}`);
    }
    for (const offset of wanted.poison[partition] ?? []) {
      if ((byOffset.get(offset) ?? 0) > 0) wrong.push(`poison at ${offset} became a row`);
      const kept = log.parked.some(
        ({ headers }) => headers['partition'] === String(partition) && headers['offset'] === String(offset),
      );
      if (!kept) wrong.push(`poison at partition ${partition} offset ${offset} was not kept`);
    }
  }
  for (const event of wanted.events) {
    const times = found.get(event) ?? 0;
    if (times !== 1) wrong.push(`event ${event} is there ${times} times`);
  }
  for (const { finding, orgId, gatewayId, epoch, offset, missing } of table.findings) {
    // The loader notes what it saw; numbers that are there again, after a part was lost and loaded anew, are no gap.
    const numbers = missing
      ? Array.from({ length: missing.to - missing.from + 1 }, (_, at) => missing.from + at)
      : [];
    const healed =
      numbers.length > 0 && numbers.every((seq) => found.has(`${orgId} ${gatewayId} ${epoch} ${seq}`));
    if (finding !== 'gap' || !healed) wrong.push(`an unexplained ${finding} of ${gatewayId} at ${offset}`);
  }
  return wrong;
}
