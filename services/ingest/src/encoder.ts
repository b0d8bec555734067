import { type ContainerRow, containerOf, ingestedSchema } from '@cairn/event';
import {
  columnType,
  EVENT_BLOCK_STORED,
  EVENT_BLOCK_STRUCTURE,
  type EventRow,
  type EventRows,
  eventBlock,
  type StoredColumn,
  storedColumns,
} from '@cairn/native';

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
        structure: EVENT_BLOCK_STRUCTURE,
        columns: EVENT_BLOCK_STORED,
        ...eventBlock(rows),
        ...spanOf(rows.rows),
      },
    ];
  },
};

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

/** 16-byte ids that the table keeps as whole UUIDs. */
const UUIDS: ReadonlySet<string> = new Set(['parent_event_id']);
