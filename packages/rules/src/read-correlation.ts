import { HOUR } from './baseline.ts';
import {
  atLeast,
  type CorrelationCondition,
  readCountCondition,
  readExtendedCondition,
} from './correlation-condition.ts';
import { type Field, fieldNamed, fieldNames } from './field.ts';
import { didYouMean, RuleError } from './mistake.ts';
import {
  checkKeys,
  type Entry,
  entriesOf,
  entry,
  isScalar,
  itemsOf,
  scalarOf,
  startOf,
  textOf,
} from './node.ts';
import { fold } from './pattern.ts';
import type {
  BaselineTerms,
  Correlation,
  CorrelationSource,
  FieldName,
  Micros,
  Rule,
  RuleEvent,
  RuleHead,
} from './rule.ts';

const TYPES = ['event_count', 'value_count', 'temporal', 'temporal_ordered', 'baseline'] as const;
const KEYS = ['type', 'rules', 'group-by', 'timespan', 'condition', 'aliases', 'generate'];

/** A rule that a correlation may count: compiled, or known to have mistakes. */
export type FindRule = (reference: string) => Rule | 'mistaken' | undefined;

export interface CorrelationReading {
  readonly correlation: Omit<Correlation, 'alerts'>;
  /** Whether the rules that it counts also alert by themselves. */
  readonly generate: boolean;
}

/**
 * Compiles the `correlation` of a rule.
 *
 * @param exact count every event at its own time, whatever it takes.
 * @throws RuleError at its first mistake.
 */
export function readCorrelation(
  head: RuleHead,
  found: Entry,
  find: FindRule,
  known: readonly string[],
  exact: boolean,
): CorrelationReading {
  const entries = entriesOf(found.value, 'correlation', found.offset);
  checkKeys(entries, KEYS, 'correlation');
  const type = typeOf(required(entries, 'type', found));
  const rules = rulesOf(required(entries, 'rules', found), find, known);
  const references = rules.map(({ reference }) => reference);
  const aliases = aliasesOf(entry(entries, 'aliases'), references);
  const timespan = timespanOf(required(entries, 'timespan', found));
  const condition = conditionOf(type, entry(entries, 'condition'), references, found);
  const groupBy = groupByOf(entry(entries, 'group-by'), aliases);
  const fieldsRead = new Set<FieldName>();
  const sources = rules.map(({ reference, rule }): CorrelationSource => {
    if (rule.kind === 'correlation') return chainedSource(reference, rule, groupBy, aliases, type, condition);
    const fieldOf = ({ name, offset }: Named): Field => {
      const field = groupField(aliases.get(name)?.get(reference) ?? name, offset);
      fieldsRead.add(field.column);
      return field;
    };
    const groups = groupBy.map(fieldOf);
    const counted = condition.field && fieldOf(namedBy(condition.field));
    return {
      rule: rule.id,
      groupFields: groups.map((field) => (event) => textFrom(field, event)),
      groupColumns: groups.map(({ column }) => column),
      valueOf: counted && ((event) => textFrom(counted, event)),
      groupFrom: undefined,
    };
  });
  const kinds = new Set(rules.map(({ rule }) => rule.kind));
  if (type !== 'temporal' && type !== 'temporal_ordered' && kinds.size > 1)
    throw new RuleError(found.offset, `${type} counts either detections or correlations; write two of them`);
  if (type === 'baseline' && timespan !== HOUR)
    throw new RuleError(
      required(entries, 'timespan', found).offset,
      'a baseline is kept by the hour; write timespan: 1h',
    );
  const absence = condition.extended?.asksForAbsence === true;
  const baseline = type === 'baseline' ? baselineOf(entry(entries, 'condition'), found) : undefined;
  return {
    correlation: {
      ...head,
      kind: 'correlation',
      type,
      sources,
      groupBy: ['org_id', ...groupBy.map(({ name }) => name)],
      timespan,
      ...keptCells(type, timespan, condition, exact),
      // What is judged at its close is not looked at before; of a baseline an hour alone must be above it.
      floor: absence
        ? Number.MAX_SAFE_INTEGER
        : baseline
          ? Math.floor(baseline.atLeast) + 1
          : condition.least,
      judgedAt: absence ? 'close' : 'event',
      holds: condition.holds,
      condition: condition.text,
      holdsFor: condition.extended?.holdsFor,
      anchors: absence ? (condition.extended?.wanted ?? new Set()) : new Set(),
      depth: Math.max(...rules.map(({ rule }) => (rule.kind === 'correlation' ? rule.depth + 1 : 0))),
      baseline,
      fieldsRead,
    },
    generate: generateOf(entry(entries, 'generate')),
  };
}

function required(entries: readonly Entry[], key: string, { offset }: Entry): Entry {
  const value = entry(entries, key);
  if (value === undefined) throw new RuleError(offset, `correlation must say ${key}`);
  return value;
}

