// Functions that analysts may call. Everything else is refused, by name. What is here reads its arguments and nothing else, needs
// little memory for little input, and never fails because of a value: a function that did would tell of rows that it
// saw before they were filtered. Some are written out in a form that gives NULL where the plain one fails.

export interface SqlFunction {
  /** Name in ClickHouse. */
  readonly name: string;
  readonly kind: 'scalar' | 'aggregate';
  /** Arguments, from 0, that must be written out: what depends on them is settled before any row is read. */
  readonly written?: readonly number[];
  /** Takes numbers in brackets before its arguments: quantile(0.9)(x). */
  readonly tuned?: boolean;
  /** Takes x -> … first. */
  readonly lambda?: boolean;
  /** Written out differently. */
  readonly write?: (parameters: readonly string[]) => string;
}

const asTime = (value: string): string => `parseDateTime64BestEffortOrNull(toString(${value}), 6, 'UTC')`;

const SCALAR =
  `lower upper lengthUTF8 length concat position positionCaseInsensitive startsWith endsWith trimBoth trimLeft trimRight
  replaceAll replaceOne reverse empty notEmpty coalesce ifNull nullIf if multiIf isNull isNotNull abs floor ceil greatest least sqrt
  toString now today yesterday toStartOfMinute toStartOfFiveMinutes toStartOfTenMinutes toStartOfFifteenMinutes toStartOfHour
  toStartOfDay toStartOfWeek toStartOfMonth toStartOfQuarter toStartOfYear toHour toMinute toDayOfWeek toDayOfMonth toMonth toYear
  has hasAny hasAll arrayJoin arraySort arrayReverseSort arrayDistinct arrayUniq arrayReverse intDivOrZero moduloOrZero isNaN not
  and or xor`.split(/\s+/);
const AGGREGATE =
  `count sum avg min max any anyLast uniq uniqExact median argMin argMax stddevPop varPop groupBitOr`.split(
    /\s+/,
  );

const list: readonly SqlFunction[] = [
  ...SCALAR.map((name): SqlFunction => ({ name, kind: 'scalar' })),
  ...AGGREGATE.flatMap((name): SqlFunction[] => [
    { name, kind: 'aggregate' },
    { name: `${name}If`, kind: 'aggregate' },
  ]),
  ...['quantile', 'quantiles', 'quantileTDigest', 'topK', 'groupArray', 'groupUniqArray'].flatMap(
    (name): SqlFunction[] => [
      { name, kind: 'aggregate', tuned: true },
      { name: `${name}If`, kind: 'aggregate', tuned: true },
    ],
  ),
  ...['arrayMap', 'arrayFilter', 'arrayExists', 'arrayAll', 'arrayCount'].map(
    (name): SqlFunction => ({ name, kind: 'scalar', lambda: true }),
  ),
  { name: 'round', kind: 'scalar', written: [1] },
  { name: 'substring', kind: 'scalar', written: [1, 2] },
  { name: 'left', kind: 'scalar', written: [1] },
  { name: 'right', kind: 'scalar', written: [1] },
  { name: 'match', kind: 'scalar', written: [1] },
  { name: 'extract', kind: 'scalar', written: [1] },
  { name: 'splitByChar', kind: 'scalar', written: [0] },
  { name: 'arrayStringConcat', kind: 'scalar', written: [1] },
  { name: 'formatDateTime', kind: 'scalar', written: [1, 2] },
  { name: 'toInt64', kind: 'scalar', write: ([value]) => `toInt64OrNull(toString(${value}))` },
  { name: 'toFloat64', kind: 'scalar', write: ([value]) => `toFloat64OrNull(toString(${value}))` },
  { name: 'toDate', kind: 'scalar', write: ([value]) => `toDate(${asTime(value!)})` },
  { name: 'toDateTime', kind: 'scalar', write: ([value]) => asTime(value!) },
  { name: 'toUnixTimestamp', kind: 'scalar', write: ([value]) => `toUnixTimestamp(${asTime(value!)})` },
  {
    name: 'dateDiff',
    kind: 'scalar',
    written: [0],
    write: ([unit, from, to]) => `dateDiff(${unit}, ${asTime(from!)}, ${asTime(to!)})`,
  },
];

/** By their names in small letters. */
export const FUNCTIONS: ReadonlyMap<string, SqlFunction> = new Map([
  ...list.map((one) => [one.name.toLowerCase(), one] as const),
  ...[
    ['ceiling', 'ceil'],
    ['trim', 'trimBoth'],
    ['ltrim', 'trimLeft'],
    ['rtrim', 'trimRight'],
    ['substr', 'substring'],
    ['ucase', 'upper'],
    ['lcase', 'lower'],
  ].map(([alias, name]) => [alias!, list.find((one) => one.name === name)!] as const),
]);

/** How many arguments those take that are written out differently. */
export const ARGUMENTS: Readonly<Record<string, number>> = {
  toInt64: 1,
  toFloat64: 1,
  toDate: 1,
  toDateTime: 1,
  toUnixTimestamp: 1,
  dateDiff: 3,
};
