import { describe, expect, test } from '@jest/globals';
import { simulate } from '../test/simulation.ts';

/** `node services/forwarder/test/simulate.ts` runs as many as one likes. */
const SEEDS = 40;

describe('forwarding in bad weather', () => {
  test('every event is acknowledged or parked before its offset is committed, and one destination waits for no other', async () => {
    const failed: unknown[] = [];
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const { wrong } = await simulate(seed);
      if (wrong.length > 0) failed.push({ seed, wrong: wrong.slice(0, 5) });
    }
    expect(failed).toEqual([]);
  }, 120_000);

  test('a kill has at most one batch of a destination sent twice', async () => {
    const failed: unknown[] = [];
    let kills = 0;
    let repeats = 0;
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const verdict = await simulate(seed, { killsOnly: true });
      kills += verdict.kills;
      repeats += verdict.repeats;
      if (verdict.wrong.length > 0) failed.push({ seed, wrong: verdict.wrong.slice(0, 5) });
    }
    expect(failed).toEqual([]);
    // Some kills do fall between an acknowledgement and its commit.
    expect(repeats).toBeGreaterThan(0);
    expect(repeats).toBeLessThan(kills * 2);
  }, 120_000);

  test('runs the same way again from the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });

  test('is bad enough: batches come twice, events are refused, and loops are taken up again', async () => {
    let [repeats, parked, troubles] = [0, 0, 0];
    for (let seed = 100; seed < 120; seed += 1) {
      const verdict = await simulate(seed);
      repeats += verdict.repeats;
      parked += verdict.parked;
      troubles += verdict.troubles;
    }
    expect(Math.min(repeats, parked, troubles)).toBeGreaterThan(20);
  }, 120_000);
});
