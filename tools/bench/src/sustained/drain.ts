import { setTimeout as sleep } from 'node:timers/promises';
import { verifyLedger } from '@cairn/ingest';
import { cairn } from '../ingest/contestants.ts';
import type { Stage } from '../ingest/stage.ts';
import { peakMemoryMib } from '../process-cost.ts';
import { pidOf, type Reading, readMeter } from './meter.ts';

export interface DrainOptions {
  readonly topic: string;
  readonly events: number;
  /** Between two readings. */
  readonly everyMs: number;
  /** Ends when so long has passed since the first row, with whatever is loaded by then. */
  readonly msMax: number;
  /** ClickHouse stands still for so long after a third of the events. */
  readonly stallMs?: number;
  readonly say: (text: string) => void;
}

export interface Drained {
  /** The first when the first rows are there, the last when all are or the time is over. */
  readonly readings: readonly Reading[];
  readonly peakMib: number;
  /** Offsets that are no row and no declared gap, and rows beyond the first of their offset. */
  readonly missing: number;
  readonly doubled: number;
}

let runs = 0;

/** Has ingest load a full topic into an empty table, and reads the meter meanwhile. */
export async function drain(stage: Stage, options: DrainOptions): Promise<Drained> {
  const { topic, events, everyMs, msMax, stallMs, say } = options;
  runs += 1;
  await stage.empty();
  await stage.settled();
  const running = await cairn.start(stage, { topic }, `sustained-${process.pid}-${runs}`);
  const { pid } = running;
  if (pid === undefined) throw new Error('ingest was not started');
  const readings: Reading[] = [];
  let peakMib = 0;
  try {
    let now = await readMeter(stage, pid);
    const givenUpMs = performance.now() + 120_000;
    while (now.rows === 0) {
      if (performance.now() > givenUpMs) throw new Error('no row came within 120 s');
      await sleep(50);
      now = await readMeter(stage, pid);
    }
    readings.push(now);
    let stalled = stallMs === undefined;
    let told = now;
    while (now.rows < events && now.atMs - readings[0]!.atMs < msMax) {
      if (!stalled && now.rows > events / 3) {
        stalled = true;
        await standStill(pidOf(stage, 'clickhouse'), stallMs!, say);
      }
      await sleep(500);
      now = await readMeter(stage, pid);
      if (now.atMs - readings.at(-1)!.atMs >= everyMs) readings.push(now);
      if (now.rows > told.rows) told = now;
      else if (now.atMs - told.atMs > 180_000)
        throw new Error(`${now.rows} of ${events} rows, and no more come`);
      peakMib = peakMemoryMib(pid);
    }
    if (readings.at(-1) !== now) readings.push(now);
  } finally {
    await running[Symbol.asyncDispose]();
  }
  const states = await verifyLedger(stage.clickhouse, [topic]);
  const sum = (name: 'missing' | 'doubled'): number =>
    states.reduce((total, state) => total + state[name], 0);
  return { readings, peakMib, missing: sum('missing'), doubled: sum('doubled') };
}

async function standStill(pid: number, ms: number, say: (text: string) => void): Promise<void> {
  say(`ClickHouse stands still for ${ms / 1_000} s`);
  process.kill(pid, 'SIGSTOP');
  try {
    await sleep(ms);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}
