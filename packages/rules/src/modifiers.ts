import { base64Of, base64Offsets, type Encoding, encodedAs } from './encoding.ts';
import { didYouMean, RuleError } from './mistake.ts';
import { literalOf, type Pattern, type Piece, parsePattern, withAny } from './pattern.ts';
import type { RegexFlags } from './regular-expression.ts';

/** How the values of a field are compared. */
export type Compare =
  | { readonly how: 'pattern' }
  | { readonly how: 'regex'; readonly flags: RegexFlags }
  | { readonly how: 'cidr' }
  | { readonly how: 'exists' }
  | { readonly how: 'number'; readonly operator: 'lt' | 'lte' | 'gt' | 'gte' }
  | { readonly how: 'time'; readonly unit: TimeUnit }
  | { readonly how: 'field'; readonly place: 'whole' | 'start' | 'end' | 'inside' };

export type TimeUnit = 'minute' | 'hour' | 'day' | 'month' | 'year';

/** What the modifiers of one field say together. */
export interface Modifiers {
  readonly compare: Compare;
  /** All values must hold, not any. */
  readonly all: boolean;
  readonly cased: boolean;
  /** The whole is turned round. */
  readonly negated: boolean;
  readonly expand: boolean;
  /** From a value as written to the patterns of which one must fit. @throws RuleError at `offset` */
  readonly patternsOf: (text: string, offset: number) => Pattern[];
}

const TIME_UNITS = ['minute', 'hour', 'day', 'month', 'year'] as const;
const NUMBER_OPERATORS = ['lt', 'lte', 'gt', 'gte'] as const;
const PLACES = { contains: 'inside', startswith: 'start', endswith: 'end' } as const;
const ENCODINGS: Readonly<Record<string, Encoding>> = {
  utf16le: 'utf16le',
  wide: 'utf16le',
  utf16be: 'utf16be',
  utf16: 'utf16',
};
const REGEX_FLAGS: Readonly<Record<string, keyof RegexFlags>> = {
  i: 'ignoreCase',
  ignorecase: 'ignoreCase',
  m: 'multiLine',
  multiline: 'multiLine',
  s: 'dotAll',
  dotall: 'dotAll',
};

/** Every modifier that is understood. */
export const MODIFIERS: readonly string[] = [
  ...['all', 'base64', 'base64offset', 'cased', 'cidr', 'contains', 'endswith', 'exists', 'expand'],
  ...['fieldref', 'neq', 're', 'startswith', 'windash'],
  ...Object.keys(ENCODINGS),
  ...Object.keys(REGEX_FLAGS),
  ...NUMBER_OPERATORS,
  ...TIME_UNITS,
];

/** The first of each kind excludes the others: a value is a pattern, an expression, a network, a number or a field. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  re: ['all', 'neq', 'expand', ...Object.keys(REGEX_FLAGS)],
  cidr: ['all', 'neq', 'expand'],
  exists: ['neq'],
  fieldref: ['all', 'neq', 'cased', 'contains', 'startswith', 'endswith'],
  ...Object.fromEntries([...NUMBER_OPERATORS, ...TIME_UNITS].map((name) => [name, ['all', 'neq']])),
};

/**
 * @param names the modifiers behind a field, in the order in which they are applied.
 * @throws RuleError at `offset`
 */
