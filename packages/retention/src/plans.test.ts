import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type ArchivedSegment,
  holdsCompared,
  type LegalHold,
  planExpiry,
  planHotDays,
  type RetentionPolicy,
  type SegmentPlan,
} from './index.ts';
import { at, policyWith, times } from './testing/policy-text.ts';

const policy = policyWith(`
classes:
  short: { regimes: [year] }
  long: { regimes: [six] }
  alive: { regimes: [year, { regime: life, operated_until: open, keep_after_operation: 1 year }] }
  hot: { regimes: [hot] }
  loose: { regimes: [six], lock_for: 90 days, object_lock: governance }
hot_days: 30
lock_renewal: { by: 12 months, when_under: 6 months }
`);
const withHolds = (...holds: LegalHold[]): RetentionPolicy => ({ ...policy, holds });
const hold = (parts: Partial<LegalHold>): LegalHold => ({
  id: 'h-1',
  org: undefined,
  session: undefined,
  agent: undefined,
  from: undefined,
  to: undefined,
  reason: 'A letter',
  placedBy: 'jane.doe',
  placedAt: at('2026-04-17T00:00:00Z'),
  release: undefined,
  ...parts,
});
const segment = (parts: Partial<ArchivedSegment> = {}): ArchivedSegment => ({
  name: 'audit.events.short/0/0',
  class: 'short',
  orgs: ['acme', 'bolt'],
  promisedUntil: at('2027-01-11T00:00:00Z'),
  lockedUntil: at('2027-01-11T00:00:00Z'),
  ...times('2026-01-10T00:00:00Z', '2026-01-10T00:15:00Z'),
  ...parts,
});
const planOf = (one: ArchivedSegment, now: string, by = policy): SegmentPlan => {
  const [plan] = planExpiry(by, [one], at(now));
  if (plan === undefined) throw new Error('no plan');
  return plan;
};

describe('a segment', () => {
  test('is kept to the last instant of its period, and expires with the next', () => {
    expect(planOf(segment(), '2027-01-10T23:59:59.999Z')).toMatchObject({
      act: 'keep',
      why: 'period',
      until: at('2027-01-11T00:00:00Z'),
      extendLock: undefined,
    });
    expect(planOf(segment(), '2027-01-11T00:00:00Z')).toEqual({
      name: 'audit.events.short/0/0',
      act: 'expire',
      since: at('2027-01-11T00:00:00Z'),
      regime: 'year',
      policyHash: policy.hash,
      extendLock: undefined,
    });
  });

  test('that the store still locks is kept until it does not', () => {
    const plan = planOf(segment({ lockedUntil: at('2028-01-01T00:00:00Z') }), '2027-06-01T00:00:00Z');
    expect(plan).toMatchObject({ act: 'keep', why: 'locked', until: at('2028-01-01T00:00:00Z') });
  });

  test('that was promised longer under an earlier policy is kept as promised, whatever the store locks', () => {
    const promised = segment({ promisedUntil: at('2033-01-11T00:00:00Z'), lockedUntil: undefined });
    expect(planOf(promised, '2030-01-01T00:00:00Z')).toMatchObject({
      act: 'keep',
      why: 'promised',
      until: at('2033-01-11T00:00:00Z'),
      extendLock: { until: at('2033-01-11T00:00:00Z'), mode: 'COMPLIANCE' },
    });
    expect(planOf(promised, '2033-01-11T00:00:00Z')).toMatchObject({
      act: 'expire',
      since: at('2033-01-11T00:00:00Z'),
    });
  });

  test('whose lock is shorter than its regime gets the rest of it', () => {
    const expected = { act: 'keep', extendLock: { until: at('2027-01-11T00:00:00Z'), mode: 'COMPLIANCE' } };
    expect(
      planOf(segment({ lockedUntil: at('2026-06-01T00:00:00Z') }), '2026-05-01T00:00:00Z'),
    ).toMatchObject(expected);
    expect(planOf(segment({ lockedUntil: undefined }), '2026-05-01T00:00:00Z')).toMatchObject(expected);
  });

  test('of a class that the policy does not know never expires, and its lock is carried on', () => {
    const plan = planOf(
      segment({ class: 'gone', lockedUntil: at('2040-01-02T00:00:00Z') }),
      '2040-01-01T00:00:00Z',
    );
    expect(plan).toMatchObject({
      act: 'keep',
      why: 'class-unknown',
      extendLock: { until: at('2041-01-02T00:00:00Z'), mode: 'COMPLIANCE' },
    });
  });

  test('of a class that the policy does not know gets the whole lock that its manifest promises', () => {
    const gone = segment({
      class: 'gone',
      promisedUntil: at('2045-01-01T00:00:00Z'),
      lockedUntil: undefined,
    });
    expect(planOf(gone, '2040-01-01T00:00:00Z').extendLock?.until).toBe(at('2045-01-01T00:00:00Z'));
  });

  test('of a system that operates is kept, its lock carried on step by step and not before it must', () => {
    const alive = (lockedUntil: string) => segment({ class: 'alive', lockedUntil: at(lockedUntil) });
    expect(planOf(alive('2030-08-01T00:00:00Z'), '2030-01-01T00:00:00Z')).toMatchObject({
      act: 'keep',
      until: Infinity,
      extendLock: undefined,
    });
    expect(planOf(alive('2030-07-01T00:00:00Z'), '2030-01-01T00:00:00Z')).toMatchObject({
      act: 'keep',
      extendLock: { until: at('2031-01-02T00:00:00Z') },
    });
  });

  test('of a class with a lock of its own keeps that mode, and gets no date that has passed', () => {
    const loose = segment({ class: 'loose', promisedUntil: undefined, lockedUntil: undefined });
    expect(planOf(loose, '2026-02-01T00:00:00Z').extendLock).toEqual({
      until: at('2026-04-11T00:00:00Z'),
      mode: 'GOVERNANCE',
    });
    expect(planOf(loose, '2027-02-01T00:00:00Z')).toMatchObject({ act: 'keep', extendLock: undefined });
  });
});

