import { type ContainerRow, containerOf, ingestedSchema } from '@cairn/event';

/** Turns rows into what ClickHouse reads: a body, and the columns that it must be read as. */
export interface Encoder {
  /** ClickHouse's name of the format of the body. */
  readonly format: string;
  /** Columns of the body, as `input()` wants them: `topic String, partition Int32, …`. */
  structure(schemaId: number): string;
  /** Columns of the table that are filled, and the expression over the body's columns that fills each. */
  columns(schemaId: number): readonly { readonly name: string; readonly expression: string }[];
  encode(schemaId: number, rows: readonly ContainerRow[]): Uint8Array;
}

/** One Avro container, datums undecoded, one block each. */
export const avroEncoder: Encoder = {
  format: 'Avro',
  structure: (schemaId) =>
    ingestedSchema(schemaId)
      .fields.map(({ name, type }) => `${name} ${columnType(type)}`)
      .join(', '),
  columns: (schemaId) =>
    ingestedSchema(schemaId).fields.map(({ name }) => ({
      name,
      // ClickHouse's Avro reader refuses a fixed of 16 bytes for a UUID column.
      expression: UUIDS.has(name) ? `toUUID(UUIDNumToString(${name}))` : name,
    })),
  encode: containerOf,
};

/** 16-byte ids that the table keeps as UUIDs. */
export const UUIDS: ReadonlySet<string> = new Set(['event_id', 'call_id', 'parent_event_id']);

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
