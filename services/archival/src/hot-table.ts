import type { ClickHouse } from '@cairn/adapters';
import { type AuditEvent, formatUuid, hexOf, SCHEMAS } from '@cairn/event';

export interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** A row as the hot store has it, in a form in which it can be compared with an event. */
export interface HotRow {
  readonly offset: number;
  /** Hex. */
  readonly leafHash: string;
  readonly receivedAtMs: number;
  /** Value of each field of the event, as `comparable` gives it. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Rows of one day, by the broker's time, of one partition. */
export interface DayOfPlace extends Place {
  /** `YYYY-MM-DD` */
  readonly day: string;
  readonly rows: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
}

/** Offsets of a partition that are leaves without a gap: each next one is the next leaf of the log. */
export interface LeafRun {
  readonly offsetFirst: number;
  /** Inclusive. */
  readonly offsetLast: number;
  /** Index of the leaf at `offsetFirst`. */
  readonly leafFirst: number;
}

/** What archival asks of the hot store: hot-table.ts is it in ClickHouse. */
export interface HotTable {
  /** Rows with offsets in [first, last], by offset. A row that is there twice comes twice. */
  rows(place: Place, first: number, last: number): Promise<HotRow[]>;
  /** Offsets in [first, last] that were declared to have no row because the store refused it. */
  refused(place: Place, first: number, last: number): Promise<Set<number>>;
  days(): Promise<DayOfPlace[]>;
  /** Keeps where leaves lie, for exports. Resolves when it is durable; repetition is harmless. */
  placeLeaves(place: Place, runs: readonly LeafRun[]): Promise<void>;
  /** Drops all rows of a day. Repetition is harmless. */
  dropDay(day: string): Promise<void>;
}

const FIELDS = (SCHEMAS.at(-1)?.schema.fields ?? []).map(({ name }) => name as keyof AuditEvent);
const NUMBERS = { output_format_json_quote_64bit_integers: 0 };

/** Columns that hold ids as UUIDs; other bytes are told in hex. */
const UUIDS = new Set<string>(['event_id', 'call_id', 'parent_event_id']);

/** Keyed hashes of which the table keeps the first 16 bytes (docs/adr/0006-the-table-keeps-half-of-a-keyed-hash.md). */
const CUT = new Set<string>(['parameters_hash', 'response_hash']);
const CUT_BYTES = 16;

/** Columns that hold bytes of any length. */
const BYTES = new Set<string>(['parameters_sealed', 'response_sealed', 'prev_hash', 'signature']);

/** The fields of an event as rows tell them. */
export function comparable(event: AuditEvent): Record<string, unknown> {
  return Object.fromEntries(
    FIELDS.map((name) => {
      const value = event[name];
      if (!(value instanceof Uint8Array)) return [name, value];
      if (UUIDS.has(name)) return [name, formatUuid(value)];
      return [name, hexOf(CUT.has(name) ? value.subarray(0, CUT_BYTES) : value)];
    }),
  );
}

/** The table `cairn.events` (deploy/clickhouse/0001_events.sql). */
export function hotTableIn(clickhouse: ClickHouse): HotTable {
  let columns: Promise<string> | undefined;
  const selected = (): Promise<string> => (columns ??= columnsOf(clickhouse));
  return {
    async rows({ topic, partition }, first, last) {
      const rows = await clickhouse.query<Record<string, unknown>>(
        `SELECT offset AS row_offset, lower(hex(leaf_hash)) AS row_leaf,
                toUnixTimestamp64Milli(received_at) AS row_received, ${await selected()}
         FROM cairn.events
         WHERE topic = {topic:String} AND partition = {partition:Int32}
           AND offset BETWEEN {first:Int64} AND {last:Int64}
         ORDER BY row_offset`,
        { topic, partition, first, last },
        NUMBERS,
      );
      return rows.map((row) => ({
        offset: row['row_offset'] as number,
        leafHash: row['row_leaf'] as string,
        receivedAtMs: row['row_received'] as number,
        fields: Object.fromEntries(FIELDS.map((name) => [name, row[`field_${name}`]])),
      }));
    },

    async refused({ topic, partition }, first, last) {
      const rows = await clickhouse.query<{ from: number; to: number }>(
        `SELECT offset_first AS from, offset_last AS to FROM cairn.ingest_gaps
         WHERE topic = {topic:String} AND partition = {partition:Int32} AND reason = 'table.refused'
           AND offset_last >= {first:Int64} AND offset_first <= {last:Int64}`,
        { topic, partition, first, last },
        NUMBERS,
      );
      const offsets = new Set<number>();
      for (const { from, to } of rows)
        for (let at = Math.max(from, first); at <= Math.min(to, last); at += 1) offsets.add(at);
      return offsets;
    },

    days: () =>
      clickhouse.query<DayOfPlace>(
        `SELECT toString(append_day) AS day, topic, partition, count() AS rows,
                min(offset) AS firstOffset, max(offset) AS lastOffset
         FROM cairn.events GROUP BY append_day, topic, partition ORDER BY append_day, topic, partition`,
        {},
        NUMBERS,
      ),

    async placeLeaves({ topic, partition }, runs) {
      const rows = runs.map(({ offsetFirst, offsetLast, leafFirst }) => ({
        topic,
        partition,
        offset_first: offsetFirst,
        offset_last: offsetLast,
        leaf_first: leafFirst,
      }));
      await clickhouse.insertRows('cairn.leaf_runs', rows, { async_insert: 0 });
    },

    async dropDay(day) {
      if (!/^\d{4}-\d{2}-\d{2}$/.test(day)) throw new TypeError(`${day} is no day`);
      await clickhouse.exec(`ALTER TABLE cairn.events DROP PARTITION '${day}'`);
    },
  };
}

/** The event's columns, each in a form that JSON carries without loss. */
async function columnsOf(clickhouse: ClickHouse): Promise<string> {
  const described = await clickhouse.query<{ name: string; type: string }>(
    `SELECT name, type FROM system.columns WHERE database = 'cairn' AND table = 'events'`,
  );
  const types = new Map(described.map(({ name, type }) => [name, type]));
  return FIELDS.map((name) => {
    const type = types.get(name) ?? '';
    const column = `events.${name}`;
    // Under names of their own: some columns are computed of others, whose names must not mean something else here.
    const as = `AS field_${name}`;
    if (type.includes('UUID')) return `toString(${column}) ${as}`;
    if (type.includes('FixedString') || BYTES.has(name)) return `lower(hex(${column})) ${as}`;
    if (type.startsWith('DateTime64')) return `toUnixTimestamp64Micro(${column}) ${as}`;
    return `${column} ${as}`;
  }).join(', ');
}
