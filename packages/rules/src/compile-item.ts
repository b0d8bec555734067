// One line of a selection: a field with its modifiers, and its values.
import { networkTest } from './cidr.ts';
import { allOf, anyOf } from './condition.ts';
import { decidedBy, type EventCondition, type EventTest, undecided } from './event-condition.ts';
import { type Field, fieldNamed, fieldNames, type Scalar, searchedFields } from './field.ts';
import { didYouMean, RuleError } from './mistake.ts';
import { type Compare, type Modifiers, modifiersOf, type TimeUnit } from './modifiers.ts';
import { type Entry, itemsOf, type Node, scalarOf, startOf, type Value } from './node.ts';
import { fold, literalOf, matcherOf, type Pattern, withAny } from './pattern.ts';
import { searchFor } from './regular-expression.ts';
import type { FieldName } from './rule.ts';

/** What a rule may ask of its surroundings while it is compiled. */
export interface Surroundings {
  /** Values of placeholders, by their name without the percent signs. */
  readonly placeholders: ReadonlyMap<string, readonly string[]>;
  /** Takes note of a field that the rule reads. */
  readonly reads: (column: FieldName) => void;
}

type ScalarTest = (value: Scalar) => boolean;

const VALUES_MAX = 10_000;

/** @throws RuleError */
export function compileItem({ key, offset, value }: Entry, around: Surroundings): EventCondition {
  const [name = '', ...names] = key.split('|');
  const modifiers = modifiersOf(names, offset);
  const values = valuesOf(value, offset, modifiers, around);
  if (modifiers.all && values.length < 2)
    throw new RuleError(offset, 'all needs at least two values; leave it out, or write them as a list');
  if (name === '') return undecided(keywordTest(values, modifiers, offset, around));
  const field = known(name, offset, around);
  const test = compileField(field, values, modifiers, around);
  const holds: EventTest = modifiers.negated ? (event) => !test(event) : test;
  return field.form === 'enum' && modifiers.compare.how !== 'field' ? decidedBy(holds) : undecided(holds);
}

/** Values without a field: each is searched in every text of the event. @throws RuleError */
export function compileKeywords(node: Node | null, offset: number, around: Surroundings): EventCondition {
  const modifiers = modifiersOf([], offset);
  return undecided(keywordTest(valuesOf(node, offset, modifiers, around), modifiers, offset, around));
}

interface Given {
  readonly value: Value;
  readonly offset: number;
}

function valuesOf(
  node: Node | null,
  offset: number,
  { expand, compare }: Modifiers,
  { placeholders }: Surroundings,
): Given[] {
  const items = itemsOf(node);
  if (items.length === 0)
    throw new RuleError(startOf(node, offset), 'an empty list matches nothing; write a value');
  if (items.length > VALUES_MAX)
    throw new RuleError(startOf(node, offset), `more than ${VALUES_MAX} values; write several rules`);
  const given = items.map((item) => ({
    value: scalarOf(item, 'a value', offset),
    offset: startOf(item, offset),
  }));
  if (!expand) return given;
  return given.flatMap(({ value, offset: at }): Given[] =>
    typeof value === 'string'
      ? expanded(value, placeholders, at, compare).map((text) => ({ value: text, offset: at }))
      : [{ value, offset: at }],
  );
}

/** Every combination of the values of the placeholders in a text; what they bring in is taken literally. */
function expanded(
  text: string,
  placeholders: ReadonlyMap<string, readonly string[]>,
  offset: number,
  compare: Compare,
): string[] {
  const special = compare.how === 'regex' ? /[\\^$.*+?()[\]{}|]/g : /[\\*?]/g;
  const literally = (value: string): string =>
    compare.how === 'pattern' || compare.how === 'regex' ? value.replace(special, '\\$&') : value;
  const parts = text.split(/(?<!\\)%([A-Za-z0-9_-]+)(?<!\\)%/);
  let texts = [''];
  parts.forEach((part, index) => {
    if (index % 2 === 0) {
      const plain = part.replaceAll('\\%', '%');
      texts = texts.map((begun) => begun + plain);
      return;
    }
    const values = placeholders.get(part);
    if (values === undefined || values.length === 0) {
      throw new RuleError(
        offset,
        `the placeholder %${part}% has no values${didYouMean(part, [...placeholders.keys()])}`,
      );
    }
    texts = texts.flatMap((begun) => values.map((value) => begun + literally(value)));
    if (texts.length > VALUES_MAX)
      throw new RuleError(offset, `the placeholders give more than ${VALUES_MAX} values`);
  });
  return texts;
}

