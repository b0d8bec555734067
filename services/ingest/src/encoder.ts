import { type ContainerRow, containerOf, ingestedSchema } from '@cairn/event';
import { EVENT_COLUMNS, type EventRow, type EventRows, eventBlock, HINTS, typeName } from '@cairn/native';

/** A column of the table and what fills it. */
export interface StoredColumn {
  readonly name: string;
  /** Field of the event that it holds, or fact of the log. */
  readonly field: string;
  /** Over the columns of a body. */
  readonly expression: string;
}

/** Rows as ClickHouse reads them. */
export interface Body {
  /** ClickHouse's name of the format of the pieces. */
  readonly format: string;
  /** Columns of the body, as `input()` wants them: `topic String, partition Int32, …`. */
  readonly structure: string;
  /** Columns of the table that are filled. */
  readonly columns: readonly StoredColumn[];
  /** To be sent one after the other. */
  readonly pieces: readonly Uint8Array[];
  /** Offsets of the first row and the last. */
  readonly first: number;
  readonly last: number;
  /** Rows. */
  readonly count: number;
  /** To be called when the body was sent whole and nothing will read it any more: its memory is used again. */
  release?(): void;
}

/** Turns rows into what ClickHouse reads: one body for one insert, or more when the format cannot hold them together. */
export interface Encoder {
  bodies(rows: EventRows): Body[];
}

/**
 * Columns, taken apart here: the database has nothing to parse. Events of several schemas come in one body.
 * tools/bench/README.md says what this costs and saves.
 */
export const nativeEncoder: Encoder = {
  bodies(rows) {
    return [
      {
        format: 'Native',
        structure: NATIVE_STRUCTURE,
        columns: NATIVE_COLUMNS,
        ...eventBlock(rows),
        ...spanOf(rows.rows),
      },
    ];
  },
};

const NATIVE_STRUCTURE = EVENT_COLUMNS.map(({ name, plan }) => `${name} ${typeName(plan)}`).join(', ');
const NATIVE_COLUMNS = EVENT_COLUMNS.flatMap(({ name, plan }): StoredColumn[] => {
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

const spanOf = (rows: readonly EventRow[]): Pick<Body, 'first' | 'last' | 'count'> => ({
  first: rows[0]?.offset ?? 0,
  last: rows.at(-1)?.offset ?? 0,
  count: rows.length,
});

/** One Avro container for each schema, datums undecoded, one block each. */
export const avroEncoder: Encoder = {
  bodies({ topic, partition, rows }) {
    return [...Map.groupBy(rows, ({ schemaId }) => schemaId)].map(([schemaId, ofSchema]) => {
      const contained = ofSchema.map(
        (row): ContainerRow => ({
          topic,
          partition,
          offset: row.offset,
          receivedAtMs: row.receivedAtMs,
          leafHash: Buffer.from(row.leafHash, 'latin1'),
          linked: row.linked,
          datum: row.bytes.subarray(row.start, row.end),
        }),
      );
      const pieces = [containerOf(schemaId, contained)];
      return { format: 'Avro', ...avroColumns(schemaId), pieces, ...spanOf(ofSchema) };
    });
  },
};

/** How ClickHouse's Avro reader reads a container of events of a schema. */
export function avroColumns(schemaId: number): Pick<Body, 'structure' | 'columns'> {
  const { fields } = ingestedSchema(schemaId);
  return {
    structure: fields.map(({ name, type }) => `${name} ${columnType(type)}`).join(', '),
    columns: fields
      .filter(({ name }) => name !== 'linked')
      // The reader refuses a fixed of 16 bytes for a UUID column.
      .flatMap(({ name }) =>
        storedColumns(name, UUIDS.has(name) ? `toUUID(UUIDNumToString(${name}))` : name),
      ),
  };
}

/**
 * How the table keeps a field: what deploy/clickhouse/0001_events.sql says of its columns, the other way round.
 *
 * @param value the field, as an expression over the body's columns.
 */
function storedColumns(field: string, value: string): StoredColumn[] {
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

/** 16-byte ids that the table keeps as whole UUIDs. */
const UUIDS: ReadonlySet<string> = new Set(['parent_event_id']);

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
