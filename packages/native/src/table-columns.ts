/** What deploy/clickhouse/0001_events.sql says of its columns, the other way round: how each is made of a field. */
import { EVENT_COLUMNS } from './event-columns.ts';
import { HINTS } from './hints.ts';
import { typeName } from './plan.ts';

/** A column of the table and what fills it. */
export interface StoredColumn {
  readonly name: string;
  /** Field of the event that it holds, or fact of the log. */
  readonly field: string;
  /** Over the columns of what is inserted. */
  readonly expression: string;
}

/** Columns of an `eventBlock`, as `input()` wants them. */
export const EVENT_BLOCK_STRUCTURE = EVENT_COLUMNS.map(({ name, plan }) => `${name} ${typeName(plan)}`).join(
  ', ',
);

/** Columns of the table, over those of an `eventBlock`. */
export const EVENT_BLOCK_STORED: readonly StoredColumn[] = EVENT_COLUMNS.flatMap(({ name, plan }) => {
  // Already as the table keeps them.
  if (name === 'prev_hash' || plan.kind === 'rare' || HINTS.cut.has(name)) {
    return [{ name, field: name, expression: name }];
  }
  // A text, empty where there is none, is turned where each of the few stands once.
  if (plan.kind === 'dictionary' && plan.fixed !== undefined) {
    return [{ name, field: name, expression: `toFixedString(nullIf(${name}, ''), ${plan.fixed})` }];
  }
  return storedColumns(name, name);
});

/**
 * How the table keeps a field.
 *
 * @param value the field, as an expression over the columns of what is inserted; `linked` stands beside `prev_hash`.
 */
export function storedColumns(field: string, value: string): StoredColumn[] {
  switch (field) {
    // A link that is as it should be is not stored twice.
    case 'prev_hash':
      return [{ name: field, field, expression: `if(linked, '', ${value})` }];
    case 'signature':
      return [{ name: field, field, expression: `ifNull(${value}, '')` }];
    case 'event_id':
      return splitId(field, value, 'toUnixTimestamp64Milli(timestamp)');
    case 'call_id':
      return splitId(field, value, 'toUnixTimestamp64Milli(timestamp) - ifNull(latency_ms, 0)');
    default: {
      // Of some hashes the table keeps the first bytes (docs/adr/0006-the-table-keeps-half-of-a-keyed-hash.md).
      const kept = HINTS.cut.get(field);
      const cut = kept === undefined ? value : `toFixedString(substring(${value}, 1, ${kept}), ${kept})`;
      return [{ name: field, field, expression: cut }];
    }
  }
}

/** An id of 16 bytes: the first six as milliseconds beside a time that lies near, the last ten as they are. */
function splitId(field: string, value: string, nearMs: string): StoredColumn[] {
  // Six bytes in network order are no number before they are turned round.
  const ms = `reinterpretAsInt64(reverse(substring(${value}, 1, 6)))`;
  return [
    { name: `${field}_lag_ms`, field, expression: `ifNull(${ms} - (${nearMs}), 0)` },
    { name: `${field}_random`, field, expression: `toFixedString(substring(${value}, 7, 10), 10)` },
  ];
}

/** Named types are written out where they first appear and are referred to by name from then on. */
const FIXED_SIZES: Readonly<Record<string, number>> = {
  Id16: 16,
  Hash32: 32,
  LeafHash32: 32,
  SpanId8: 8,
  Signature64: 64,
};

const PRIMITIVES: Readonly<Record<string, string>> = {
  string: 'String',
  bytes: 'String',
  int: 'Int32',
  long: 'Int64',
  float: 'Float32',
  double: 'Float64',
  boolean: 'Bool',
};

/** The ClickHouse type that an Avro type is read as. https://clickhouse.com/docs/interfaces/formats/Avro */
export function columnType(type: unknown): string {
  if (typeof type === 'string') {
    const size = FIXED_SIZES[type];
    const primitive = PRIMITIVES[type];
    if (primitive !== undefined) return primitive;
    if (size !== undefined) return `FixedString(${size})`;
    throw new Error(`no column type for ${type}`);
  }
  if (Array.isArray(type)) {
    const [first, second] = type as unknown[];
    if (first !== 'null' || type.length !== 2) throw new Error('only unions of null and one type are read');
    return `Nullable(${columnType(second)})`;
  }
  const complex = type as Complex;
  if (complex.logicalType === 'timestamp-micros') return "DateTime64(6, 'UTC')";
  if (complex.logicalType === 'timestamp-millis') return "DateTime64(3, 'UTC')";
  if (complex.type === 'enum') return 'String';
  if (complex.type === 'fixed') return `FixedString(${complex.size})`;
  if (complex.type === 'array') return `Array(${columnType(complex.items)})`;
  if (complex.type === 'record') {
    const fields = (complex.fields ?? []).map((field) => `${field.name} ${columnType(field.type)}`);
    return `Tuple(${fields.join(', ')})`;
  }
  return columnType(complex.type);
}

interface Complex {
  readonly type: string;
  readonly logicalType?: string;
  readonly size?: number;
  readonly items?: unknown;
  readonly fields?: readonly { readonly name: string; readonly type: unknown }[];
}