export function modifiersOf(names: readonly string[], offset: number): Modifiers {
  for (const name of names) {
    if (MODIFIERS.includes(name)) continue;
    const why = name === 'week' ? '; weeks are counted in more than one way' : didYouMean(name, MODIFIERS);
    throw new RuleError(offset, `there is no modifier ${name || '(empty)'}${why}`);
  }
  const has = (name: string): boolean => names.includes(name);
  const kind = Object.keys(KINDS).find(has);
  const stranger = names.find((name) => kind !== undefined && name !== kind && !KINDS[kind]?.includes(name));
  if (stranger !== undefined)
    throw new RuleError(offset, `${stranger} and ${kind} do not go together; leave out one of them`);
  const flag = names.find((name) => name in REGEX_FLAGS);
  if (kind !== 're' && flag !== undefined)
    throw new RuleError(offset, `${flag} belongs to re; write |re|${flag}`);
  if (has('base64') && has('base64offset'))
    throw new RuleError(offset, 'base64 and base64offset do not go together; leave out one of them');
  const encoding = names.find((name) => name in ENCODINGS);
  if (encoding !== undefined && !has('base64') && !has('base64offset'))
    throw new RuleError(
      offset,
      `${encoding} belongs before base64 or base64offset; write |${encoding}|base64`,
    );
  const place = (Object.keys(PLACES) as (keyof typeof PLACES)[]).find(has);
  const flags = new Set(names.map((name) => REGEX_FLAGS[name]));
  return {
    compare: compareOf(kind, place, {
      ignoreCase: flags.has('ignoreCase'),
      multiLine: flags.has('multiLine'),
      dotAll: flags.has('dotAll'),
    }),
    all: has('all'),
    cased: has('cased'),
    negated: has('neq'),
    expand: has('expand'),
    patternsOf: patternsBy(names),
  };
}

function compareOf(
  kind: string | undefined,
  place: keyof typeof PLACES | undefined,
  flags: RegexFlags,
): Compare {
  if (kind === undefined) return { how: 'pattern' };
  if (kind === 're') return { how: 'regex', flags };
  if (kind === 'cidr' || kind === 'exists') return { how: kind };
  if (kind === 'fieldref') return { how: 'field', place: place === undefined ? 'whole' : PLACES[place] };
  const operator = NUMBER_OPERATORS.find((name) => name === kind);
  if (operator !== undefined) return { how: 'number', operator };
  return { how: 'time', unit: kind as TimeUnit };
}

/** Applies the modifiers that change values, one after another. */
function patternsBy(names: readonly string[]): Modifiers['patternsOf'] {
  return (text, offset) => {
    let patterns: Pattern[] = [parsePattern(text)];
    let encoding: Encoding = 'utf8';
    const plain = (pattern: Pattern, name: string): string => {
      const literal = literalOf(pattern);
      if (literal === undefined)
        throw new RuleError(offset, `${name} takes no wildcards; write \\* or \\? for the characters`);
      return literal;
    };
    for (const name of names) {
      if (name === 'contains') patterns = patterns.map((pattern) => withAny(pattern, true, true));
      else if (name === 'startswith') patterns = patterns.map((pattern) => withAny(pattern, false, true));
      else if (name === 'endswith') patterns = patterns.map((pattern) => withAny(pattern, true, false));
      else if (name === 'windash') patterns = patterns.flatMap((pattern) => dashesOf(pattern, offset));
      else if (name === 'base64')
        patterns = patterns.map((pattern) => [base64Of(encodedAs(encoding, plain(pattern, name)))]);
      else if (name === 'base64offset')
        patterns = patterns.flatMap((pattern) =>
          base64Offsets(encodedAs(encoding, plain(pattern, name))).map((found) => [found]),
        );
      else encoding = ENCODINGS[name] ?? encoding;
    }
    return patterns;
  };
}

const DASHES = ['-', '/', '\u2013', '\u2014', '\u2015'];
/** More alternatives than this are a mistake: three dashes have 125. */
const DASHED_MAX = 3;

/** A pattern with each dash or slash that begins a parameter as every kind of dash. */
function dashesOf(pattern: Pattern, offset: number): Pattern[] {
  let dashed: Piece[][] = [[]];
  let dashes = 0;
  for (const piece of pattern) {
    if (typeof piece !== 'string') {
      dashed = dashed.map((begun) => [...begun, piece]);
      continue;
    }
    const parts = piece.split(/\B[-/]\b/);
    dashes += parts.length - 1;
    if (dashes > DASHED_MAX)
      throw new RuleError(
        offset,
        `windash takes at most ${DASHED_MAX} dashes in a value; write several values`,
      );
    let texts = [parts[0] ?? ''];
    for (const part of parts.slice(1))
      texts = texts.flatMap((begun) => DASHES.map((dash) => `${begun}${dash}${part}`));
    dashed = dashed.flatMap((begun) => texts.map((text) => [...begun, text]));
  }
  return dashed;
}
