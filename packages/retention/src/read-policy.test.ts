import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { mistakeText, policyJsonSchema, policyOf, readPolicy } from './index.ts';
import { policyWith, REGIMES } from './testing/policy-text.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const example = readFileSync(join(ROOT, 'deploy/config/retention.yaml'), 'utf8');

const mistakesIn = (source: string): string[] =>
  readPolicy(source).mistakes.map((mistake) => mistakeText(mistake, 'r.yaml'));
const inPolicy = (rest: string): string[] => mistakesIn(`version: 1\n${REGIMES}\n${rest}`);
const CLASSES = 'classes: { standard: { regimes: [year] } }';

describe('the policy that ships', () => {
  test('has no mistake, and every regime names its source', () => {
    const policy = policyOf(readPolicy(example), 'retention.yaml');
    expect([...policy.classes.keys()]).toEqual(['standard', 'payments', 'health', 'high-risk']);
    for (const { regimes } of policy.classes.values()) {
      for (const { source, says } of regimes)
        expect([source.length > 10, says.length > 10]).toEqual([true, true]);
    }
  });

  test('keeps payments 93 days hot', () => {
    expect(policyOf(readPolicy(example), '').classes.get('payments')?.hotDays).toBe(93);
  });

  test('still has no mistake with its examples uncommented', () => {
    const uncommented = example
      .replace('organisations: {}', 'organisations:')
      .replace('holds: []', 'holds:')
      .replaceAll(/^#(?= {2})/gm, '');
    const policy = policyOf(readPolicy(uncommented), 'retention.yaml');
    expect([policy.organisations.size, policy.holds.length]).toEqual([2, 1]);
  });

  test('is told apart from any other by its hash', () => {
    const [one, other] = [example, `${example}\n`].map((text) => policyOf(readPolicy(text), '').hash);
    expect(one).toMatch(/^[0-9a-f]{64}$/);
    expect(one).not.toBe(other);
  });
});

describe('schemas/retention.schema.json', () => {
  const schema = JSON.parse(readFileSync(join(ROOT, 'schemas/retention.schema.json'), 'utf8'));
  const accepts = new Ajv2020({ formats: { date: true, 'date-time': true } }).compile(schema);

  test('accepts the policy that ships, as another validator reads it', () => {
    expect([accepts(parse(example)), accepts.errors]).toEqual([true, null]);
  });

  test.each([
    ['an unknown key', 'hot_day: 3'],
    ['a period in other words', 'lock_renewal: { by: P1Y, when_under: 6 months }'],
    ['a hold without a reason', 'holds: [{ id: h, org: acme, placed_by: jane, placed_at: 2026-01-01 }]'],
    [
      'a release by one person',
      'holds: [{ id: h, org: a, reason: r, placed_by: jane, placed_at: 2026-01-01, release: { by: [jane], at: 2026-02-01, reason: r } }]',
    ],
  ])('refuses %s, as the reader does', (_, rest) => {
    const source = `version: 1\n${REGIMES}\n${CLASSES}\n${rest}`;
    expect([accepts(parse(source)), mistakesIn(source).length]).toEqual([false, 1]);
  });
});

test('schemas/retention.schema.json is what `npm run gen` writes', () => {
  const written = JSON.parse(readFileSync(join(ROOT, 'schemas/retention.schema.json'), 'utf8'));
  expect(written).toEqual(JSON.parse(JSON.stringify(policyJsonSchema())));
});

describe('mistakes', () => {
  test('are all told together, in order, each with its line and column', () => {
    const source = `version: 1
regimes:
  year: { title: A year, basis: habit, source: Habit, says: A year., keep_at_least: a year }
clases: {}
classes:
  Standard: { regimes: [year] }
  payments:
    regimes: []
    hot_days: 0
`;
    expect(mistakesIn(source)).toEqual([
      expect.stringMatching(/^r\.yaml:3:26: regimes\.year\.basis: /),
      expect.stringMatching(/^r\.yaml:3:70: regimes\.year\.keep_at_least: must be a period such as/),
      'r.yaml:4:1: clases: is not known here',
      expect.stringMatching(/^r\.yaml:6:3: classes\.Standard: /),
      'r.yaml:8:5: classes.payments.regimes: must name at least one',
      expect.stringMatching(/^r\.yaml:9:5: classes\.payments\.hot_days: /),
    ]);
  });

  test('of YAML are told with their place too', () => {
    expect(mistakesIn('version: 1\nversion: 1\nholds: [')).toEqual([
      expect.stringMatching(/^r\.yaml:2:1: .*unique/),
      expect.stringMatching(/^r\.yaml:3:\d+: /),
    ]);
  });

  test('make no policy, and one failure says all of them', () => {
    const reading = readPolicy('version: 2\nclasses: 7');
    expect(reading.policy).toBeUndefined();
    expect(() => policyOf(reading, 'r.yaml')).toThrow(
      expect.objectContaining({
        code: 'retention.invalid',
        message: expect.stringMatching(/version.*classes/),
      }),
    );
  });

  test.each([
    [
      'a class without a regime that always keeps',
      'classes: { c: { regimes: [dated] } }',
      /classes\.c\.regimes: one of them must/,
    ],
    [
      'a maximum alone',
      'classes: { c: { regimes: [{ regime: most, keep_at_most: 7 years }] } }',
      /one of them must/,
    ],
    [
      'a regime that is not there',
      'classes: { c: { regimes: [year, sox] } }',
      /classes\.c\.regimes\.1: there is no regime sox/,
    ],
    ['a regime twice', 'classes: { c: { regimes: [year, year] } }', /year stands twice/],
    [
      'what the regime leaves open left open',
      'classes: { c: { regimes: [year, most] } }',
      /must state keep_at_most/,
    ],
    [
      'a lifetime without its end',
      'classes: { c: { regimes: [year, { regime: life, keep_after_operation: 1 year }] } }',
      /must state operated_until/,
    ],
    [
      'another number than the regime says',
      'classes: { c: { regimes: [{ regime: year, keep_after_operation: 1 year }] } }',
      /cannot be stated here: year says nothing of it/,
    ],
    [
      'a default class that is not there',
      `${CLASSES}\ndefault_class: gold`,
      /default_class: there is no class gold/,
    ],
    [
      'an organisation of no class',
      `${CLASSES}\norganisations: { acme: gold }`,
      /organisations\.acme: there is no class gold/,
    ],
    [
      'a history out of order',
      `${CLASSES}\norganisations: { acme: [{ class: standard, from: 2026-02-01 }, { class: standard, from: 2026-01-01 }] }`,
      /organisations\.acme\.1: must say from, a later day/,
    ],
    [
      'a lock that is carried on at every run',
      `${CLASSES}\nlock_renewal: { by: 6 months, when_under: 185 days }`,
      /must be less than/,
    ],
    [
      'a day that is none',
      `${CLASSES}\norganisations: { acme: [{ class: standard, from: 2026-02-29 }] }`,
      /must be a/,
    ],
    ['a lock for ever', 'classes: { c: { regimes: [year], lock_for: 600 years } }', /at most 100 years/],
  ])('%s is one', (_, rest, says) => {
    const mistakes = inPolicy(rest);
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toMatch(says);
  });

  test.each(['__proto__', 'constructor', '../x', 'a/b', 'A', 'a\u202eb', '', 'x'.repeat(64)])(
    'an organisation, a class and a regime called %j are refused',
    (name) => {
      const key = JSON.stringify(name);
      // `constructor` has the form of a name, and is no class all the same.
      expect(inPolicy(`${CLASSES}\norganisations: { ${key}: ${key} }`)).not.toEqual([]);
      expect(inPolicy(`classes: { c: { regimes: [${key}] } }`)).not.toEqual([]);
      expect(inPolicy(`${CLASSES}\ndefault_class: ${key}`)).not.toEqual([]);
      expect(({} as Record<string, unknown>)['regimes']).toBeUndefined();
    },
  );

  test('aliases are refused, so that a small file cannot unfold to a billion', () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (let level = 1; level < 10; level += 1) {
      const [name, before] = [String.fromCharCode(97 + level), String.fromCharCode(96 + level)];
      bomb.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(', ')}]`);
    }
    expect(mistakesIn(bomb.join('\n'))).toContainEqual(
      expect.stringMatching(/^r\.yaml:2:8: aliases are not followed/),
    );
  });
});

describe('a hold', () => {
  const hold = (parts: string) =>
    `${CLASSES}\nholds:\n  - { id: h-1, reason: A letter, placed_by: jane.doe, placed_at: 2026-04-17, ${parts} }`;

  test('by organisation, session, agent, from and to, in any combination, is read', () => {
    const policy = policyWith(
      hold('org: acme, session: s1, agent: a1, from: 2026-01-01, to: 2026-02-01T12:00:00+02:00'),
    );
    expect(policy.holds[0]).toMatchObject({
      org: 'acme',
      session: 's1',
      agent: 'a1',
      from: Date.parse('2026-01-01T00:00:00Z'),
      to: Date.parse('2026-02-01T10:00:00Z'),
      release: undefined,
    });
  });

  test.each([
    ['covers nothing that it names', 'session: ""', /holds\.0\.session/],
    ['names nothing', '', /must say what it covers/],
    ['ends before it begins', 'from: 2026-02-01, to: 2026-02-01', /holds\.0\.to: must be after from/],
    [
      'was released by one person',
      'org: acme, release: { by: [jane.doe], at: 2026-05-01, reason: Done }',
      /must name two persons/,
    ],
    [
      'was released by one person twice',
      'org: acme, release: { by: [jane.doe, jane.doe], at: 2026-05-01, reason: Done }',
      /must name two different persons/,
    ],
    [
      'was released by one person in two spellings',
      'org: acme, release: { by: [jane.doe, Jane.Doe], at: 2026-05-01, reason: Done }',
      /identity provider/,
    ],
    [
      'was released by a lookalike',
      'org: acme, release: { by: [jane.doe, "j\u0430ne.doe"], at: 2026-05-01, reason: Done }',
      /identity provider/,
    ],
    [
      'was released before it was placed',
      'org: acme, release: { by: [jane.doe, sam.lee], at: 2026-04-01, reason: Done }',
      /must not be before placed_at/,
    ],
    [
      'was released without a reason',
      'org: acme, release: { by: [jane.doe, sam.lee], at: 2026-05-01, reason: " " }',
      /must say something/,
    ],
  ])('that %s is a mistake', (_, parts, says) => {
    const mistakes = inPolicy(hold(parts));
    expect(mistakes.join('\n')).toMatch(says);
  });

  test('of an id that stands twice is a mistake, with the place of the second', () => {
    const twice = `${hold('org: acme')}\n  - { id: h-1, reason: Again, placed_by: jane.doe, placed_at: 2026-04-18, org: acme }`;
    const line = `version: 1\n${REGIMES}\n${twice}`.split('\n').length;
    expect(inPolicy(twice)).toEqual([`r.yaml:${line}:7: holds.1.id: h-1 stands twice`]);
  });
});