describe('a hold', () => {
  const LATE = '2030-01-01T00:00:00Z';

  test('keeps what would expire, by its name, and carries the lock on', () => {
    expect(planOf(segment(), LATE, withHolds(hold({ org: 'acme' })))).toEqual({
      name: 'audit.events.short/0/0',
      act: 'held',
      holds: ['h-1'],
      extendLock: { until: at('2031-01-02T00:00:00Z'), mode: 'COMPLIANCE' },
    });
  });

  test('on what a regime demands for longer than one step gets the whole of that lock', () => {
    const long = segment({ class: 'long', lockedUntil: undefined });
    expect(planOf(long, '2026-02-01T00:00:00Z', withHolds(hold({ org: 'acme' }))).extendLock).toEqual({
      until: at('2032-01-11T00:00:00Z'),
      mode: 'COMPLIANCE',
    });
  });

  test.each<[string, Partial<LegalHold>, boolean]>([
    ['its organisation', { org: 'acme' }, true],
    ['another organisation', { org: 'other' }, false],
    ['a session of its organisation', { org: 'acme', session: 's1' }, true],
    ['an agent of its organisation', { org: 'bolt', agent: 'a1' }, true],
    ['a session of another organisation', { org: 'other', session: 's1' }, false],
    ['a session of no organisation', { session: 's1' }, true],
    ['a time that meets it', { from: at('2026-01-10T00:15:00Z'), to: at('2026-02-01') }, true],
    ['a time that ends where it begins', { from: at('2025-01-01'), to: at('2026-01-10T00:00:00Z') }, false],
    ['a time after it', { from: at('2026-01-10T00:15:01Z') }, false],
    ['its organisation at another time', { org: 'acme', to: at('2026-01-01') }, false],
  ])('on %s', (_, parts, held) => {
    expect(planOf(segment(), LATE, withHolds(hold(parts))).act).toBe(held ? 'held' : 'expire');
  });

  test('covers what arrived in its time, whatever time a wrong clock gave it', () => {
    const wrong = segment({ timestamps: { min: at('2012-01-01') * 1_000, max: at('2012-01-01') * 1_000 } });
    const on = withHolds(hold({ from: at('2026-01-01'), to: at('2026-02-01') }));
    expect(planOf(wrong, LATE, on).act).toBe('held');
  });

  test('that two persons released holds nothing from then on', () => {
    const release = { by: ['jane.doe', 'sam.lee'], at: at('2030-06-01T00:00:00Z'), reason: 'Settled' };
    const released = withHolds(hold({ org: 'acme', release }));
    expect(planOf(segment(), '2030-05-31T23:59:59.999Z', released).act).toBe('held');
    expect(planOf(segment(), '2030-06-01T00:00:00Z', released).act).toBe('expire');
  });

  test('that one person released, however often, stands', () => {
    for (const by of [[], ['jane.doe'], ['jane.doe', 'jane.doe']]) {
      const release = { by, at: at('2028-01-01'), reason: 'Settled' };
      expect(planOf(segment(), LATE, withHolds(hold({ org: 'acme', release }))).act).toBe('held');
    }
  });

  test('beside others is named with them, in the order of the policy', () => {
    const held = planOf(
      segment(),
      LATE,
      withHolds(hold({ id: 'z' }), hold({ id: 'b', org: 'other' }), hold({ id: 'a', org: 'acme' })),
    );
    expect(held).toMatchObject({ act: 'held', holds: ['z', 'a'] });
  });

  test('covers a segment whose class nobody knows as well', () => {
    expect(planOf(segment({ class: 'gone' }), LATE, withHolds(hold({ org: 'acme' })))).toMatchObject({
      act: 'held',
    });
  });

  test('is part of what a deletion says it compared, to the byte', () => {
    const compared = holdsCompared([hold({ org: 'acme', from: at('2026-01-01') })]);
    // printf '%s' '[{"agent":null,…,"to":null}]' | sha256sum, written by hand in the order of RFC 8785.
    expect(compared).toEqual({ checked: 1, sha256: HELD_BY_HAND });
    expect(holdsCompared([]).sha256).toBe('4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945');
  });

  test('that is added never lets anything go, and never takes from a lock', () => {
    const RANK = { expire: 0, keep: 1, held: 2 };
    fc.assert(
      fc.property(segments, fc.array(holds, { maxLength: 3 }), holds, instants, (one, some, more, now) => {
        const [before] = planExpiry({ ...policy, holds: some }, [one], now);
        const [after] = planExpiry({ ...policy, holds: [...some, more] }, [one], now);
        if (before === undefined || after === undefined) throw new Error('no plan');
        expect(RANK[after.act]).toBeGreaterThanOrEqual(RANK[before.act]);
        expect(after.extendLock?.until ?? 0).toBeGreaterThanOrEqual(before.extendLock?.until ?? 0);
      }),
    );
  });
});

