import { describe, expect, test } from '@jest/globals';
import { simulate } from '../test/simulation.ts';

/** `node services/alerting/test/simulate.ts` runs as many as one likes. */
const SEEDS = 40;

describe('alerting in bad weather', () => {
  test('the alerts are those of a run without faults, each on disk before it is promised, and all of them end', async () => {
    const failed: unknown[] = [];
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const verdict = await simulate(seed);
      if (verdict.wrong.length > 0) failed.push({ seed, wrong: verdict.wrong.slice(0, 5) });
    }
    expect(failed).toEqual([]);
  }, 120_000);

  test('runs the same way again from the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });

  test('is bad enough: windows are lost and made again, alerts are recorded twice, and there is something to find', async () => {
    const verdicts = [];
    for (let seed = 100; seed < 120; seed += 1) verdicts.push(await simulate(seed));
    expect(verdicts.filter(({ troubles }) => troubles > 0).length).toBeGreaterThan(15);
    expect(verdicts.reduce((sum, { rebuilds }) => sum + rebuilds, 0)).toBeGreaterThan(5);
    expect(verdicts.reduce((sum, { repeats }) => sum + repeats, 0)).toBeGreaterThan(0);
    expect(Math.min(...verdicts.map(({ alerts }) => alerts))).toBeGreaterThan(0);
  }, 120_000);
});
