import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { countedFrom, endOf, keepUntil, lockUntil, type Period, type RetentionClass } from './index.ts';
import type { Regime } from './policy.ts';
import { at, policyWith, times } from './testing/policy-text.ts';

const policy = policyWith(`
classes:
  short: { regimes: [year] }
  long: { regimes: [year, six] }
  growing: { regimes: [year, dated] }
  alive: { regimes: [year, { regime: life, operated_until: open, keep_after_operation: 1 year }] }
  retired: { regimes: [year, { regime: life, operated_until: 2030-02-28, keep_after_operation: 10 years }] }
  loose: { regimes: [six], lock_for: 90 days }
`);
const named = (name: string): RetentionClass => {
  const found = policy.classes.get(name);
  if (found === undefined) throw new Error(`no class ${name}`);
  return found;
};
const HOUR = 3_600_000;

describe('what is kept', () => {
  test('is kept for the longest of its regimes, and the others are named in order', () => {
    const keep = keepUntil(named('long'), times('2024-02-29T12:00:00Z'));
    expect(keep.lastDay).toBe('2030-02-28');
    expect(keep.until).toBe(at('2030-03-01T00:00:00Z'));
    expect(keep.claims.map(({ regime, lastDay }) => [regime.id, lastDay])).toEqual([
      ['six', '2030-02-28'],
      ['year', '2025-02-28'],
    ]);
  });

  test('is counted from its latest event', () => {
    const keep = keepUntil(named('short'), times('2026-01-01T00:00:00Z', '2026-01-03T00:10:00Z'));
    expect(keep.lastDay).toBe('2027-01-03');
  });

  test.each([
    ['2026-12-31T23:59:59Z', 'year'],
    ['2027-01-01T00:00:00Z', 'dated'],
    ['2028-12-31T23:59:59Z', 'dated'],
    ['2029-01-01T00:00:00Z', 'year'],
  ])('follows a regime only while that binds: of %s decides %s', (day, decides) => {
    expect(keepUntil(named('growing'), times(day)).claims[0]?.regime.id).toBe(decides);
  });

  test('follows a regime that binds only its first events', () => {
    const keep = keepUntil(named('growing'), times('2028-12-31T23:50:00Z', '2029-01-01T00:05:00Z'));
    expect(keep.claims[0]?.regime.id).toBe('dated');
  });

  test('has no end while the system operates, and one so long after it ended', () => {
    expect(keepUntil(named('alive'), times('2026-11-25T00:00:00Z'))).toMatchObject({
      until: Infinity,
      lastDay: undefined,
    });
    expect(keepUntil(named('retired'), times('2026-11-25T00:00:00Z')).lastDay).toBe('2040-02-28');
  });

  test('is kept after the end of a system as any other', () => {
    expect(keepUntil(named('retired'), times('2041-05-01T00:00:00Z')).lastDay).toBe('2042-05-01');
  });
});

describe('a clock', () => {
  const received = { min: at('2026-11-25T12:00:00Z'), max: at('2026-11-25T12:15:00Z') };
  const latest = (text: string) =>
    countedFrom({ timestamps: { min: 0, max: at(text) * 1_000 }, received }) - received.max;

  test('within a week behind and a day ahead is believed', () => {
    expect(latest('2026-11-25T12:14:59Z')).toBe(-1_000);
    expect(latest('2026-11-18T12:15:00Z')).toBe(-7 * 24 * HOUR);
    expect(latest('2026-11-26T12:15:00Z')).toBe(24 * HOUR);
  });

  test('that is far behind shortens nothing', () => {
    expect(latest('1970-01-01T00:00:00Z')).toBe(0);
    expect(latest('2026-11-18T12:14:59Z')).toBe(0);
  });

  test('that is far ahead locks a day longer and no more', () => {
    expect(latest('2100-01-01T00:00:00Z')).toBe(24 * HOUR);
    const years = lockUntil(
      named('long'),
      { timestamps: { min: 0, max: at('2199-01-01T00:00:00Z') * 1_000 }, received },
      policy.lockRenewal,
    );
    expect(years).toBe(at('2032-11-27T00:00:00Z'));
  });
});

describe('a lock', () => {
  test('ends when the longest regime does', () => {
    expect(lockUntil(named('long'), times('2026-11-25T10:00:00Z'), policy.lockRenewal)).toBe(
      at('2032-11-26T00:00:00Z'),
    );
  });

  test('has an end even where what is kept has none', () => {
    expect(lockUntil(named('alive'), times('2026-11-25T10:00:00Z'), policy.lockRenewal)).toBe(
      at('2027-11-26T00:00:00Z'),
    );
  });

  test('is of another length only where the class says so', () => {
    expect(lockUntil(named('loose'), times('2026-11-25T10:00:00Z'), policy.lockRenewal)).toBe(
      at('2027-02-24T00:00:00Z'),
    );
  });
});

