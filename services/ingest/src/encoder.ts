import { type ContainerRow, containerOf, FIELDS_MAX, ingestedSchema } from '@cairn/event';
import {
  columnType,
  EVENT_BLOCK_STORED,
  EVENT_BLOCK_STRUCTURE,
  EventColumns,
  type EventRow,
  storedColumns,
} from '@cairn/native';
import type { Body, Place } from './event-table.ts';

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
    let receivedAtMs = 0;
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
        if (columns.count === 0) ({ offset: first, receivedAtMs } = row);
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
        const head = { format: 'Native', structure: EVENT_BLOCK_STRUCTURE, columns: EVENT_BLOCK_STORED };
        const appendDay = dayOf(receivedAtMs);
        return [{ ...head, pieces: columns.block(), first, last, appendDay, count }];
      },
      release: () => columns.release(),
    };
  },
};

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
          appendDay: dayOf(ofSchema[0]!.receivedAtMs),
          count: ofSchema.length,
        })),
      release() {},
    };
  },
};

/** The day of a time, UTC, as the table's append_day has it. */
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

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

/** 16-byte ids that the table keeps as whole UUIDs. */
const UUIDS: ReadonlySet<string> = new Set(['parent_event_id']);
