/**
 * A query copy: the events of one segment as the table has them, in Parquet, sorted by organisation, agent and time, so that
 * ClickHouse reads the columns and rows that it needs. Derived from the segment and never evidence; it can be made again.
 *
 *     copy/<topic>/<partition>/<first, 20 digits>.parquet     columns: COPY_STRUCTURE
 *
 * Copies lie in a bucket of their own (docs/adr/0010-copies-have-a-bucket-of-their-own.md).
 */
import { parseOrigin } from '@cairn/ledger';
import { EVENT_BLOCK_STORED, EVENT_BLOCK_STRUCTURE } from '@cairn/native';
import { ANSWER_FIELDS, COPY_STRUCTURE } from './statements.ts';

/** @param first index of the segment's first leaf. */
export function copyName(origin: string, first: number): string {
  const { topic, partition } = parseOrigin(origin);
  return `copy/${topic}/${partition}/${String(first).padStart(20, '0')}.parquet`;
}

/** Of the first leaf of the segment that a copy is of; undefined when the name is none of a copy of this log. */
export function copiedFirst(origin: string, name: string): number | undefined {
  const first = Number(/\/([0-9]{20})\.parquet$/.exec(name)?.[1] ?? Number.NaN);
  return Number.isSafeInteger(first) && copyName(origin, first) === name ? first : undefined;
}

const STORED = new Map(EVENT_BLOCK_STORED.map(({ name, expression }) => [name, expression]));

/** What is written of an `eventBlock`, in the order of COPY_STRUCTURE. */
const WRITTEN = ['topic', 'partition', 'offset', 'received_at', 'leaf_hash', ...ANSWER_FIELDS].map((name) =>
  name === 'event_id' || name === 'call_id'
    ? `toUUID(UUIDNumToString(${name})) AS ${name}`
    : `${STORED.get(name)} AS ${name}`,
);

/**
 * The statement that writes a copy from an `eventBlock` that is sent behind it. It refuses a name that is taken.
 *
 * @param collection under which ClickHouse keeps address and keys of the copies' bucket.
 */
export const copyInsert = (collection: string, name: string): string =>
  `INSERT INTO FUNCTION s3(${collection}, filename = '${name}', format = 'Parquet', structure = '${COPY_STRUCTURE.replaceAll("'", "\\'")}')
SELECT ${WRITTEN.join(', ')}
FROM input('${EVENT_BLOCK_STRUCTURE.replaceAll("'", "\\'")}')
ORDER BY org_id, agent_id, timestamp
FORMAT Native`;

/** Of one insert; those that shape the file have the engine's default where they are not named. */
export const COPY_SETTINGS = {
  async_insert: 0,
  max_insert_threads: 1,
  output_format_parquet_compression_method: 'zstd',
  // The footer says which rows a group holds: smaller groups are left out sooner.
  output_format_parquet_row_group_size: 8_192,
  output_format_parquet_write_bloom_filter: 1,
  s3_truncate_on_insert: 0,
  s3_create_new_file_on_insert: 0,
} as const;
