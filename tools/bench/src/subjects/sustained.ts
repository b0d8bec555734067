// The rate over minutes, with merges on and the broker on the same cores, and what memory ingest takes for it.
import { statfsSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { openStage, preload } from '../ingest/stage.ts';
import type { Row, Subject } from '../measured.ts';
import { type Drained, drain } from '../sustained/drain.ts';
import { type Budget, budgetOf } from '../sustained/meter.ts';

/** A record in Kafka and its row in the table, with what merges need beside them. */
const BYTES_OF_EVENT = 1_000;
const STALL_MS = 30_000;
const MEMORY_MIB_MAX = 300;

/**
 * --minutes N, default 10; --burst N events, default 1,500,000. The topic of the minutes is filled beforehand, as far as
 * half of the free disk allows: 10 minutes at 50,000/s are 20 GB.
 */
const sustained: Subject = async ({ quick, flags, say }) => {
  const minutes = Number(flags['minutes'] ?? (quick ? 0.25 : 10));
  const burstEvents = Number(flags['burst'] ?? (quick ? 100_000 : 1_500_000));
  const everyMs = Math.min(60_000, (minutes * 60_000) / 3);
  const cores = availableParallelism();
  await using stage = await openStage();

  say(`preloading ${burstEvents.toLocaleString('en-US')} events`);
  await preload(stage, 'audit.events.burst', burstEvents);
  const whole = {
    topic: 'audit.events.burst',
    events: burstEvents,
    everyMs: Infinity,
    msMax: 1_800_000,
    say,
  };
  const burst = await drain(stage, whole);
  const burstBudget = budgetOf(burst.readings[0]!, burst.readings.at(-1)!);
  say(`burst: ${text(burstBudget)}`);
  const stalled = await drain(stage, { ...whole, stallMs: STALL_MS });
  say(`stalled: peak ${stalled.peakMib.toFixed(0)} MiB`);

  const wanted = Math.ceil(minutes * 60 * burstBudget.events_per_s * 1.1);
  const events = Math.min(wanted, Math.floor(freeBytes() / 2 / BYTES_OF_EVENT));
  say(`preloading ${events.toLocaleString('en-US')} events`);
  const { bytes } = await preload(stage, 'audit.events.minutes', events);
  const msMax = minutes * 60_000;
  const long = await drain(stage, { topic: 'audit.events.minutes', events, everyMs, msMax, say });
  const all = budgetOf(long.readings[0]!, long.readings.at(-1)!);
  const lastedMinutes = (long.readings.at(-1)!.atMs - long.readings[0]!.atMs) / 60_000;

  const rows: Row[] = [
    rowOf(`burst of ${burstEvents.toLocaleString('en-US')}`, burstBudget, burst, cores),
    ...long.readings.slice(1).map((reading, index) => {
      const from = long.readings[index]!;
      return rowOf(
        `minute ${((reading.atMs - long.readings[0]!.atMs) / 60_000).toFixed(minutes < 3 ? 1 : 0)}`,
        budgetOf(from, reading),
        { ...long, readings: [from, reading], peakMib: reading.consumerMib },
        cores,
      );
    }),
    rowOf('all minutes', all, long, cores),
    {
      name: `ClickHouse stands still for ${STALL_MS / 1_000} s`,
      figures: { consumer_mib: [stalled.peakMib] },
    },
  ];
  return {
    question: `How many events a second, for how long, and which part forbids more? ${events.toLocaleString('en-US')} events of ${Math.round(bytes / events)} bytes.`,
    columns: [
      { name: 'events_per_s', heading: 'events/s', digits: 0 },
      { name: 'ceiling_per_s', heading: `${cores} cores allow`, digits: 0 },
      { name: 'total_us', heading: 'CPU µs/event', digits: 2 },
      { name: 'consumer_us', heading: 'ingest', digits: 2 },
      { name: 'main_us', heading: 'its main thread', digits: 2 },
      { name: 'insert_us', heading: 'inserts', digits: 2 },
      { name: 'merge_us', heading: 'merges', digits: 2 },
      { name: 'broker_us', heading: 'broker', digits: 2 },
      { name: 'merged_rows', heading: 'merged/row', digits: 1 },
      { name: 'parts', heading: 'parts', digits: 0 },
      { name: 'consumer_mib', heading: 'ingest MiB', digits: 0 },
    ],
    rows,
    claims: [
      {
        what: `events/s over ${lastedMinutes.toFixed(1)} minutes`,
        measured: all.events_per_s,
        wanted: 'at least',
        limit: 250_000,
      },
      {
        what: `events/s over a burst of ${burstEvents.toLocaleString('en-US')}`,
        measured: burstBudget.events_per_s,
        wanted: 'at least',
        limit: 350_000,
      },
      {
        what: 'memory of ingest at full speed, peak MiB of burst and minutes',
        measured: Math.max(burst.peakMib, long.peakMib),
        wanted: 'at most',
        limit: MEMORY_MIB_MAX,
      },
      {
        what: `memory of ingest while ClickHouse stands still for ${STALL_MS / 1_000} s and after, peak MiB`,
        measured: stalled.peakMib,
        wanted: 'at most',
        limit: MEMORY_MIB_MAX,
      },
      {
        what: 'offsets missing or doubled in any of the three runs',
        measured: [burst, stalled, long].reduce((sum, run) => sum + run.missing + run.doubled, 0),
        wanted: 'at most',
        limit: 0,
      },
    ],
    notes: [
      ...whatForbids(all, cores, 250_000, 'all minutes'),
      ...whatForbids(burstBudget, cores, 350_000, 'the burst'),
      'Broker, ClickHouse and ingest share the cores; nothing is produced meanwhile. CPU by /proc: merges are the threads MergeMutate, inserts the rest of ClickHouse with what is asked of it, this meter included.',
      `From the first row to the last, so starting does not count; merges that a burst leaves behind do not either. The minutes lasted ${lastedMinutes.toFixed(1)} of ${minutes}${events < wanted ? `, because half of the free disk holds ${events.toLocaleString('en-US')} events` : ''}.`,
      'Memory is VmHWM, in a row of a minute VmRSS at its end.',
    ],
  };
};

export default sustained;

const rowOf = (name: string, budget: Budget, { readings, peakMib }: Drained, cores: number): Row => ({
  name,
  figures: {
    events_per_s: [budget.events_per_s],
    ceiling_per_s: [(cores * 1e6) / budget.total_us],
    total_us: [budget.total_us],
    consumer_us: [budget.consumer_us],
    main_us: [budget.main_us],
    insert_us: [budget.insert_us],
    merge_us: [budget.merge_us],
    broker_us: [budget.broker_us],
    merged_rows: [budget.merged_rows],
    parts: [readings.at(-1)?.parts ?? NaN],
    consumer_mib: [peakMib],
  },
});

const text = (budget: Budget): string =>
  Object.entries(budget)
    .map(([name, value]) => `${name} ${value.toFixed(2)}`)
    .join(', ');

/** The arithmetic that says which part stands in the way of a rate, and by how much. */
function whatForbids(budget: Budget, cores: number, wantedPerSecond: number, of: string): string[] {
  const allowed = (cores * 1e6) / wantedPerSecond;
  const us = (value: number): string => `${value.toFixed(1)} µs`;
  const parts = (
    [
      ['ingest', budget.consumer_us],
      ['inserts', budget.insert_us],
      ['merges', budget.merge_us],
      ['broker', budget.broker_us],
    ] as const
  ).toSorted(([, left], [, right]) => right - left);
  const sum = parts.map(([name, value]) => `${name} ${us(value)}`).join(', ');
  const serial = 1e6 / budget.main_us;
  return [
    `${of}: ${wantedPerSecond.toLocaleString('en-US')}/s on ${cores} cores is ${us(allowed)} for each event, and it takes ${us(budget.total_us)}: ${sum}. The main thread of ingest alone allows ${Math.round(serial).toLocaleString('en-US')}/s, all ${cores} cores ${Math.round((cores * 1e6) / budget.total_us).toLocaleString('en-US')}/s.`,
  ];
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(tmpdir());
  return bavail * bsize;
}