function typeOf({ value, offset }: Entry): Correlation['type'] {
  const name = textOf(value, 'type', offset);
  const type = TYPES.find((candidate) => candidate === name);
  if (type === undefined)
    throw new RuleError(startOf(value, offset), `there is no correlation ${name}${didYouMean(name, TYPES)}`);
  return type;
}

interface Referenced {
  readonly reference: string;
  readonly rule: Rule;
}

function rulesOf({ value, offset }: Entry, find: FindRule, known: readonly string[]): Referenced[] {
  return itemsOf(value).map((item, index, all) => {
    const reference = textOf(item, 'a rule', offset);
    const at = startOf(item, offset);
    const rule = find(reference);
    if (rule === undefined)
      throw new RuleError(at, `there is no rule ${reference}${didYouMean(reference, known)}`);
    if (rule === 'mistaken')
      throw new RuleError(at, `the rule ${reference} has mistakes of its own, so nothing can count it`);
    if (rule.kind === 'correlation' && rule.type === 'baseline')
      throw new RuleError(at, `${reference} is a baseline, which nothing can count`);
    const first = all.findIndex((other) => textOf(other, 'a rule', offset) === reference);
    if (first !== index) throw new RuleError(at, `${reference} stands twice`);
    return { reference, rule };
  });
}

type Aliases = ReadonlyMap<string, ReadonlyMap<string, string>>;

