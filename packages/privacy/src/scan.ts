import type { Redaction } from '@cairn/event';
import { DETECTORS, MATCH_CHARACTERS_MIN, SECRET_NAME } from './detectors.ts';
import type { Match } from './search.ts';

/** Characters of one text that are looked at; what lies beyond is never kept. */
const SCANNED_MAX = 262_144;

/** Counts by rule. */
export type Findings = Map<string, number>;

/** What was found, most first, at most 32 rules. */
export function redactionsOf(findings: Findings): Redaction[] {
  return [...findings]
    .map(([rule, count]) => ({ rule, count }))
    .sort((left, right) => right.count - left.count || left.rule.localeCompare(right.rule))
    .slice(0, 32);
}

interface Span extends Match {
  readonly rule: string;
}

const NO_SPANS: readonly Span[] = [];

/** Where a text holds secrets and personal values: in order, none overlapping another. */
function spansOf(text: string): readonly Span[] {
  if (text.length < MATCH_CHARACTERS_MIN) return NO_SPANS;
  let spans = NO_SPANS;
  for (const { rule, search, confirm } of DETECTORS) {
    let match = search(text, 0);
    if (match === undefined) continue;
    const found: Span[] = [];
    for (; match !== undefined; match = search(text, match.end)) {
      const { start, end } = match;
      if (confirm === undefined || confirm(text.slice(start, end))) found.push({ start, end, rule });
    }
    spans = spans.length === 0 ? found : joined(spans, found);
  }
  return spans;
}

/** Both in order; of those found later, the ones that touch nothing found before. */
function joined(spans: readonly Span[], found: readonly Span[]): Span[] {
  const all: Span[] = [];
  let next = 0;
  for (const span of found) {
    for (; next < spans.length && spans[next]!.end <= span.start; next += 1) all.push(spans[next]!);
    if (next === spans.length || span.end <= spans[next]!.start) all.push(span);
  }
  return [...all, ...spans.slice(next)];
}

/** The text with every finding replaced by `[rule]`; findings are counted into `findings`. */
export function scrubText(text: string, findings: Findings): string {
  const looked = text.slice(0, SCANNED_MAX);
  const spans = spansOf(looked);
  if (spans.length === 0) return looked;
  let scrubbed = '';
  let at = 0;
  for (const { start, end, rule } of spans) {
    scrubbed += `${looked.slice(at, start)}[${rule}]`;
    at = end;
    add(findings, rule);
  }
  return scrubbed + looked.slice(at);
}

/** The text with every secret replaced by `[rule]`; personal values stay. At most as much of it as is looked at. */
export function withoutSecrets(text: string): string {
  const looked = text.slice(0, SCANNED_MAX);
  let scrubbed = '';
  let at = 0;
  for (const { start, end, rule } of spansOf(looked)) {
    if (!rule.startsWith('secret.')) continue;
    scrubbed += `${looked.slice(at, start)}[${rule}]`;
    at = end;
  }
  return at === 0 ? looked : scrubbed + looked.slice(at);
}

/** True when the text holds nothing that a detector knows. */
export function isClean(text: string): boolean {
  return spansOf(text.slice(0, SCANNED_MAX)).length === 0;
}

/**
 * Counts what a JSON value holds: in its texts, in its names, and as values of names that say secret.
 *
 * @param scrubbed is given what `scrubText` made of each text, for whoever goes on to keep some of them: looking through a
 *   text is most of what a call costs.
 */
export function scanValue(value: unknown, findings: Findings, scrubbed?: Map<string, string>): void {
  scan(value, findings, { characters: SCANNED_MAX * 4, nodes: 100_000, scrubbed });
}

interface Scan {
  /** Left of the budget. */
  characters: number;
  nodes: number;
  readonly scrubbed: Map<string, string> | undefined;
}

function scan(value: unknown, findings: Findings, left: Scan): void {
  left.nodes -= 1;
  if (left.nodes < 0 || left.characters < 0) return;
  if (typeof value === 'string') {
    left.characters -= value.length;
    const text = scrubText(value, findings);
    left.scrubbed?.set(value, text);
  } else if (Array.isArray(value)) {
    for (const entry of value) scan(entry, findings, left);
  } else if (value !== null && typeof value === 'object') {
    for (const [name, entry] of Object.entries(value)) {
      left.characters -= name.length;
      scrubText(name, findings);
      if (isSecretName(name) && isText(entry)) add(findings, 'secret.named-field');
      else scan(entry, findings, left);
    }
  }
}

export const isSecretName = (name: string): boolean => name.length <= 128 && SECRET_NAME.test(name);

const isText = (value: unknown): boolean =>
  (typeof value === 'string' && value !== '') || typeof value === 'number';

function add(findings: Findings, rule: string): void {
  findings.set(rule, (findings.get(rule) ?? 0) + 1);
}