describe('any plan', () => {
  test('moves a lock forward only, and to a time that has not passed', () => {
    fc.assert(
      fc.property(segments, fc.array(holds, { maxLength: 2 }), instants, (one, some, now) => {
        const [plan] = planExpiry({ ...policy, holds: some }, [one], now);
        if (plan?.extendLock === undefined) return;
        expect(plan.extendLock.until).toBeGreaterThan(Math.max(now, one.lockedUntil ?? 0));
        expect(plan.act).not.toBe('expire');
      }),
    );
  });

  test('that was carried out asks for nothing more at the same time', () => {
    fc.assert(
      fc.property(segments, fc.array(holds, { maxLength: 2 }), instants, (one, some, now) => {
        const held = { ...policy, holds: some };
        const [first] = planExpiry(held, [one], now);
        const locked = { ...one, lockedUntil: first?.extendLock?.until ?? one.lockedUntil };
        const [second] = planExpiry(held, [locked], now);
        expect(second).toEqual({ ...first, extendLock: undefined });
      }),
    );
  });

  test('lets nothing expire that the store locks or a manifest promises', () => {
    fc.assert(
      fc.property(segments, instants, (one, now) => {
        const [plan] = planExpiry(policy, [one], now);
        if (plan?.act !== 'expire') return;
        expect(one.lockedUntil ?? 0).toBeLessThanOrEqual(now);
        expect(one.promisedUntil ?? 0).toBeLessThanOrEqual(plan.since);
        expect(plan.since).toBeLessThanOrEqual(now);
      }),
    );
  });
});

