import { createHash } from 'node:crypto';
import { createEvaluator, type RuleEvent, type RuleSet, readRules } from '../../src/index.ts';

/** For each rule what it found: indexes of events, or group and second of each firing, as sorted texts. */
export type Answers = ReadonlyMap<string, readonly string[]>;

/** @throws an error when a rule of the corpus has a mistake. */
export function rulesOf(text: string): RuleSet {
  const { rules, mistakes } = readRules([{ file: 'corpus.yml', text }], { exact: true });
  if (mistakes.length > 0) throw new Error(JSON.stringify(mistakes));
  return rules;
}

export function detectionAnswers(rules: RuleSet, events: readonly RuleEvent[]): Answers {
  return new Map(
    rules.detections.map(({ id, matches }) => [
      id,
      events.flatMap((event, index) => (matches(event) ? [String(index)] : [])).sort(),
    ]),
  );
}

export function correlationAnswers(rules: RuleSet, events: readonly RuleEvent[]): Answers {
  const found = new Map<string, string[]>(rules.correlations.map(({ id }) => [id, []]));
  const evaluator = createEvaluator(rules, Number.MAX_SAFE_INTEGER);
  const { firings } = evaluator.take(events);
  // Windows that are judged at their close, as far as event time goes.
  const closed = evaluator.close(events.at(-1)?.timestamp ?? 0);
  for (const { correlation, group, end } of [...firings, ...closed])
    found.get(correlation.id)?.push(firingText(group.slice(1), end / 1_000_000));
  return new Map([...found].map(([id, texts]) => [id, texts.sort()]));
}

/** Without regard to case, as groups compare. @param second since 1970. */
export function firingText(group: readonly string[], second: number): string {
  return `${group.join(' ').toLowerCase()} ${second}`;
}

/** Count and hash of what a rule found, for keeping. */
export function digestOf(texts: readonly string[]): string {
  return `${texts.length} ${createHash('sha256').update(texts.join('\n')).digest('hex').slice(0, 32)}`;
}

/** Ids of the rules of which the answers are not the same. */
export function differing(ours: Answers, theirs: Answers): string[] {
  return [...ours]
    .filter(([id, texts]) => digestOf(texts) !== digestOf(theirs.get(id) ?? []))
    .map(([id]) => id);
}
