import type { Stage } from '../ingest/stage.ts';
import { cpuSecondsOf, memoryMib, threadSecondsOf } from '../process-cost.ts';

/** Where everything stands at one moment; CPU in seconds since the processes began. */
export interface Reading {
  readonly atMs: number;
  readonly rows: number;
  /** The thread of ingest that runs JavaScript: whatever else is free, it is at most one core. */
  readonly consumerMain: number;
  readonly consumer: number;
  readonly merges: number;
  /** ClickHouse without its merges: inserts, and what ingest asks it. */
  readonly inserts: number;
  readonly broker: number;
  readonly consumerMib: number;
  readonly parts: number;
  readonly mergedRows: number;
}

export async function readMeter(stage: Stage, consumerPid: number): Promise<Reading> {
  const clickhousePid = pidOf(stage, 'clickhouse');
  const [table] = await stage.clickhouse.query<{ rows: number; parts: number; merged: number }>(
    `SELECT toFloat64(sum(rows)) AS rows, toFloat64(count()) AS parts,
            (SELECT toFloat64(sum(value)) FROM system.events WHERE event = 'MergedRows') AS merged
     FROM system.parts WHERE active AND database = 'cairn' AND table = 'events'`,
  );
  const merges = threadSecondsOf(clickhousePid, (name) => name === 'MergeMutate');
  return {
    atMs: performance.now(),
    rows: table?.rows ?? 0,
    consumerMain: threadSecondsOf(consumerPid, (_, thread) => thread === consumerPid),
    consumer: cpuSecondsOf(consumerPid) ?? NaN,
    merges,
    inserts: (cpuSecondsOf(clickhousePid) ?? NaN) - merges,
    broker: cpuSecondsOf(pidOf(stage, 'kafka')) ?? NaN,
    consumerMib: memoryMib(consumerPid),
    parts: table?.parts ?? 0,
    mergedRows: table?.merged ?? 0,
  };
}

export function pidOf(stage: Stage, part: 'kafka' | 'clickhouse'): number {
  const { pid } = stage.parts.part(part);
  if (pid === undefined) throw new Error(`${part} is no local process, so its CPU cannot be read`);
  return pid;
}

/** What happened between two readings, for each event that became a row. */
export interface Budget {
  readonly events: number;
  readonly events_per_s: number;
  readonly total_us: number;
  readonly consumer_us: number;
  readonly main_us: number;
  readonly insert_us: number;
  readonly merge_us: number;
  readonly broker_us: number;
  readonly merged_rows: number;
}

export function budgetOf(from: Reading, to: Reading): Budget {
  const events = to.rows - from.rows;
  const each = (name: 'consumer' | 'consumerMain' | 'inserts' | 'merges' | 'broker'): number =>
    ((to[name] - from[name]) / events) * 1e6;
  const [consumer_us, insert_us, merge_us, broker_us] = [
    each('consumer'),
    each('inserts'),
    each('merges'),
    each('broker'),
  ];
  return {
    events,
    events_per_s: (events / (to.atMs - from.atMs)) * 1_000,
    total_us: consumer_us + insert_us + merge_us + broker_us,
    consumer_us,
    main_us: each('consumerMain'),
    insert_us,
    merge_us,
    broker_us,
    merged_rows: (to.mergedRows - from.mergedRows) / events,
  };
}
