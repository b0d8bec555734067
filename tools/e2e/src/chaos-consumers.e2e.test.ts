import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceProcess } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomOf } from './chaos-random.ts';
import { type ChaosRig, metricOf, startChaosRig, until } from './chaos-rig.ts';
import { NO_FAULTS } from './oracle.ts';
import { PARTITIONS } from './rig.ts';

/** How often a third ingest joins and leaves. */
const JOINS = Number(process.env['CHAOS_JOINS'] ?? 20);
const STOPPED_MS = 70_000;
const SEED = Number(process.env['CHAOS_SEED'] ?? Math.floor(Math.random() * 1e9));

const owned = (ingest: ServiceProcess): Promise<number | undefined> =>
  metricOf(ingest, 'cairn_ingest_partitions_owned');

describe('consumers that come, go and come back', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-chaos-'));
  let rig: ChaosRig;
  let first: ServiceProcess;
  let second: ServiceProcess;

  beforeAll(async () => {
    rig = await startChaosRig(directory);
    first = await rig.startIngest('ingest-a');
    second = await rig.startIngest('ingest-b');
  }, 180_000);
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });

  const holds = async (): Promise<void> => {
    expect((await rig.judge()).faults).toEqual(NO_FAULTS);
  };

  test(
    `an ingest that joins and leaves ${JOINS} times, half of them without a word, loses and doubles nothing (seed ${SEED})`,
    async () => {
      const random = randomOf(SEED, 'storm');
      await using producer = await rig.startProducer('gw-storm');
      const third = await rig.startIngest('ingest-c');
      for (let join = 1; join <= JOINS; join += 1) {
        await sleep(random.between(0, 1_500));
        if (random.chance(0.5)) await third.kill9();
        else await third.stop();
        await sleep(random.between(0, 500));
        if (join < JOINS) await third.start();
      }
      await producer.finish();
      await holds();
    },
    120_000 + JOINS * 10_000,
  );

  test(`an ingest that wakes after ${STOPPED_MS / 1_000} s, when another has its partitions, inserts nothing that is there`, async () => {
    await using producer = await rig.startProducer('gw-zombie');
    await until('both load', async () => ((await owned(first)) ?? 0) > 0 && ((await owned(second)) ?? 0) > 0);
    const { acknowledged: before } = await producer.stats();
    first.signal('SIGSTOP');
    await sleep(STOPPED_MS);
    expect(await owned(second)).toBe(PARTITIONS);
    first.signal('SIGCONT');
    await until('it has partitions again', async () => (await owned(second)) !== PARTITIONS);
    await sleep(3_000);
    const { acknowledged: after } = await producer.stats();
    expect(after).toBeGreaterThan(before + 1_000);
    await producer.finish();
    await holds();
  }, 180_000);
});
