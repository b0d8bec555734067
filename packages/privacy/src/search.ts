import { RE2JS } from 're2js';

export interface Match {
  readonly start: number;
  readonly end: number;
}

/** The first match that begins at or behind this place. */
export type Search = (text: string, from: number) => Match | undefined;

/**
 * Searches with the engine of JavaScript, some hundred times faster than RE2 in JavaScript. It backtracks, so it is only
 * for patterns where a failed attempt ends after a bounded number of characters, or reads on through characters that no
 * more than a bounded number of other attempts read: then hostile texts take linear time as well.
 *
 * @param pattern global.
 * @param hint cheap test that every text with a match passes; for a pattern that does not begin with what is rare.
 */
export function bounded(pattern: RegExp, hint?: RegExp): Search {
  return (text, from) => {
    if (from === 0 && hint && !hint.test(text)) return undefined;
    pattern.lastIndex = from;
    const match = pattern.exec(text);
    return match ? { start: match.index, end: pattern.lastIndex } : undefined;
  };
}

/**
 * Searches with RE2, in linear time whatever the pattern.
 *
 * @param beginning global and bounded; every match begins with it, so nothing before it is looked at.
 * @param pattern in RE2's syntax.
 */
export function linear(beginning: RegExp, pattern: string): Search {
  const compiled = RE2JS.compile(pattern);
  return (text, from) => {
    beginning.lastIndex = from;
    const begun = beginning.exec(text);
    if (!begun) return undefined;
    const matcher = compiled.matcher(text);
    return matcher.find(begun.index) ? { start: matcher.start(), end: matcher.end() } : undefined;
  };
}