function known(name: string, offset: number, { reads }: Surroundings): Field {
  const field = fieldNamed(name);
  if (field === undefined)
    throw new RuleError(offset, `events have no field ${name}${didYouMean(name, fieldNames())}`);
  reads(field.column);
  return field;
}

function compileField(
  field: Field,
  values: readonly Given[],
  modifiers: Modifiers,
  around: Surroundings,
): EventTest {
  const { compare, all } = modifiers;
  if (compare.how === 'exists') return existsTest(field, values);
  if (compare.how === 'field') {
    const tests = values.map((given) => referenceTest(field, given, modifiers, around));
    return all ? allOf(tests) : anyOf(tests);
  }
  if (compare.how === 'time' && field.name !== 'timestamp') {
    throw new RuleError(
      values[0]?.offset ?? 0,
      `${compare.unit} belongs to timestamp; ${field.name} is no time`,
    );
  }
  const scalars = values.filter(({ value }) => value !== null).map((given) => scalarTest(given, modifiers));
  const absent = values.some(({ value }) => value === null || (value === '' && compare.how === 'pattern'));
  if (!all) return valueTest(field, anyValue(field, values, scalars, modifiers), absent);
  const each = values.map((given) =>
    given.value === null
      ? valueTest(field, () => false, true)
      : valueTest(field, scalarTest(given, modifiers), given.value === ''),
  );
  return allOf(each);
}

/** One test for all values. Plain texts and enum symbols become sets. */
function anyValue(
  field: Field,
  values: readonly Given[],
  tests: readonly ScalarTest[],
  { compare, cased, patternsOf }: Modifiers,
): ScalarTest {
  const any = anyOf(tests);
  if (field.symbols !== undefined) {
    const fitting = new Set<Scalar>(field.symbols.filter((symbol) => any(symbol)));
    return (value) => fitting.has(value);
  }
  if (compare.how !== 'pattern' || tests.length === 0) return any;
  const literals = values
    .filter(({ value }) => value !== null)
    .flatMap(({ value, offset }) => patternsOf(String(value), offset).map(literalOf));
  if (literals.includes(undefined)) return any;
  const set = new Set(literals.map((literal) => (cased ? (literal ?? '') : fold(literal ?? ''))));
  return cased ? (value) => set.has(String(value)) : (value) => set.has(fold(String(value)));
}

function scalarTest({ value, offset }: Given, { compare, cased, patternsOf }: Modifiers): ScalarTest {
  switch (compare.how) {
    case 'pattern':
      return anyOf(
        patternsOf(String(value), offset)
          .map((pattern) => matcherOf(pattern, cased))
          .map(
            (fits): ScalarTest =>
              (scalar) =>
                fits(String(scalar)),
          ),
      );
    case 'regex':
      return regexTest(value, offset, compare);
    case 'cidr': {
      const inside = typeof value === 'string' ? networkTest(value) : undefined;
      if (inside === undefined)
        throw new RuleError(offset, `${value} is no network; write it like 10.0.0.0/8 or fd00::/8`);
      return (scalar) => inside(String(scalar));
    }
    case 'number': {
      const limit = numberOf(value, offset, compare.operator);
      const compares: Record<typeof compare.operator, (number: number) => boolean> = {
        lt: (number) => number < limit,
        lte: (number) => number <= limit,
        gt: (number) => number > limit,
        gte: (number) => number >= limit,
      };
      const holds = compares[compare.operator];
      return (scalar) => {
        const number = typeof scalar === 'number' ? scalar : decimalOf(scalar);
        return number !== undefined && holds(number);
      };
    }
    case 'time': {
      const wanted = numberOf(value, offset, compare.unit);
      return (scalar) => timePart(Number(scalar), compare.unit) === wanted;
    }
    default:
      throw new TypeError(`${compare.how} compares no single value`);
  }
}

