// The grammar of conditions, of detections and of extended correlation conditions alike:
//
//   or    = and { "or" and }
//   and   = not { "and" not }
//   not   = "not" not | "(" or ")" | quantity "of" ("them" | pattern) | name
//   quantity = "1" | "any" | "all"
//
// `them` is every selection whose name does not begin with `_`; a pattern has `*` for any characters.
import { didYouMean, RuleError } from './mistake.ts';
import { matcherOf, parsePattern } from './pattern.ts';

export type Condition =
  | { readonly op: 'name'; readonly name: string; readonly offset: number }
  | { readonly op: 'not'; readonly of: Condition }
  | { readonly op: 'and' | 'or'; readonly of: readonly Condition[] };

interface Token {
  readonly text: string;
  readonly offset: number;
}

const DEPTH_MAX = 64;
const WORDS = new Set(['and', 'or', 'not', 'of', 'them']);

/**
 * @param names of the selections, in the order of the file.
 * @param offset of the text in its file, for mistakes.
 * @throws RuleError
 */
export function parseCondition(text: string, names: readonly string[], offset: number): Condition {
  const tokens = tokensOf(text, offset);
  let at = 0;
  const peek = (): string | undefined => tokens[at]?.text;
  const here = (): number => tokens[at]?.offset ?? offset + text.length;
  const take = (): Token => {
    const token = tokens[at];
    if (token === undefined) throw new RuleError(here(), 'the condition ends too early');
    at += 1;
    return token;
  };

  const chain = (op: 'and' | 'or', inner: (depth: number) => Condition, depth: number): Condition => {
    const of = [inner(depth)];
    while (peek()?.toLowerCase() === op) {
      at += 1;
      of.push(inner(depth));
    }
    return of.length === 1 ? (of[0] as Condition) : { op, of };
  };
  const or = (depth: number): Condition => chain('or', and, depth);
  const and = (depth: number): Condition => chain('and', not, depth);
  const not = (depth: number): Condition => {
    if (depth > DEPTH_MAX) throw new RuleError(here(), `the condition is nested more than ${DEPTH_MAX} deep`);
    const token = take();
    const word = token.text.toLowerCase();
    if (word === 'not') return { op: 'not', of: not(depth + 1) };
    if (word === '(') {
      const inner = or(depth + 1);
      if (peek() !== ')') throw new RuleError(here(), 'a closing parenthesis is missing here');
      at += 1;
      return inner;
    }
    if (peek()?.toLowerCase() === 'of' && !names.includes(token.text)) return quantified(token);
    if (WORDS.has(word) || word === ')')
      throw new RuleError(token.offset, `${token.text} cannot stand here; write a selection's name`);
    if (!names.includes(token.text)) throw unknown(token);
    return { op: 'name', name: token.text, offset: token.offset };
  };
  const quantified = (quantity: Token): Condition => {
    at += 1;
    const op = { '1': 'or', any: 'or', all: 'and' }[quantity.text.toLowerCase()] as 'or' | 'and' | undefined;
    if (op === undefined) {
      throw new RuleError(
        quantity.offset,
        `${quantity.text} of is not in Sigma; write 1 of, any of or all of`,
      );
    }
    const pattern = take();
    const them = pattern.text.toLowerCase() === 'them';
    const fits = matcherOf(parsePattern(pattern.text), true);
    const meant = names.filter((name) => (them ? !name.startsWith('_') : fits(name)));
    if (meant.length === 0) {
      throw new RuleError(
        pattern.offset,
        `no selection is called ${pattern.text}${didYouMean(pattern.text, names)}`,
      );
    }
    const of = meant.map((name): Condition => ({ op: 'name', name, offset: pattern.offset }));
    return of.length === 1 ? (of[0] as Condition) : { op, of };
  };
  const unknown = ({ text: word, offset: where }: Token): RuleError =>
    word === '|' || word === 'near' || word === 'count'
      ? new RuleError(where, 'aggregations are no longer part of Sigma conditions; write a correlation')
      : new RuleError(where, `there is no selection ${word}${didYouMean(word, names)}`);

  const condition = or(0);
  const rest = tokens[at];
  if (rest !== undefined) {
    if (rest.text === '|') throw unknown(rest);
    throw new RuleError(rest.offset, `${rest.text} is not expected here; write and, or, or nothing`);
  }
  return condition;
}

/** Names that a condition speaks of. */
export function namesIn(condition: Condition): Set<string> {
  if (condition.op === 'name') return new Set([condition.name]);
  const parts = condition.op === 'not' ? [condition.of] : condition.of;
  return new Set(parts.flatMap((part) => [...namesIn(part)]));
}

/** The condition over tests of the names. */
export function testOf<T>(
  condition: Condition,
  named: (name: string) => (subject: T) => boolean,
): (subject: T) => boolean {
  if (condition.op === 'name') return named(condition.name);
  if (condition.op === 'not') {
    const inner = testOf(condition.of, named);
    return (subject) => !inner(subject);
  }
  const tests = condition.of.map((part) => testOf(part, named));
  return condition.op === 'and' ? allOf(tests) : anyOf(tests);
}

export function allOf<T>(tests: readonly ((subject: T) => boolean)[]): (subject: T) => boolean {
  const [a, b] = tests;
  if (a !== undefined && tests.length === 1) return a;
  if (a !== undefined && b !== undefined && tests.length === 2) return (subject) => a(subject) && b(subject);
  return (subject) => {
    for (const test of tests) if (!test(subject)) return false;
    return true;
  };
}

export function anyOf<T>(tests: readonly ((subject: T) => boolean)[]): (subject: T) => boolean {
  const [a, b] = tests;
  if (a !== undefined && tests.length === 1) return a;
  if (a !== undefined && b !== undefined && tests.length === 2) return (subject) => a(subject) || b(subject);
  return (subject) => {
    for (const test of tests) if (test(subject)) return true;
    return false;
  };
}

function tokensOf(text: string, offset: number): Token[] {
  return [...text.matchAll(/[()|]|[^\s()|]+/g)].map((match) => ({
    text: match[0],
    offset: offset + match.index,
  }));
}
