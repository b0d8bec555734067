import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type ChaosRig, startChaosRig, until } from './chaos-rig.ts';
import { NO_FAULTS } from './oracle.ts';
import type { Fate } from './tcp-proxy.ts';

/** What the network does to appends. The gateway and ingest reach the broker through tcp-proxy.ts. */
describe('between gateway and broker', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-chaos-'));
  let rig: ChaosRig | undefined;
  const theRig = async (): Promise<ChaosRig> => {
    if (rig === undefined) {
      rig = await startChaosRig(directory);
      await rig.startIngest('ingest-a');
    }
    return rig;
  };
  beforeEach(async () => {
    (await theRig()).proxy.decide = () => ({ do: 'pass' });
  }, 180_000);
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });

  /** Every third append meets a fate. */
  const everyThird = (fate: Fate): ((request: { isProduce: boolean }) => Fate) => {
    let appends = 0;
    return ({ isProduce }) => (isProduce && (appends += 1) % 3 === 0 ? fate : { do: 'pass' });
  };

  test.each<[string, Fate, duplicates: boolean]>([
    ['was applied, and its answer lost', { do: 'lose-answer' }, true],
    ['never arrived', { do: 'cut' }, false],
    ['arrived after its own retry', { do: 'late', ms: 500 }, true],
  ])(
    'an append that %s leaves every event one row and no finding',
    async (_, fate, duplicates) => {
      const { proxy, startProducer, judge } = await theRig();
      proxy.decide = everyThird(fate);
      const before = proxy.met.get(fate.do) ?? 0;
      await using producer = await startProducer(`gw-${fate.do}`);
      await until('20 appends met it', () => (proxy.met.get(fate.do) ?? 0) >= before + 20);
      proxy.decide = () => ({ do: 'pass' });
      await producer.finish();
      await proxy.settled();
      const judgement = await judge();
      expect(judgement.faults).toEqual(NO_FAULTS);
      if (duplicates) expect(judgement.duplicates).toBeGreaterThan(0);
    },
    120_000,
  );

  test('a broker that is silent for 5 s is caught up with', async () => {
    const { proxy, startProducer, judge } = await theRig();
    await using producer = await startProducer('gw-silent');
    await sleep(1_000);
    proxy.blackhole(5_000);
    await sleep(5_000);
    await producer.finish();
    expect((await judge()).faults).toEqual(NO_FAULTS);
  }, 120_000);

  test('an append of a killed gateway that arrives after its next start has begun a new epoch is no second row', async () => {
    const { proxy, startProducer, judge } = await theRig();
    await using producer = await startProducer('gw-reborn');
    await until('it records', async () => (await producer.stats()).acknowledged > 100);
    const { epoch } = await producer.stats();
    const before = proxy.met.get('late') ?? 0;
    proxy.decide = everyThird({ do: 'late', ms: 6_000 });
    await until('appends are on their way late', () => (proxy.met.get('late') ?? 0) > before + 3);
    await producer.process.kill9();
    proxy.decide = () => ({ do: 'pass' });
    await producer.process.start();
    await until('the next epoch records', async () => {
      const stats = await producer.stats();
      return stats.epoch > epoch && stats.acknowledged > 100;
    });
    await proxy.settled();
    await producer.finish();
    expect((await judge()).faults).toEqual(NO_FAULTS);
  }, 120_000);
});
