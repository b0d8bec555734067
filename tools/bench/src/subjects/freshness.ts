// How long an event is on its way until a SELECT sees it: a paced producer, ingest, the table, and one that keeps asking.
import { setTimeout as sleep } from 'node:timers/promises';
import { produce } from '../freshness/producer.ts';
import { ASK_EVERY_MS, watch } from '../freshness/watch.ts';
import type { Contestant } from '../ingest/contestant.ts';
import { cairn, usual } from '../ingest/contestants.ts';
import { kafkaEngine } from '../ingest/kafka-engine.ts';
import { openStage, type Stage } from '../ingest/stage.ts';
import { type Claim, quantileOf, type Row, type Subject } from '../measured.ts';
import { cpuSecondsOf, peakMemoryMib, threadSecondsOf } from '../process-cost.ts';
import { pidOf } from '../sustained/meter.ts';

const PARTITIONS = 4;
/** Events before the first that counts: members join, code is compiled. */
const WARM_SECONDS = 10;

interface Course {
  readonly contestant: Contestant;
  readonly by: 'recorder' | 'frames';
  readonly eventsPerSecond: number;
  readonly p99MsMax?: number;
}

/** In its favour here: a block waits half a second for rows, as ours does, and not the five that spare it work. */
const engine = kafkaEngine('(b) Kafka engine, flushed each 500 ms', 1, 500);

const COURSES: readonly Course[] = [
  { contestant: cairn, by: 'recorder', eventsPerSecond: 5_000, p99MsMax: 1_000 },
  { contestant: cairn, by: 'frames', eventsPerSecond: 5_000, p99MsMax: 1_000 },
  { contestant: cairn, by: 'frames', eventsPerSecond: 50_000, p99MsMax: 2_000 },
  { contestant: usual, by: 'frames', eventsPerSecond: 5_000 },
  { contestant: engine, by: 'frames', eventsPerSecond: 5_000 },
];

/** `--seconds N`, default 60; `--rate N` runs the courses of that rate alone; `--only a` those of that contestant. */
const freshness: Subject = async ({ quick, flags, say }) => {
  const seconds = Number(flags['seconds'] ?? (quick ? 5 : 60));
  const courses = COURSES.filter(
    ({ eventsPerSecond, contestant }) =>
      (flags['rate'] === undefined || eventsPerSecond === Number(flags['rate'])) &&
      contestant.name.startsWith(flags['only'] ?? ''),
  );
  await using stage = await openStage();
  const rows: Row[] = [];
  const claims: Claim[] = [];
  const notes: string[] = [];
  for (const [number, course] of courses.entries()) {
    const name = nameOf(course);
    let figures: Record<string, number[]> = {};
    try {
      figures = await run(stage, course, seconds, `audit.events.fresh${number}`);
    } catch (error) {
      notes.push(`${name} failed: ${String(error).slice(0, 300)}`);
    }
    say(`${name}: ${text(figures)}`);
    rows.push({ name, figures });
    if (course.p99MsMax === undefined) continue;
    // Without a figure the claim fails.
    const measured = figures['p99_ms']?.[0] ?? NaN;
    claims.push({ what: `${name}: p99, ms`, measured, wanted: 'at most', limit: course.p99MsMax });
  }
  return {
    question: 'How long is it from an event to the first SELECT that sees it?',
    columns: [
      { name: 'p50_ms', heading: 'p50 ms', digits: 0 },
      { name: 'p99_ms', heading: 'p99 ms', digits: 0 },
      { name: 'most_ms', heading: 'most ms', digits: 0 },
      { name: 'durable_p99_ms', heading: 'on disk p99 ms', digits: 0 },
      { name: 'unshipped_ms', heading: 'most not in Kafka', digits: 0 },
      { name: 'cores', heading: 'cores busy', digits: 2 },
      { name: 'producer_cores', heading: 'producer', digits: 2 },
      { name: 'broker_cores', heading: 'broker', digits: 2 },
      { name: 'consumer_cores', heading: 'consumer', digits: 2 },
      { name: 'clickhouse_cores', heading: 'ClickHouse', digits: 2 },
      { name: 'merge_cores', heading: 'of it merging', digits: 2 },
      { name: 'consumer_mib', heading: 'peak MiB', digits: 0 },
    ],
    rows,
    claims,
    notes: [
      ...notes,
      `${seconds} s after ${WARM_SECONDS} s that do not count, ${PARTITIONS} partitions. Every event counts, not a sample: a wait begins when the event was due, whatever kept it, and ends when the answer has come to a SELECT that sees it or a later one of its stream.`,
      `The table is asked every ${ASK_EVERY_MS} ms, which is part of each wait; asking takes CPU from ClickHouse, and is in its cores.`,
      'record(): a recorder with its spool on disk ships to Kafka. frames: 20 ms of events at a time, as requests that were made beforehand, because recording 50,000 a second would take a core that ingest needs here.',
      'Producer, broker, ClickHouse and consumer share the machine. A peer of which the rows are seen sooner makes more and smaller parts: look at its cores.',
    ],
  };
};

