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

/**
 * Searches with RE2 for what has a bounded length, and looks at nothing but so many characters behind each beginning. Linear
 * as long as no character is read by more than a bounded number of attempts.
 *
 * @param beginning global and bounded; every match begins with it.
 * @param pattern in RE2's syntax.
 * @param charactersMax of a match.
 */
export function linearWithin(beginning: RegExp, pattern: string, charactersMax: number): Search {
  const compiled = RE2JS.compile(pattern);
  return (text, from) => {
    beginning.lastIndex = from;
    for (let begun = beginning.exec(text); begun; begun = beginning.exec(text)) {
      const start = begun.index;
      // One more, which tells whether a word ends there.
      const matcher = compiled.matcher(text.slice(start, start + charactersMax + 1));
      if (matcher.lookingAt()) return { start, end: start + matcher.end() };
      beginning.lastIndex = start + 1;
    }
    return undefined;
  };
}

/**
 * Searches for what stands around a rare character: as many characters of a class as there are before it, at least one, and
 * what a pattern matches behind it. A backtracking engine would begin at each character of the class anew.
 *
 * @param anchor a character that is neither in the class nor in what the pattern matches: so the time is linear.
 * @param before one character of the class, which is ASCII.
 * @param behind sticky.
 */
export function around(anchor: string, before: RegExp, beforeMax: number, behind: RegExp): Search {
  const isBefore = Array.from({ length: 128 }, (_, code) => before.test(String.fromCharCode(code)));
  return (text, from) => {
    for (let at = text.indexOf(anchor, from); at >= 0; at = text.indexOf(anchor, at + 1)) {
      const least = Math.max(from, at - beforeMax);
      let start = at;
      while (start > least && isBefore[text.charCodeAt(start - 1)] === true) start -= 1;
      if (start === at) continue;
      behind.lastIndex = at + 1;
      if (behind.test(text)) return { start, end: behind.lastIndex };
    }
    return undefined;
  };
}
