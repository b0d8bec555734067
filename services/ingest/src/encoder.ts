import { type ContainerRow, containerOf, FIELDS_MAX, ingestedSchema } from '@cairn/event';
import { EVENT_COLUMNS, EventColumns, type EventRow, HINTS, typeName } from '@cairn/native';
import type { Place } from './event-table.ts';

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
}

/** Turns rows into what ClickHouse reads. */
export interface Encoder {
  /** Begins the rows of a chunk. */
  open(place: Place): OpenRows;
}

/** The rows of a chunk while they come, in order of offset. */
export interface OpenRows {
  /** Rows so far. */
  readonly count: number;
  /** Bytes of memory that they hold, about. */
  readonly bytesHeld: number;
  /** Where the walk of the next row's datum notes the places of its fields, from `placesAt` on. */
  readonly places: Uint16Array;
  readonly placesAt: number;
  add(row: EventRow): void;
  /** From now on the datums of the rows that were added may be written over. */
  settle(): void;
  /** The leaf hashes of all rows, one behind the other. */
  readonly leafHashes: readonly Uint8Array[];
  /** One body for one insert, or more when the format cannot hold all rows together; none when there is no row. */
  bodies(): Body[];
  /** Nobody needs the rows, nor their bodies, any more: their memory is used again. */
  release(): void;
}

/**
 * Columns, taken apart here: the database has nothing to parse. Events of several schemas come in one body.
 * tools/bench/README.md says what this costs and saves.
 */
export const nativeEncoder: Encoder = {
  open({ topic, partition }) {
    const columns = new EventColumns(topic, partition);
    let first = -1;
    let last = -1;
    return {
      get count() {
        return columns.count;
      },
      get bytesHeld() {
        return columns.bytesHeld;
      },
      places: columns.places,
      get placesAt() {
        return columns.placesAt;
      },
      add(row) {
        if (columns.count === 0) first = row.offset;
        last = row.offset;
        columns.add(row);
      },
      settle: () => columns.settle(),
      get leafHashes() {
        return columns.leafHashes;
      },
      bodies() {
        const { count } = columns;
        if (count === 0) return [];
        const head = { format: 'Native', structure: NATIVE_STRUCTURE, columns: NATIVE_COLUMNS };
        return [{ ...head, pieces: columns.block(), first, last, count }];
      },
      release: () => columns.release(),
    };
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

/** One Avro container for each schema, datums undecoded, one block each. */
export const avroEncoder: Encoder = {
  open({ topic, partition }) {
    const rows: (ContainerRow & { readonly schemaId: number })[] = [];
    let bytesHeld = 0;
    return {
      get count() {
        return rows.length;
      },
      get bytesHeld() {
        return bytesHeld;
      },
      places: new Uint16Array(FIELDS_MAX),
      placesAt: 0,
      add({ offset, receivedAtMs, leafHash: hash, linked, schemaId, bytes, start, end }) {
        const datum = new Uint8Array(bytes.subarray(start, end));
        const leafHash = Buffer.from(hash, 'latin1');
        rows.push({ topic, partition, offset, receivedAtMs, leafHash, linked, datum, schemaId });
        bytesHeld += datum.length + ROW_BYTES;
      },
      settle() {},
      get leafHashes() {
        return rows.map(({ leafHash }) => leafHash);
      },
      bodies: () =>
        [...Map.groupBy(rows, ({ schemaId }) => schemaId)].map(([schemaId, ofSchema]) => ({
          format: 'Avro',
          ...avroColumns(schemaId),
          pieces: [containerOf(schemaId, ofSchema)],
          first: ofSchema[0]!.offset,
          last: ofSchema.at(-1)!.offset,
          count: ofSchema.length,
        })),
      release() {},
    };
  },
};

/** What a row that waits holds beside its datum, about. */
const ROW_BYTES = 512;

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
