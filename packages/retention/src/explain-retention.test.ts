import { describe, expect, test } from '@jest/globals';
import { classOf, explainRetention, warningsOf } from './index.ts';
import { at, policyWith } from './testing/policy-text.ts';

const NOW = at('2026-11-25T12:00:00Z');
const policy = policyWith(`
classes:
  standard: { regimes: [year] }
  health: { regimes: [year, six, { regime: most, keep_at_most: 5 years }] }
  alive: { regimes: [year, { regime: life, operated_until: open, keep_after_operation: 10 years }] }
default_class: standard
organisations:
  acme: [{ class: standard, from: 2025-01-01 }, { class: health, from: 2026-07-01 }]
  robot: alive
holds:
  - { id: acme-1, org: acme, session: s1, to: 2026-08-01, reason: A letter, placed_by: jane.doe, placed_at: 2026-04-17 }
  - id: acme-2
    org: acme
    reason: Another
    placed_by: jane.doe
    placed_at: 2026-04-17
    release: { by: [jane.doe, sam.lee], at: 2026-10-01, reason: Settled }
`);

describe('an explanation', () => {
  test('says what is kept until when, which regime decided, where that is written, and what else was asked for', () => {
    const explained = explainRetention(policy, 'acme', '2026-07-15', NOW);
    expect(explained).toMatchObject({
      class: { name: 'health', why: 'assigned', from: '2026-07-01', topic: 'audit.events.health' },
      kept: { last_day: '2032-07-15', until: '2032-07-16T00:00:00Z' },
      decided_by: { regime: 'six', basis: 'law', source: 'Act 6', demand: '6 years from the event' },
      runners_up: [{ regime: 'year', last_day: '2027-07-15' }],
      maximums: [{ regime: 'most', period: '5 years', last_day: '2031-07-15', exceeded: true }],
      hot: { days: 30, until: '2026-08-14T00:00:00Z' },
      lock: { mode: 'COMPLIANCE', until: '2032-07-16T00:00:00Z' },
    });
    expect(explained.warnings.map(({ code }) => code)).toEqual(['maximum.exceeded']);
  });

  test('names the holds that stand, with what they name', () => {
    const { holds, lock } = explainRetention(policy, 'acme', '2026-07-15', NOW);
    expect(holds).toEqual([
      {
        id: 'acme-1',
        reason: 'A letter',
        placed_by: 'jane.doe',
        placed_at: '2026-04-17T00:00:00Z',
        names: 'organisation acme, session s1',
      },
    ]);
    expect(lock.carried_on).toBe(true);
    expect(explainRetention(policy, 'acme', '2026-08-01', NOW).holds).toEqual([]);
    expect(explainRetention(policy, 'acme', '2026-07-15', at('2026-09-30')).holds).toHaveLength(2);
  });

  test('of a system in operation has no last day, and its lock has one', () => {
    expect(explainRetention(policy, 'robot', '2026-11-25', NOW)).toMatchObject({
      kept: { last_day: null, until: null },
      decided_by: { demand: 'while the system operates and 10 years after', until: null },
      lock: { until: '2027-11-26T00:00:00Z', carried_on: true },
    });
  });

  test('is the same after a trip through JSON', () => {
    const explained = explainRetention(policy, 'robot', '2026-11-25', NOW);
    expect(JSON.parse(JSON.stringify(explained))).toEqual(explained);
  });

  test('of an organisation without a class is refused', () => {
    const strict = policyWith('classes: { standard: { regimes: [year] } }');
    expect(() => explainRetention(strict, 'acme', '2026-11-25', NOW)).toThrow(
      expect.objectContaining({ code: 'organisation.unclassed' }),
    );
  });
});

describe('the class of an organisation', () => {
  test.each([
    ['acme', '2024-12-31T23:59:59Z', 'standard', 'default'],
    ['acme', '2025-01-01T00:00:00Z', 'standard', 'assigned'],
    ['acme', '2026-06-30T23:59:59Z', 'standard', 'assigned'],
    ['acme', '2026-07-01T00:00:00Z', 'health', 'assigned'],
    ['robot', '2001-01-01T00:00:00Z', 'alive', 'assigned'],
    ['other', '2026-07-01T00:00:00Z', 'standard', 'default'],
    ['constructor', '2026-07-01T00:00:00Z', 'standard', 'default'],
    ['__proto__', '2026-07-01T00:00:00Z', 'standard', 'default'],
  ])('%s at %s is %s, %s', (org, when, name, why) => {
    expect(classOf(policy, org, at(when))).toMatchObject({ class: name, why });
  });
});

describe('warnings', () => {
  const codes = (rest: string) => warningsOf(policyWith(rest), NOW).map(({ code, about }) => [code, about]);

  test('are none where all fits', () => {
    expect(
      codes(
        'default_class: a\nclasses: { a: { regimes: [year, hot, { regime: most, keep_at_most: 12 months }] } }',
      ),
    ).toEqual([]);
  });

  test.each([
    [
      'a maximum below a minimum',
      'regimes: [six, { regime: most, keep_at_most: 5 years }]',
      'maximum.exceeded',
    ],
    [
      'a maximum for what has no end',
      'regimes: [year, { regime: most, keep_at_most: 90 years }, { regime: life, operated_until: open, keep_after_operation: 1 year }]',
      'maximum.exceeded',
    ],
    ['92 hot days where three months are asked for', 'regimes: [hot], hot_days: 92', 'hot.short'],
    ['a lock shorter than a regime', 'regimes: [six], lock_for: 2191 days', 'lock.short'],
    ['a lock that can be bypassed', 'regimes: [six], object_lock: governance', 'lock.governance'],
    ['a regime that does not bind yet', 'regimes: [year, dated]', 'regime.not-binding'],
  ])('tell of %s', (_, parts, code) => {
    expect(codes(`default_class: a\nclasses: { a: { ${parts} } }`)).toEqual([[code, 'a']]);
  });

  test('tell of 93 hot days nothing, and of a lock that is just long enough neither', () => {
    expect(
      codes('default_class: a\nclasses: { a: { regimes: [hot], hot_days: 93, lock_for: 12 months } }'),
    ).toEqual([]);
  });

  test('tell of organisations without a class and of a hold on everyone', () => {
    expect(
      codes(
        'classes: { a: { regimes: [year] } }\nholds: [{ id: h, agent: bot, reason: A letter, placed_by: jane, placed_at: 2026-01-01 }]',
      ),
    ).toEqual([
      ['organisation.unclassed', undefined],
      ['hold.broad', 'h'],
    ]);
  });
});
