import { describe, expect, test } from '@jest/globals';
import { simulate } from '../test/simulation.ts';

/** `node services/archival/test/simulate.ts` runs as many as one likes. */
const SEEDS = 30;

describe('archival in bad weather', () => {
  test('every event is in exactly one segment and an auditor finds the logs intact, whatever fails', async () => {
    const failed: unknown[] = [];
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const verdict = await simulate(seed);
      if (verdict.wrong.length > 0) failed.push({ seed, wrong: verdict.wrong });
    }
    expect(failed).toEqual([]);
  }, 120_000);

  test('runs the same way again from the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });

  test('is bad enough: runs have troubles, and two groups of archivers get in each other’s way', async () => {
    const verdicts = [];
    for (let seed = 100; seed < 120; seed += 1) verdicts.push(await simulate(seed));
    expect(verdicts.filter(({ troubles }) => troubles > 0).length).toBeGreaterThan(15);
    const stories = verdicts.flatMap(({ story }) => story);
    expect(stories.some((line) => line.includes('somebody else writes the log'))).toBe(true);
    expect(stories.some((line) => /opened at leaf \d+, offset \d+, end \d+/.test(line))).toBe(true);
  }, 120_000);
});
