// What is asked of ClickHouse. All values are bound as parameters; what stands in the text is ours: names of columns,
// types, and of the collections that hold the address and the keys of the archive.
import { releasedSchema, SCHEMAS } from '@cairn/event';
import { ROW_FIELDS } from '@cairn/ledger';
import { columnType, EVENT_COLUMNS, storedColumns, typeName } from '@cairn/native';
import type { Day } from './day.ts';
import { ID_PARTS } from './id-parts.ts';
import { type EventPlace, FILTER_COLUMNS, type Question } from './question.ts';
import { FEW_ROWS_SETTINGS, ROW_SETTINGS } from './session-columns.ts';

export interface Statement {
  readonly sql: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** Where rows come from, as the table has them: something that can stand behind FROM. */
export interface Source {
  readonly from: string;
  /** Day on which the broker appended the event, over its columns. */
  readonly day: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/**
 * Names under which ClickHouse keeps the address and the keys of the archive's bucket and of the copies' (named collections):
 * so no key stands in a statement.
 */
export interface Collections {
  readonly archive: string;
  readonly copies: string;
}

export const HOT: Source = { from: 'cairn.events', day: 'append_day', parameters: {} };
export const RESTORED: Source = { from: 'cairn.restored_events', day: 'append_day', parameters: {} };

const LATEST = SCHEMAS.at(-1)?.schema.fields ?? [];

/** Ids that the table shows as UUIDs. */
const UUIDS: ReadonlySet<string> = new Set(['event_id', 'call_id', 'parent_event_id']);
/** Texts of the table that hold bytes. */
const BYTES: ReadonlySet<string> = new Set(['parameters_sealed', 'response_sealed', 'signature']);

/**
 * Fields of an answer's rows. Not `prev_hash`: how the table keeps it depends on the row before (0001_events.sql), and who
 * wants the chain wants the proof.
 */
export const ANSWER_FIELDS = LATEST.map(({ name }) => name).filter((name) => name !== 'prev_hash');

const PLACE = ['topic', 'partition', 'offset'];
const FACTS = [
  ...PLACE,
  'toUnixTimestamp64Milli(received_at) AS received_at',
  'lower(hex(leaf_hash)) AS leaf_hash',
];

/** Each in a form that JSON carries without loss: ids as UUIDs, bytes in hex, time in microseconds. */
const SHOWN = ANSWER_FIELDS.map((name) => {
  const plan = EVENT_COLUMNS.find((column) => column.name === name)!.plan;
  const type = typeName(plan);
  if (UUIDS.has(name)) return `toString(${name}) AS ${name}`;
  if (type.includes('FixedString') || BYTES.has(name) || (plan.kind === 'dictionary' && plan.fixed))
    return `lower(hex(${name})) AS ${name}`;
  if (type.startsWith('DateTime64')) return `toUnixTimestamp64Micro(${name}) AS ${name}`;
  return name;
});

/** The same with `IdParts` for two of the ids. */
const SHOWN_IN_PARTS = [
  ...ID_PARTS,
  ...SHOWN.filter((_, at) => !['event_id', 'call_id'].includes(ANSWER_FIELDS[at]!)),
];

/** Numbers as numbers, tuples as objects. */
export const ANSWER_SETTINGS = {
  ...ROW_SETTINGS,
  ...FEW_ROWS_SETTINGS,
  // A day's segments are read side by side, and no question may take the server down.
  max_execution_time: 120,
} as const;

/** A search may ask for ids: ClickHouse writes the least and greatest UUID of a copy in one order and reads them in another. */
export const SEARCH_SETTINGS = { ...ANSWER_SETTINGS, input_format_parquet_filter_push_down: 0 } as const;

/** Only those that the broker appended on these days, or on none of these. */
interface Days {
  readonly on?: readonly Day[];
  readonly notOn?: readonly Day[];
}

/** The events of a source that a question asks for, the first `limit` of them in its order. */
export function eventsIn(source: Source, question: Question, days: Days = {}): Statement {
  return shownFrom(chosenFrom(source, question, days), question.order, [...FACTS, ...SHOWN]);
}

/**
 * The same of the hot table as two statements to be asked at the same time, each with the place of its rows and with half of the
 * fields: planning so many columns takes ClickHouse longer than reading them, and one thread does it. Of two ids they have the parts.
 */
export function halvesIn(question: Question, days: Days): readonly [Statement, Statement] {
  const chosen = chosenFrom(HOT, question, days);
  const middle = Math.ceil(SHOWN_IN_PARTS.length / 2);
  return [
    shownFrom(chosen, question.order, [...FACTS, ...SHOWN_IN_PARTS.slice(0, middle)]),
    shownFrom(chosen, question.order, [...PLACE, ...SHOWN_IN_PARTS.slice(middle)]),
  ];
}

/**
 * The same of the hot table, and which leaf of its partition's log each row is: `leaf_index`, null while the event is not archived.
 * Archival writes the runs out of its segments (deploy/clickhouse/0006_leaf_runs.sql). Runs of which every offset lies as far from
 * its leaf are one, whatever stands between them: only offsets that are no leaves change it, and it never falls.
 */
export function eventsWithLeaf(question: Question): Statement {
  const from = `${HOT.from} ASOF LEFT JOIN (
  SELECT topic AS run_topic, partition AS run_partition, offset_first - leaf_first AS run_shift, min(offset_first) AS run_first,
    max(offset_last) AS run_last, 1 AS is_run
  FROM cairn.leaf_runs FINAL GROUP BY run_topic, run_partition, run_shift
) AS runs ON topic = run_topic AND partition = run_partition AND offset >= run_first`;
  const leaf = 'if(is_run = 1 AND offset <= run_last, offset - run_shift, NULL) AS leaf_index';
  return shownFrom(chosenFrom({ ...HOT, from }, question, {}), question.order, [...FACTS, ...SHOWN, leaf]);
}

type Chosen = ReturnType<typeof chosenFrom>;

function shownFrom(
  { from, parameters }: Chosen,
  order: Question['order'],
  shown: readonly string[],
): Statement {
  const direction = order === 'newest' ? 'DESC' : 'ASC';
  const inOrder = ['timestamp', 'toString(topic)', 'partition', 'offset'];
  // A name is the column's wherever one is chosen or sorted by, and means what is shown of it in the answer alone. A subquery would
  // say so as well, and each of its columns is planned once more.
  const sql = `SELECT ${shown.join(', ')}
${from}
ORDER BY ${inOrder.map((column) => `${column} ${direction}`).join(', ')}
LIMIT {limit:UInt32}
SETTINGS prefer_column_name_to_alias = 1`;
  return { sql, parameters };
}

/** Where the first events of a question lie. */
export interface Edge {
  /** How many there are, up to the limit. */
  readonly events: number;
  /** Time of the last one in the order of the question, microseconds. */
  readonly edge: number;
  /** Days on which the broker appended them, and all others of that time. */
  readonly days: readonly Day[];
}

/**
 * The `Edge` of a question as one row. It reads what the question is about, the time and the day of each event, and nothing else of it.
 */
export function edgeIn(source: Source, question: Question): Statement {
  const { from, parameters } = chosenFrom(source, question, {});
  const [direction, last] = question.order === 'newest' ? ['DESC', 'min'] : ['ASC', 'max'];
  const sql = `SELECT toUInt32(least(count(), {limit:UInt32})) AS events, toUnixTimestamp64Micro(${last}(at)) AS edge, groupUniqArray(day) AS days
FROM (
  SELECT timestamp AS at, ${source.day} AS day
  ${from}
  ORDER BY timestamp ${direction}
  LIMIT {limit:UInt32} WITH TIES
)`;
  return { sql, parameters };
}

/** FROM and WHERE of a question, all values bound. */
function chosenFrom(
  source: Source,
  { order, limit, from, to, after, filters, condition }: Question,
  days: Days,
): { readonly from: string; readonly parameters: Statement['parameters'] } {
  const parameters: Record<string, unknown> = { ...source.parameters, limit };
  const conditions: string[] = [];
  if (from !== undefined) {
    conditions.push("timestamp >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')");
    parameters['from'] = from;
  }
  if (to !== undefined) {
    conditions.push("timestamp < fromUnixTimestamp64Micro({to:Int64}, 'UTC')");
    parameters['to'] = to;
  }
  for (const column of FILTER_COLUMNS) {
    const values = filters[column] ?? [];
    if (values.length === 0) continue;
    // One value is compared and several are looked up: of a set the indexes of ids make less.
    conditions.push(
      values.length === 1 ? `${column} = {${column}:String}` : `${column} IN {${column}:Array(String)}`,
    );
    parameters[column] = values.length === 1 ? values[0] : values;
  }
  if (condition !== undefined) {
    conditions.push(`(${condition.sql})`);
    Object.assign(parameters, condition.parameters);
  }
  if (days.on !== undefined) {
    conditions.push(`${source.day} IN {on:Array(Date)}`);
    parameters['on'] = days.on;
  }
  if (days.notOn !== undefined && days.notOn.length > 0) {
    conditions.push(`${source.day} NOT IN {not_on:Array(Date)}`);
    parameters['not_on'] = days.notOn;
  }
  if (after !== undefined) {
    const behind = behindPlace(after, order);
    conditions.push(behind.sql);
    Object.assign(parameters, behind.parameters);
  }
  const where = conditions.length === 0 ? '' : `\nWHERE ${conditions.join(' AND ')}`;
  return { from: `FROM ${source.from}${where}`, parameters };
}

/** What lies behind a place in an order, as a condition; the time alone stands before it, which an index knows. */
export function behindPlace(place: EventPlace, order: Question['order']): Statement {
  const behind = order === 'newest' ? '<' : '>';
  const time = "fromUnixTimestamp64Micro({at:Int64}, 'UTC')";
  return {
    sql: `timestamp ${behind}= ${time} AND (timestamp, toString(topic), partition, offset) ${behind} (${time}, {topic:String}, {partition:Int32}, {offset:Int64})`,
    parameters: {
      at: place.timestamp,
      topic: place.topic,
      partition: place.partition,
      offset: place.offset,
    },
  };
}

/**
 * Objects of segments that one schema wrote, read where they lie, as the table has its rows. Two things a segment's row does
 * not hold and the table's does: the leaf hash, which is a hash over its bytes, and whether the link is as it should be.
 *
 * @param keys names of the objects.
 */
export function avroSource(
  collection: Collections['archive'],
  schemaId: number,
  keys: readonly string[],
): Source {
  const { fields } = releasedSchema(schemaId).schema;
  const structure = [...ROW_FIELDS, ...fields].map(({ name, type }) => `${name} ${columnType(type)}`);
  const written = new Set(fields.map(({ name }) => name));
  const columns = fields
    .filter(({ name }) => name !== 'prev_hash')
    .map(({ name }) => {
      // The engine's reader refuses a fixed of 16 bytes for a UUID, and a UUID is no row of bytes to it.
      if (UUIDS.has(name)) return `toUUID(UUIDNumToString(${name})) AS ${name}`;
      const [stored] = storedColumns(name, `avro.${name}`);
      return `${stored?.expression} AS ${name}`;
    });
  for (const { name, default: value } of LATEST)
    if (!written.has(name)) columns.push(`CAST(${sqlOf(value)}, '${literalOf(copyType(name))}') AS ${name}`);
  return {
    from: `(
    SELECT splitByChar('/', _path)[-3] AS topic, toInt32(splitByChar('/', _path)[-2]) AS partition, offset, received_at,
           CAST(NULL, 'Nullable(String)') AS leaf_hash, ${columns.join(', ')}
    FROM s3(${nameOf(collection)}, filename = {keys:String}, format = 'Avro', structure = '${literalOf(structure.join(', '))}') AS avro
  )`,
    day: 'toDate(received_at)',
    parameters: { keys: globOf(keys) },
  };
}

/** Query copies, read where they lie. */
export function copySource(collection: Collections['copies'], keys: readonly string[]): Source {
  return {
    from: `s3(${nameOf(collection)}, filename = {keys:String}, format = 'Parquet', structure = '${literalOf(COPY_STRUCTURE)}')`,
    day: 'toDate(received_at)',
    parameters: { keys: globOf(keys) },
  };
}

/** How a copy's columns are read. Ids are whole UUIDs in it: a part of an id finds nothing. */
export const COPY_STRUCTURE = [
  'topic String, partition Int32, offset Int64',
  "received_at DateTime64(3, 'UTC'), leaf_hash FixedString(32)",
  ...ANSWER_FIELDS.map((name) => `${name} ${copyType(name)}`),
].join(', ');

function copyType(name: string): string {
  if (name === 'event_id') return 'UUID';
  if (name === 'call_id') return 'Nullable(UUID)';
  const plan = EVENT_COLUMNS.find((column) => column.name === name)!.plan;
  if (plan.kind === 'dictionary' && plan.fixed !== undefined) return `Nullable(FixedString(${plan.fixed}))`;
  return typeName(plan).replaceAll(/LowCardinality\(String\)/g, 'String');
}

/** The default of a field that an older schema does not have: null, a text, a number or an empty array. */
function sqlOf(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (Array.isArray(value)) return '[]';
  return typeof value === 'number' ? String(value) : `'${literalOf(String(value))}'`;
}

/** Several names as one, as `s3()` wants them. */
function globOf(keys: readonly string[]): string {
  const strange = keys.find((key) => !/^[a-z0-9][a-z0-9./-]*$/.test(key));
  if (strange !== undefined) throw new TypeError(`${strange} is no name of an object of the archive`);
  return keys.length === 1 ? keys[0]! : `{${keys.join(',')}}`;
}

function nameOf(collection: string): string {
  if (/^[a-z][a-z0-9_]{0,62}$/.test(collection)) return collection;
  throw new TypeError(`${collection} is no name of a collection`);
}

const literalOf = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
