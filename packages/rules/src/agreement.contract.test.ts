import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import {
  chainedRules,
  corpusEvents,
  correlatedRules,
  correlationEvents,
  detectionRules,
  EVENTS,
  flatJson,
  NUMBERS,
  TEXTS,
} from '../test/oracle/corpus.ts';
import {
  type Answers,
  correlationAnswers,
  detectionAnswers,
  differing,
  digestOf,
  firingText,
  rulesOf,
} from '../test/oracle/our-answers.ts';
import { pythonWithPysigma } from '../test/python-with-pysigma.ts';
import type { RuleEvent } from './index.ts';

const oracle = join(import.meta.dirname, '..', 'test', 'oracle');
const rules = detectionRules();
const events = corpusEvents(rules);
let ours: Answers;
beforeAll(() => {
  ours = detectionAnswers(rulesOf(rules), events);
}, 300_000);

/** Ids of the corpus' rules of which the text fits. */
function rulesWith(fits: (detection: unknown) => boolean): string[] {
  return parseAllDocuments(rules)
    .map((document) => document.toJS() as { id: string; detection: unknown })
    .filter((rule) => fits(rule?.detection))
    .map(({ id }) => id);
}

const hasNullInList = (value: unknown): boolean => {
  if (Array.isArray(value)) return value.includes(null) || value.some(hasNullInList);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasNullInList);
};
const hasCidr = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Object.entries(value).some(([key, inner]) => key.includes('|cidr') || hasCidr(inner));

describe('the corpus', () => {
  test('has 400 rules, of which most match some of 10,000 events and none all', () => {
    expect(events.length).toBe(EVENTS);
    expect(ours.size).toBe(400);
    const counts = [...ours.values()].map((found) => found.length);
    expect(counts.filter((count) => count > 0).length).toBeGreaterThan(300);
    expect(counts.filter((count) => count < EVENTS).length).toBeGreaterThan(380);
  });
});

describe('pySigma with its SQLite backend', () => {
  /** What the script prints for these rules and events. */
  function ask(text: string, asked: readonly RuleEvent[]): Record<string, unknown[]> {
    const directory = mkdtempSync(join(tmpdir(), 'pysigma-'));
    const [rulesFile, eventsFile] = [join(directory, 'rules.yml'), join(directory, 'events.ndjson')];
    try {
      writeFileSync(rulesFile, text);
      writeFileSync(eventsFile, `${asked.map(flatJson).join('\n')}\n`);
      const script = join(oracle, 'match_with_pysigma.py');
      const args = [script, rulesFile, eventsFile, ...TEXTS, ...NUMBERS];
      return JSON.parse(
        execFileSync(pythonWithPysigma(), args, { encoding: 'utf8', maxBuffer: 2 ** 28, timeout: 300_000 }),
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  test('finds the same events by every detection, but where a network is compared as a text', () => {
    const printed = ask(rules, events);
    const theirs = new Map(Object.entries(printed).map(([id, found]) => [id, found.map(String).sort()]));
    const different = differing(ours, theirs);
    const cidr = rulesWith(hasCidr);
    // Its backend writes 10.0.0.0/8 as `10.*`, which also begins texts that are no addresses.
    for (const id of different) {
      expect(cidr).toContain(id);
      expect(theirs.get(id)).toEqual(expect.arrayContaining([...(ours.get(id) ?? [])]));
    }
    expect(different.length).toBeLessThanOrEqual(3);
  }, 400_000);

  test.each([
    ['every correlation', correlatedRules(), 60],
    ['correlations of correlations, with aliases, and, or and not', chainedRules(), 6],
  ])(
    'fires %s in the same groups at the same times',
    (_, text, count) => {
      const asked = correlationEvents(true);
      const printed = ask(text, asked) as Record<string, [string[], number][]>;
      const found = correlationAnswers(rulesOf(text), asked);
      const theirs = new Map(
        [...found.keys()].map((id) => [
          id,
          (printed[id] ?? []).map(([group, end]) => firingText(group, end)).sort(),
        ]),
      );
      expect(found.size).toBe(count);
      expect(differing(found, theirs)).toEqual([]);
      expect([...found.values()].filter((firings) => firings.length > 0).length).toBeGreaterThan(count * 0.8);
    },
    400_000,
  );
});

describe('rsigma', () => {
  const kept = JSON.parse(readFileSync(join(oracle, 'rsigma-answers.json'), 'utf8')) as {
    version: string;
    detections: Record<string, string>;
    correlations: Record<string, string>;
  };
  const differingFrom = (answers: Answers, digests: Record<string, string>): string[] =>
    [...answers].filter(([id, found]) => digestOf(found) !== (digests[id] ?? digestOf([]))).map(([id]) => id);

  test('finds the same events by every detection, but where null stands in a list', () => {
    expect(kept.version).toContain('0.23.0');
    const different = differingFrom(ours, kept.detections);
    // It takes `field: [null, a]` not to hold for an event without the field, though `field: null` does.
    const listed = rulesWith(hasNullInList);
    for (const id of different) expect(listed).toContain(id);
    expect(different.length).toBeLessThan(20);
  });

  test('fires every correlation in the same groups at the same times when no two events share one', () => {
    const found = correlationAnswers(rulesOf(correlatedRules()), correlationEvents(false));
    expect(differingFrom(found, kept.correlations)).toEqual([]);
  }, 60_000);
});
