import { describe, expect, test } from '@jest/globals';
import { simulate } from '../test/simulation.ts';

/** `node services/ingest/test/simulate.ts` runs as many as one likes. */
const SEEDS = 600;

/** Seeds that found something, kept. */
const FOUND = [
  0, // a copy of an append came after the gateway had started three times since: it became second rows
  77, // the first part was lost: nothing below the lowest row was looked for
];

describe('ingest in bad weather', () => {
  test('loses nothing, doubles nothing and explains every offset, whatever fails', async () => {
    const failed: unknown[] = [];
    for (const seed of [...FOUND, ...Array.from({ length: SEEDS }, (_, index) => index)]) {
      const verdict = await simulate(seed);
      if (verdict.wrong.length > 0) failed.push({ seed, wrong: verdict.wrong });
    }
    expect(failed).toEqual([]);
  }, 60_000);

  test('runs the same way again from the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });

  test('hands partitions out anew in most runs, and the last owner of each goes on soon after all others are dead', async () => {
    const verdicts = [];
    for (let seed = 0; seed < 50; seed += 1) verdicts.push(await simulate(seed));
    expect(verdicts.filter(({ rebalances }) => rebalances > 5).length).toBeGreaterThan(40);
    // A takeover takes some fifteen requests of up to 4 ms, and its retries rest for 40 ms at most.
    for (const { stillMsMax } of verdicts) expect(stillMsMax.clear).toBeLessThan(200);
  });

  test('is bad enough: most runs have troubles, and some load again what the table lost', async () => {
    const verdicts = [];
    for (let seed = 0; seed < 50; seed += 1) verdicts.push(await simulate(seed));
    expect(verdicts.filter(({ troubles }) => troubles > 0).length).toBeGreaterThan(40);
    expect(verdicts.filter(({ rewound }) => rewound > 0).length).toBeGreaterThan(5);
  });
});
