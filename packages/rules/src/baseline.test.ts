import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hourOfWeek, judgeVolume } from './index.ts';

const TERMS = { deviations: 6, atLeast: 100, weeks: 8, weeksMin: 4 };

describe('a baseline', () => {
  test('says which count, what was expected and by how much it is above', () => {
    // statistics.median([205,190,210,198,202,195]) is 200, the median of the distances is 5, and sqrt(200) is more than
    // 1.4826 * 5.
    const { counts, ...judged } = {
      counts: [205, 190, 210, 198, 202, 195],
      ...judgeVolume(TERMS, 500, { counts: [205, 190, 210, 198, 202, 195] }),
    };
    expect(counts.length).toBe(6);
    expect(judged).toMatchObject({ unusual: true, count: 500, expected: 200, weeks: 6 });
    expect(judged.spread).toBeCloseTo(Math.sqrt(200), 10);
    expect(judged.limit).toBeCloseTo(200 + 6 * Math.sqrt(200), 10);
    expect(judged.reason).toBe(
      '500 in this hour; 200 was expected (median of the same hour in 6 weeks), the limit is 284.9, and 21.2 deviations of 14.1 lie between',
    );
  });

  test('takes the spread of the history when that is wider than chance', () => {
    const { spread } = judgeVolume(TERMS, 1, { counts: [100, 200, 300, 400, 500] });
    expect(spread).toBeCloseTo(148.26, 10);
  });

  test('with too few weeks only the stated limit decides, and the reason says so', () => {
    expect(judgeVolume(TERMS, 101, { counts: [1, 1, 1] })).toMatchObject({
      unusual: true,
      expected: undefined,
      limit: 100,
    });
    expect(judgeVolume(TERMS, 100, { counts: [1, 1, 1] }).reason).toContain(
      '3 of the 4 weeks needed are known',
    );
  });

  test('fewer than half of the weeks, however wild, do not raise what is usual above the others', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 50, max: 150 }), { minLength: 5, maxLength: 5 }),
        fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 3 }),
        (usual, wild) => {
          const { expected = Number.NaN } = judgeVolume(TERMS, 1, { counts: [...wild, ...usual] });
          expect(expected).toBeLessThanOrEqual(Math.max(...usual));
          expect(expected).toBeGreaterThanOrEqual(Math.min(...usual));
        },
      ),
    );
  });

  test('more is never less unusual', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(1_000), { maxLength: 10 }),
        fc.nat(5_000),
        fc.nat(100),
        (counts, count, more) => {
          if (judgeVolume(TERMS, count, { counts }).unusual)
            expect(judgeVolume(TERMS, count + more, { counts }).unusual).toBe(true);
        },
      ),
    );
  });

  test('the week begins on Monday at 00:00 UTC', () => {
    expect(hourOfWeek(Date.UTC(2026, 10, 23, 0) * 1_000)).toBe(0);
    expect(hourOfWeek(Date.UTC(2026, 10, 25, 10, 59) * 1_000)).toBe(58);
    expect(hourOfWeek(Date.UTC(2026, 10, 29, 23) * 1_000)).toBe(167);
  });
});