describe('a hot day', () => {
  const day = (parts: object = {}) => ({
    day: '2026-07-01',
    classes: ['short'],
    archived: true,
    proven: true,
    ...parts,
  });
  const plan = (one: ReturnType<typeof day>, now: string) => planHotDays(policy, [one], at(now))[0];

  test('is dropped when it is old enough, archived and proven', () => {
    expect(plan(day(), '2026-07-31T00:00:00Z')).toEqual({ day: '2026-07-01', act: 'drop' });
    expect(plan(day(), '2026-07-30T23:59:59.999Z')).toMatchObject({
      why: 'hot',
      until: at('2026-07-31T00:00:00Z'),
    });
  });

  test.each([
    [{ archived: false }, 'not-archived'],
    [{ archived: true, proven: false }, 'not-proven'],
    [{ classes: ['short', 'gone'] }, 'class-unknown'],
    [{ classes: [] }, 'class-unknown'],
  ])('of which %j is kept: %s', (parts, why) => {
    expect(plan(day(parts), '2036-01-01T00:00:00Z')).toMatchObject({ act: 'keep', why });
  });

  test('with three months of PCI DSS in it stays while three months back from today reach it', () => {
    const mixed = day({ classes: ['short', 'hot'] });
    // Three months back from 1 October is 1 July.
    expect(plan(mixed, '2026-10-01T23:59:59.999Z')).toMatchObject({ act: 'keep', why: 'hot' });
    expect(plan(mixed, '2026-10-02T00:00:00Z')).toMatchObject({ act: 'drop' });
  });

  test('that may be dropped is not among the latest three months, whenever one looks', () => {
    fc.assert(
      fc.property(instants, fc.integer({ min: 60, max: 120 }), (now, age) => {
        const today = Temporal.Instant.fromEpochMilliseconds(now).toZonedDateTimeISO('UTC').toPlainDate();
        const asked = today.subtract({ days: age });
        const [answer] = planHotDays(policy, [day({ day: asked.toString(), classes: ['hot'] })], now);
        if (answer?.act !== 'drop') return;
        expect(Temporal.PlainDate.compare(asked, today.subtract({ months: 3 }))).toBe(-1);
      }),
    );
  });
});

const HELD_BY_HAND = '4e5076af544d5512c3db7f53db6f96b78e2d2d2d9c5375fb281e8d4b7d0dede6';
const instants = fc.integer({ min: at('2026-01-01'), max: at('2045-01-01') });
const segments: fc.Arbitrary<ArchivedSegment> = fc
  .record({
    class: fc.constantFrom('short', 'long', 'alive', 'loose', 'gone'),
    orgs: fc.subarray(['acme', 'bolt', 'cone'], { minLength: 1 }),
    from: fc.integer({ min: at('2020-01-01'), max: at('2026-01-01') }),
    promisedUntil: fc.option(fc.integer({ min: at('2020-01-01'), max: at('2046-01-01') }), {
      nil: undefined,
    }),
    lockedUntil: fc.option(fc.integer({ min: at('2020-01-01'), max: at('2046-01-01') }), { nil: undefined }),
  })
  .map(({ from, ...rest }) => ({
    ...rest,
    name: 's',
    timestamps: { min: from * 1_000, max: (from + 900_000) * 1_000 },
    received: { min: from, max: from + 900_000 },
  }));
const some = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const holds: fc.Arbitrary<LegalHold> = fc
  .record({
    id: fc.constantFrom('a', 'b', 'c'),
    org: some(fc.constantFrom('acme', 'bolt', 'other')),
    session: some(fc.constant('s1')),
    from: some(fc.integer({ min: at('2020-01-01'), max: at('2026-01-01') })),
    to: some(fc.integer({ min: at('2020-01-01'), max: at('2026-01-01') })),
    release: some(
      fc.record({
        by: fc.constantFrom(['jane.doe'], ['jane.doe', 'sam.lee'], ['jane.doe', 'jane.doe']),
        at: instants,
        reason: fc.constant('Settled'),
      }),
    ),
  })
  .map(hold);
