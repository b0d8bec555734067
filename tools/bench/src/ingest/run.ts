import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSecondsOf, peakMemoryMib } from '../process-cost.ts';
import type { Contestant } from './contestant.ts';
import type { Preloaded, Stage } from './stage.ts';

/** What it took to bring a topic into the table, merges included. */
export interface Cost {
  readonly wallSeconds: number;
  readonly consumerSeconds: number;
  readonly clickhouseSeconds: number;
  readonly brokerSeconds: number;
  readonly consumerMib: number;
  /** Rows in the table at the end, beyond or below the topic's. */
  readonly surplus: number;
}

let runs = 0;

/** One run: empty table, new group, from start to the last row, and on until the merges have settled. */
export async function run(
  stage: Stage,
  contestant: Contestant,
  preloaded: Preloaded,
  secondsMax: number,
): Promise<Cost> {
  runs += 1;
  await stage.empty();
  await stage.settled();
  const clickhousePid = stage.parts.part('clickhouse').pid ?? 0;
  const brokerPid = stage.parts.part('kafka').pid ?? 0;
  const before = { clickhouse: cpuSecondsOf(clickhousePid) ?? 0, broker: cpuSecondsOf(brokerPid) ?? 0 };
  const began = performance.now();
  const running = await contestant.start(stage, preloaded, `bench-${process.pid}-${runs}`);
  let consumerSeconds = 0;
  let consumerMib = 0;
  const look = (): void => {
    if (running.pid === undefined) return;
    const used = cpuSecondsOf(running.pid);
    if (used === undefined) return;
    consumerSeconds = used;
    consumerMib = peakMemoryMib(running.pid);
  };
  try {
    for (let rows = 0; rows < preloaded.events; ) {
      if ((performance.now() - began) / 1_000 > secondsMax) {
        throw new Error(`${contestant.name}: ${rows} of ${preloaded.events} rows after ${secondsMax} s`);
      }
      await sleep(150);
      look();
      if (contestant.inserts) rows = await stage.rows();
      else if (running.pid === undefined || cpuSecondsOf(running.pid) === undefined) rows = preloaded.events;
    }
    const wallSeconds = (performance.now() - began) / 1_000;
    look();
    await stage.settled();
    look();
    return {
      wallSeconds,
      consumerSeconds,
      consumerMib,
      clickhouseSeconds: (cpuSecondsOf(clickhousePid) ?? 0) - before.clickhouse,
      brokerSeconds: (cpuSecondsOf(brokerPid) ?? 0) - before.broker,
      surplus: contestant.inserts ? (await stage.rows()) - preloaded.events : 0,
    };
  } finally {
    await running[Symbol.asyncDispose]();
  }
}