function regexTest(value: Value, offset: number, { flags }: Extract<Compare, { how: 'regex' }>): ScalarTest {
  if (typeof value !== 'string')
    throw new RuleError(offset, 're takes a text; put the expression in single quotes');
  try {
    const found = searchFor(value, flags);
    return (scalar) => found(String(scalar));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new RuleError(offset, `not an expression that is searched in linear time: ${why}`);
  }
}

function numberOf(value: Value, offset: number, name: string): number {
  const number = typeof value === 'string' ? decimalOf(value) : value;
  if (typeof number === 'number') return number;
  throw new RuleError(offset, `${name} takes a number, not ${value}`);
}

/** A text that is a decimal number, else undefined. */
function decimalOf(text: string): number | undefined {
  return /^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : undefined;
}

/** In UTC. @param micros since 1970. */
function timePart(micros: number, unit: TimeUnit): number {
  const date = new Date(micros / 1_000);
  switch (unit) {
    case 'minute':
      return date.getUTCMinutes();
    case 'hour':
      return date.getUTCHours();
    case 'day':
      return date.getUTCDate();
    case 'month':
      return date.getUTCMonth() + 1;
    case 'year':
      return date.getUTCFullYear();
  }
}

function valueTest({ form, read }: Field, test: ScalarTest, absent: boolean): EventTest {
  if (form === 'list') {
    return (event) => {
      const values = read(event) as readonly Scalar[] | undefined;
      return values === undefined ? absent : values.some(test);
    };
  }
  return (event) => {
    const value = read(event) as Scalar | undefined;
    return value === undefined ? absent : test(value);
  };
}

function existsTest({ read }: Field, values: readonly Given[]): EventTest {
  const [given] = values;
  const wanted = given?.value;
  if (values.length !== 1 || typeof wanted !== 'boolean')
    throw new RuleError(given?.offset ?? 0, 'exists takes true or false');
  return (event) => (read(event) !== undefined) === wanted;
}

/** Compares two fields of one event; when either is absent they are not equal. */
function referenceTest(
  { read }: Field,
  { value, offset }: Given,
  { compare, cased }: Modifiers,
  around: Surroundings,
): EventTest {
  if (typeof value !== 'string') throw new RuleError(offset, 'fieldref takes the name of a field');
  const other = known(value, offset, around);
  const place = compare.how === 'field' ? compare.place : 'whole';
  const text = cased
    ? (scalar: Scalar): string => String(scalar)
    : (scalar: Scalar): string => fold(String(scalar));
  const holds: Record<typeof place, (left: string, right: string) => boolean> = {
    whole: (left, right) => left === right,
    start: (left, right) => left.startsWith(right),
    end: (left, right) => left.endsWith(right),
    inside: (left, right) => left.includes(right),
  };
  const compared = holds[place];
  const list = (scalars: Scalar | readonly Scalar[] | undefined): readonly Scalar[] =>
    scalars === undefined ? [] : typeof scalars === 'object' ? scalars : [scalars];
  return (event) => {
    const rights = list(other.read(event)).map(text);
    return list(read(event)).some((left) => rights.some((right) => compared(text(left), right)));
  };
}

function keywordTest(
  values: readonly Given[],
  modifiers: Modifiers,
  offset: number,
  { reads }: Surroundings,
): EventTest {
  const { compare, all, cased, negated, patternsOf } = modifiers;
  if (compare.how !== 'pattern' && compare.how !== 'regex')
    throw new RuleError(offset, 'this modifier needs a field; write field|modifier');
  const fields = searchedFields();
  for (const { column } of fields) reads(column);
  const tests = values.map((given): EventTest => {
    const { value, offset: at } = given;
    if (value === null) throw new RuleError(at, 'null is no keyword; write field: null');
    const fits: ScalarTest =
      compare.how === 'regex'
        ? regexTest(value, at, compare)
        : anyOf(
            patternsOf(`${value}`, at).map((pattern) => {
              const inside = matcherOf(surround(pattern), cased);
              return (scalar: Scalar) => inside(String(scalar));
            }),
          );
    const each = fields.map((field) => valueTest(field, fits, false));
    return anyOf(each);
  });
  const test = all ? allOf(tests) : anyOf(tests);
  return negated ? (event) => !test(event) : test;
}

const surround = (pattern: Pattern): Pattern => withAny(pattern, true, true);