describe('of any regimes', () => {
  test('one more never shortens what is kept or locked', () => {
    fc.assert(
      fc.property(classes, regimes, stretches, (retentionClass, regime, stretch) => {
        const more = { ...retentionClass, regimes: [...retentionClass.regimes, regime] };
        expect(keepUntil(more, stretch).until).toBeGreaterThanOrEqual(
          keepUntil(retentionClass, stretch).until,
        );
        expect(lockUntil(more, stretch, policy.lockRenewal)).toBeGreaterThanOrEqual(
          lockUntil(retentionClass, stretch, policy.lockRenewal),
        );
      }),
    );
  });

  test('their order does not matter to how long', () => {
    fc.assert(
      fc.property(classes, stretches, (retentionClass, stretch) => {
        const turned = { ...retentionClass, regimes: retentionClass.regimes.toReversed() };
        expect(keepUntil(turned, stretch).until).toBe(keepUntil(retentionClass, stretch).until);
      }),
    );
  });

  test('no lock ends before any of them does, for any event of the stretch that its clock tells rightly', () => {
    fc.assert(
      fc.property(
        classes,
        stretches,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (retentionClass, stretch, part) => {
          const { min, max } = stretch.timestamps;
          const event = Math.floor((min + (max - min) * part) / 1_000);
          const locked = lockUntil(retentionClass, stretch, policy.lockRenewal);
          for (const { keepAtLeast, timezone } of retentionClass.regimes) {
            if (keepAtLeast === undefined) continue;
            expect(locked).toBeGreaterThanOrEqual(endOf(event, keepAtLeast, timezone).until);
          }
        },
      ),
    );
  });

  test('a later event is never kept shorter', () => {
    fc.assert(
      fc.property(classes, stretches, fc.integer({ min: 0, max: 400 }), (retentionClass, stretch, days) => {
        const shift = (by: number, { min, max }: { min: number; max: number }) => ({
          min: min + by,
          max: max + by,
        });
        const later = {
          timestamps: shift(days * 24 * HOUR * 1_000, stretch.timestamps),
          received: shift(days * 24 * HOUR, stretch.received),
        };
        expect(keepUntil(retentionClass, later).until).toBeGreaterThanOrEqual(
          keepUntil(retentionClass, stretch).until,
        );
      }),
    );
  });
});

const periods: fc.Arbitrary<Period> = fc.oneof(
  fc.record({ count: fc.integer({ min: 1, max: 4_000 }), unit: fc.constant('days' as const) }),
  fc.record({ count: fc.integer({ min: 1, max: 120 }), unit: fc.constant('months' as const) }),
  fc.record({ count: fc.integer({ min: 1, max: 12 }), unit: fc.constant('years' as const) }),
);
const regimes: fc.Arbitrary<Regime> = fc.record({
  id: fc.constantFrom('a', 'b', 'c'),
  title: fc.constant('A regime'),
  basis: fc.constantFrom('law', 'standard', 'practice'),
  source: fc.constant('Somewhere'),
  says: fc.constant('Something'),
  keepAtLeast: periods,
  hotAtLeast: fc.constant(undefined),
  keepAtMost: fc.constant(undefined),
  operation: fc.option(
    fc.record({ until: fc.constantFrom('open' as const, '2031-01-31', '2040-02-29'), after: periods }),
    { nil: undefined },
  ),
  appliesFrom: fc.constant(undefined),
  appliesUntil: fc.constant(undefined),
  timezone: fc.constantFrom('UTC', 'Europe/Brussels', 'America/New_York', 'Pacific/Auckland'),
});
const classes: fc.Arbitrary<RetentionClass> = fc.record({
  name: fc.constant('any'),
  regimes: fc.array(regimes, { minLength: 1, maxLength: 5 }),
  hotDays: fc.constant(30),
  objectLock: fc.constant('COMPLIANCE'),
  lockFor: fc.constant(undefined),
});
/** Up to a quarter of an hour of events that arrive up to an hour later. */
const stretches = fc
  .record({
    from: fc.integer({ min: at('2020-01-01'), max: at('2060-01-01') }),
    length: fc.integer({ min: 0, max: HOUR / 4 }),
    delay: fc.integer({ min: 0, max: HOUR }),
  })
  .map(({ from, length, delay }) => ({
    timestamps: { min: from * 1_000, max: (from + length) * 1_000 },
    received: { min: from + delay, max: from + length + delay },
  }));
