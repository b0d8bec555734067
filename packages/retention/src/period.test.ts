import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { daysToCover, endOf, instantText, parsePeriod, periodText } from './index.ts';

interface Vectors {
  readonly ends: readonly {
    why: string;
    from: string;
    period: string;
    timezone: string;
    last_day: string;
    until: string;
  }[];
  readonly covers: readonly { period: string; days: number }[];
}
const VECTORS = join(import.meta.dirname, '..', '..', '..', 'schemas', 'vectors', 'retention.json');
const vectors = JSON.parse(readFileSync(VECTORS, 'utf8')) as Vectors;

const period = (text: string) => {
  const parsed = parsePeriod(text);
  if (parsed === undefined) throw new Error(`${text} is no period`);
  return parsed;
};

describe('the end of a period', () => {
  test.each(vectors.ends)('is where dateutil puts it: $why, $from and $period in $timezone', (vector) => {
    const end = endOf(Date.parse(vector.from), period(vector.period), vector.timezone);
    expect({ last_day: end.lastDay, until: instantText(end.until) }).toEqual({
      last_day: vector.last_day,
      until: vector.until,
    });
  });

  // Counted on paper: 6 × 365 and the leap days of 2028, of 2024 and 2028, of none.
  test.each([
    ['2025-03-01', '2031-03-01', 2_191],
    ['2023-06-15', '2029-06-15', 2_192],
    ['2097-03-01', '2103-03-01', 2_190],
  ])('six years from %s end with %s, %i days later', (from, lastDay, days) => {
    const end = endOf(Date.parse(from), period('6 years'), 'UTC');
    expect(end.lastDay).toBe(lastDay);
    expect((end.until - Date.parse(from)) / 86_400_000).toBe(days + 1);
  });

  test('of 29 February is 28 February where the year has no other, to its last instant', () => {
    expect(endOf(Date.parse('2024-02-29T23:59:59.999Z'), period('6 years'), 'UTC')).toEqual({
      lastDay: '2030-02-28',
      until: Date.parse('2030-03-01T00:00:00Z'),
    });
  });

  test('never comes before the same period counted from an earlier instant', () => {
    fc.assert(
      fc.property(instants, instants, periods, zones, (a, b, length, zone) => {
        const [early, late] = a < b ? [a, b] : [b, a];
        expect(endOf(early, length, zone).until).toBeLessThanOrEqual(endOf(late, length, zone).until);
      }),
    );
  });

  test('comes after every instant that is less than the period away', () => {
    fc.assert(
      fc.property(instants, fc.integer({ min: 1, max: 36_525 }), zones, (from, count, zone) => {
        const days = { count, unit: 'days' } as const;
        // A day of the calendar may have 23 hours, and so may lose two of them on the way at most.
        expect(endOf(from, days, zone).until).toBeGreaterThan(from + count * 86_400_000 - 7_200_000);
      }),
    );
  });
});

describe('the days that cover a period', () => {
  test.each(vectors.covers)('$period: $days, as counted over four centuries', ({ period: text, days }) => {
    expect(daysToCover(period(text))).toBe(days);
  });

  test('are 93 for three months, and 90 are too few', () => {
    // On 1 October three months reach back to 1 July: 31 + 31 + 30 days, and the day itself.
    expect(daysToCover({ count: 3, unit: 'months' })).toBe(31 + 31 + 30 + 1);
  });
});

describe('a period', () => {
  test.each(['400 days', '1 day', '12 months', '1 month', '6 years', '1 year', '100 years', '1200 months'])(
    '%s is read and said again',
    (text) => {
      expect(periodText(period(text))).toBe(text);
    },
  );

  test.each(['', '0 days', '-1 days', '6years', '6  years', ' 6 years', '6 Years', '1e3 days', '6.5 years'])(
    '%j is refused',
    (text) => expect(parsePeriod(text)).toBeUndefined(),
  );

  test.each(['101 years', '1201 months', '36526 days', '99999 days'])(
    '%s is refused: such a lock cannot be taken back',
    (text) => expect(parsePeriod(text)).toBeUndefined(),
  );
});

const instants = fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2199, 11, 31) });
const zones = fc.constantFrom(
  'UTC',
  'Europe/Brussels',
  'America/New_York',
  'Asia/Kolkata',
  'Pacific/Auckland',
);
const periods = fc.oneof(
  fc.record({ count: fc.integer({ min: 1, max: 4_000 }), unit: fc.constant('days' as const) }),
  fc.record({ count: fc.integer({ min: 1, max: 120 }), unit: fc.constant('months' as const) }),
  fc.record({ count: fc.integer({ min: 1, max: 12 }), unit: fc.constant('years' as const) }),
);