function aliasesOf(found: Entry | undefined, references: readonly string[]): Aliases {
  if (found === undefined) return new Map();
  return new Map(
    entriesOf(found.value, 'aliases', found.offset).map(({ key, value, offset }) => {
      const fields = entriesOf(value, 'an alias', offset);
      checkKeys(fields, references, 'the list of rules');
      return [key, new Map(fields.map((item) => [item.key, textOf(item.value, 'a field', item.offset)]))];
    }),
  );
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

function timespanOf({ value, offset }: Entry): Micros {
  const text = textOf(value, 'timespan', offset);
  const [, count, unit] = /^([1-9]\d{0,5})([smhdw])$/.exec(text) ?? [];
  if (count === undefined || unit === undefined)
    throw new RuleError(
      startOf(value, offset),
      `${text} is no timespan; write a number and s, m, h, d or w, such as 15m`,
    );
  return Number(count) * (UNITS[unit] ?? 0) * 1_000_000;
}

interface Named {
  readonly name: string;
  readonly offset: number;
}

const namedBy = ({ value, offset }: Entry): Named => ({
  name: textOf(value, 'field', offset),
  offset: startOf(value, offset),
});

/** Without `org_id`, which every group begins with: windows never reach over organisations. */
function groupByOf(found: Entry | undefined, aliases: Aliases): Named[] {
  const named =
    found === undefined ? [] : itemsOf(found.value).map((item) => namedBy({ ...found, value: item }));
  for (const alias of aliases.keys()) {
    if (fieldNamed(alias) !== undefined)
      throw new RuleError(found?.offset ?? 0, `the alias ${alias} is also a field; give it another name`);
  }
  return named.filter(({ name }) => name !== 'org_id');
}

function groupField(name: string, offset: number): Field {
  const field = fieldNamed(name);
  if (field === undefined)
    throw new RuleError(offset, `events have no field ${name}${didYouMean(name, fieldNames())}`);
  if (field.form === 'list')
    throw new RuleError(
      offset,
      `${name} has several values in one event, so nothing can be grouped or counted by it`,
    );
  return field;
}

function textFrom({ read }: Field, event: RuleEvent): string | undefined {
  const value = read(event);
  return value === undefined ? undefined : fold(String(value));
}

/** The firings of a correlation as events of another: they have the values of their group, and no others. */
function chainedSource(
  reference: string,
  inner: Correlation,
  groupBy: readonly Named[],
  aliases: Aliases,
  type: Correlation['type'],
  { field }: CorrelationCondition,
): CorrelationSource {
  const placeOf = ({ name, offset }: Named): number => {
    const wanted = aliases.get(name)?.get(reference) ?? name;
    const place = inner.groupBy.indexOf(wanted);
    if (place < 0)
      throw new RuleError(
        offset,
        `${reference} does not group by ${wanted}; add it there, or leave it out here`,
      );
    return place;
  };
  if (type === 'value_count' || type === 'baseline')
    throw new RuleError(field?.offset ?? groupBy[0]?.offset ?? 0, `${type} cannot count a correlation`);
  return {
    rule: inner.id,
    groupFields: [],
    groupColumns: [],
    valueOf: undefined,
    groupFrom: groupBy.map(placeOf),
  };
}

function conditionOf(
  type: Correlation['type'],
  found: Entry | undefined,
  references: readonly string[],
  { offset }: Entry,
): CorrelationCondition {
  if (type === 'baseline') return atLeast(1);
  if (found === undefined) {
    if (type === 'temporal' || type === 'temporal_ordered') return atLeast(references.length);
    throw new RuleError(offset, 'correlation must say condition');
  }
  if (isScalar(found.value)) {
    if (type !== 'temporal')
      throw new RuleError(found.offset, `${type} compares a count; write condition: {gte: 5}`);
    return readExtendedCondition(found, references);
  }
  const condition = readCountCondition(found, type === 'value_count');
  if (type === 'temporal_ordered' && !condition.rising)
    throw new RuleError(found.offset, 'temporal_ordered takes gt and gte only');
  return condition;
}

/** Counts that need many events or reach far back are kept in cells of a sixtieth of their time, so that their state stays small. */
function keptCells(
  type: Correlation['type'],
  timespan: Micros,
  { rising, enough, most }: CorrelationCondition,
  exact: boolean,
): Pick<Correlation, 'cellWidth' | 'cellsMax' | 'cellCountMax'> {
  const everyEvent = Number.POSITIVE_INFINITY;
  if (type === 'baseline') return { cellWidth: HOUR, cellsMax: WEEKS_MAX + 1, cellCountMax: everyEvent };
  if (exact) return { cellWidth: 1, cellsMax: Number.MAX_SAFE_INTEGER, cellCountMax: everyEvent };
  const cellWidth = wideCell(timespan);
  if (type === 'event_count') {
    const isWide = timespan >= LONG || (rising && enough > EXACT_COUNT_MAX);
    if (!isWide) return { cellWidth: 1, cellsMax: Math.max(64, 2 * enough), cellCountMax: everyEvent };
    // Beyond this nothing holds, for the cell's next event and for later cells.
    if (most < everyEvent)
      return { cellWidth, cellsMax: Math.max(64, 2 * enough), cellCountMax: Math.max(1, most) };
    return { cellWidth, cellsMax: 1_024, cellCountMax: everyEvent };
  }
  if (type === 'value_count') {
    const isWide = timespan >= LONG || (rising && enough > EXACT_VALUES_MAX);
    return isWide
      ? { cellWidth, cellsMax: 65_536, cellCountMax: 1 }
      : { cellWidth: 1, cellsMax: 1_024, cellCountMax: 1 };
  }
  return { cellWidth: 1, cellsMax: 1_024, cellCountMax: everyEvent };
}

/** A baseline asks for no more weeks; its windows hold one cell for each. */
const WEEKS_MAX = 52;
/** From here on nobody asks for the second. */
const LONG: Micros = 24 * HOUR;
const EXACT_COUNT_MAX = 101;
const EXACT_VALUES_MAX = 33;
/** Seconds that divide minutes, hours and days. */
const CELL_SECONDS = [3_600, 1_800, 900, 600, 300, 120, 60, 30, 20, 15, 10, 5, 2, 1];

function wideCell(timespan: Micros): Micros {
  const seconds = CELL_SECONDS.find(
    (cell) => cell * 1_000_000 * 60 <= timespan && timespan % (cell * 1_000_000) === 0,
  );
  return seconds === undefined ? 1 : seconds * 1_000_000;
}

const BASELINE_KEYS = ['deviations', 'at_least', 'weeks', 'weeks_min'];

function baselineOf(found: Entry | undefined, { offset }: Entry): BaselineTerms {
  if (found === undefined)
    throw new RuleError(
      offset,
      'a baseline must say condition; write condition: {deviations: 6, at_least: 50}',
    );
  const entries = entriesOf(found.value, 'condition', found.offset);
  checkKeys(entries, BASELINE_KEYS, 'the condition of a baseline');
  const number = (key: string, otherwise: number | undefined, least: number, most = Infinity): number => {
    const item = entry(entries, key);
    if (item === undefined && otherwise !== undefined) return otherwise;
    if (item === undefined) throw new RuleError(found.offset, `the condition of a baseline must say ${key}`);
    const value = scalarOf(item.value, key, item.offset);
    if (typeof value === 'number' && value >= least && value <= most) return value;
    const to = most === Infinity ? 'on' : `to ${most}`;
    throw new RuleError(startOf(item.value, item.offset), `${key} takes a number from ${least} ${to}`);
  };
  const weeks = number('weeks', 8, 1, WEEKS_MAX);
  return {
    deviations: number('deviations', undefined, 0),
    atLeast: number('at_least', undefined, 0),
    weeks,
    weeksMin: number('weeks_min', Math.min(4, weeks), 1),
  };
}

function generateOf(found: Entry | undefined): boolean {
  if (found === undefined) return false;
  const value = scalarOf(found.value, 'generate', found.offset);
  if (typeof value === 'boolean') return value;
  throw new RuleError(startOf(found.value, found.offset), 'generate takes true or false');
}