export default freshness;

/** CPU seconds of what shares the machine with the producer. */
interface Busy {
  /** Merges among it. */
  readonly clickhouse: number;
  readonly merges: number;
  readonly broker: number;
  readonly consumer: number;
}

const text = (figures: Readonly<Record<string, readonly number[]>>): string =>
  Object.entries(figures)
    .map(([figure, [value]]) => `${figure} ${value?.toFixed(2)}`)
    .join(', ');

/** What the recorder says of itself at its end comes after the last event. */
async function everyRecordIsARow(stage: Stage, records: number): Promise<void> {
  let rows = 0;
  for (let wait = 0; wait < 100 && rows < records; wait += 1) {
    rows = await stage.rows();
    if (rows < records) await sleep(100);
  }
  if (rows !== records) throw new Error(`${rows} rows of ${records} records`);
}

const nameOf = ({ contestant, by, eventsPerSecond }: Course): string =>
  `${contestant.name}, ${eventsPerSecond.toLocaleString('en-US')}/s ${by === 'recorder' ? 'from record()' : 'as frames'}`;

async function run(
  stage: Stage,
  { contestant, by, eventsPerSecond }: Course,
  seconds: number,
  topic: string,
): Promise<Record<string, number[]>> {
  await stage.empty();
  await stage.settled();
  await stage.kafka.ensureTopics([{ name: topic, partitions: PARTITIONS }]);
  await using consumer = await contestant.start(stage, { topic }, `fresh-${process.pid}-${topic}`);
  await using watching = watch(stage.clickhouse, topic);
  // It has joined its group before the first event.
  await sleep(5_000);
  const busy = (): Busy => {
    const clickhouse = pidOf(stage, 'clickhouse');
    return {
      clickhouse: cpuSecondsOf(clickhouse) ?? NaN,
      merges: threadSecondsOf(clickhouse, (name) => name === 'MergeMutate'),
      broker: cpuSecondsOf(pidOf(stage, 'kafka')) ?? NaN,
      consumer: consumer.pid === undefined ? 0 : (cpuSecondsOf(consumer.pid) ?? NaN),
    };
  };

  let before: Busy | undefined;
  let beganMs = NaN;
  const brokers = stage.parts.part('kafka').address;
  const producing = await produce(
    { by, brokers, topic, partitions: PARTITIONS, eventsPerSecond, seconds: WARM_SECONDS + seconds },
    () => {
      before = busy();
      beganMs = performance.now();
    },
  );
  await watching.until(producing.streams, 120_000);
  const after = busy();
  // Longer than it was produced when the table was late.
  const wallSeconds = (performance.now() - beganMs) / 1_000;
  await everyRecordIsARow(stage, producing.records);

  const startMs = Math.min(...producing.streams.map(({ dueMs }) => dueMs[0] ?? Number.POSITIVE_INFINITY));
  const waits = producing.streams.flatMap((stream) => [
    ...watching.waitsOf(stream, startMs + WARM_SECONDS * 1_000),
  ]);
  const cores = (part: keyof Busy): number => (after[part] - (before?.[part] ?? NaN)) / wallSeconds;
  const producer = producing.cpuSeconds / wallSeconds;
  return {
    p50_ms: [quantileOf(waits, 0.5)],
    p99_ms: [quantileOf(waits, 0.99)],
    most_ms: [quantileOf(waits, 1)],
    cores: [cores('clickhouse') + cores('broker') + cores('consumer') + producer],
    producer_cores: [producer],
    broker_cores: [cores('broker')],
    consumer_cores: [cores('consumer')],
    clickhouse_cores: [cores('clickhouse')],
    merge_cores: [cores('merges')],
    ...(producing.recorder && {
      durable_p99_ms: [quantileOf([...producing.recorder.durableMs], 0.99)],
      unshipped_ms: [producing.recorder.unshippedMs],
    }),
    consumer_mib: consumer.pid === undefined ? [] : [peakMemoryMib(consumer.pid)],
  };
}
