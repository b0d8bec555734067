// A pattern is a text with wildcards: `*` any characters, `?` exactly one. `\*`, `\?` and `\\` stand for the characters
// themselves; a backslash before anything else is a backslash (Sigma rules specification, "Escaping").

/** One piece of a pattern: literal text, or a wildcard. */
export type Piece = string | typeof ANY | typeof ONE;
const ANY = Symbol('*');
const ONE = Symbol('?');
export type Pattern = readonly Piece[];

/** Reads the wildcards and escapes of a value. Neighbouring texts are one. */
export function parsePattern(value: string): Pattern {
  const pieces: Piece[] = [];
  let text = '';
  const end = (): void => {
    if (text !== '') pieces.push(text);
    text = '';
  };
  for (let at = 0; at < value.length; at += 1) {
    const char = value[at] as string;
    const next = value[at + 1];
    if (char === '\\' && (next === '*' || next === '?' || next === '\\')) {
      text += next;
      at += 1;
    } else if (char === '*' || char === '?') {
      end();
      const wildcard = char === '*' ? ANY : ONE;
      if (wildcard === ONE || pieces.at(-1) !== ANY) pieces.push(wildcard);
    } else text += char;
  }
  end();
  return pieces;
}

/** The text of a pattern without wildcards, else undefined. */
export function literalOf(pattern: Pattern): string | undefined {
  if (pattern.length === 0) return '';
  const [only] = pattern;
  return pattern.length === 1 && typeof only === 'string' ? only : undefined;
}

/** `*` put around, before or behind a pattern. */
export function withAny(pattern: Pattern, before: boolean, behind: boolean): Pattern {
  return [
    ...(before && pattern[0] !== ANY ? [ANY] : []),
    ...pattern,
    ...(behind && (pattern.at(-1) !== ANY || pattern.length === 0) ? [ANY] : []),
  ] as Pattern;
}

/**
 * A test of whole texts against a pattern. Its time is at most the product of both lengths, whatever they are: only the last
 * `*` is ever tried again.
 *
 * @param cased false: without regard to case.
 */
export function matcherOf(pattern: Pattern, cased: boolean): (text: string) => boolean {
  const folded = cased ? pattern : pattern.map((piece) => (typeof piece === 'string' ? fold(piece) : piece));
  const test = testOf(folded);
  return cased ? test : (text) => test(fold(text));
}

/** Texts that differ in case alone are the same under it. */
export const fold = (text: string): string => text.toLowerCase();

function testOf(pattern: Pattern): (text: string) => boolean {
  const literal = literalOf(pattern);
  if (literal !== undefined) return (text) => text === literal;
  const [first, second, third] = pattern;
  if (pattern.length === 1 && first === ANY) return () => true;
  if (pattern.length === 2 && first === ANY && typeof second === 'string')
    return (text) => text.endsWith(second);
  if (pattern.length === 2 && typeof first === 'string' && second === ANY)
    return (text) => text.startsWith(first);
  if (pattern.length === 3 && first === ANY && typeof second === 'string' && third === ANY)
    return (text) => text.includes(second);
  const steps = pattern.flatMap((piece): Piece[] => (typeof piece === 'string' ? [...piece] : [piece]));
  return (text) => globMatches(steps, [...text]);
}

/** @param steps single characters and wildcards. */
function globMatches(steps: readonly Piece[], text: readonly string[]): boolean {
  let [step, at] = [0, 0];
  /** Step behind the last `*`, and where in the text it goes on. */
  let [retry, resume] = [-1, 0];
  while (at < text.length) {
    const piece = steps[step];
    if (piece === ANY) {
      step += 1;
      [retry, resume] = [step, at];
    } else if (piece === ONE || (piece !== undefined && piece === text[at])) {
      step += 1;
      at += 1;
    } else if (retry >= 0) {
      resume += 1;
      [step, at] = [retry, resume];
    } else return false;
  }
  while (steps[step] === ANY) step += 1;
  return step === steps.length;
}
