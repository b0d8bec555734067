import type { ClickHouse, Settings } from '@cairn/adapters';
import type { Body } from './encoder.ts';
import type { Gap, StreamFinding } from './sort-records.ts';

/** Where a partition's inserts come from: written into each, so that they can be found and fenced. */
export interface Owner {
  readonly topic: string;
  readonly partition: number;
  /** Unique to this process and this opening of the partition. */
  readonly name: string;
}

/** Beginning of the comments of all inserts into a partition; `KILL QUERY` finds them by it. */
export const commentOf = (topic: string, partition: number): string => `ingest|${topic}|${partition}|`;

/**
 * Settings that decide how an insert is cut into blocks and parts. They travel with each insert, so that no profile of a
 * server can change them: one insert is one block is one part.
 */
const PINNED: Settings = {
  async_insert: 0,
  max_insert_threads: 1,
  max_insert_block_size: 1_048_449,
  min_insert_block_size_rows: 1_048_449,
  min_insert_block_size_bytes: 1_073_741_824,
  insert_deduplicate: 1,
  deduplicate_blocks_in_dependent_materialized_views: 1,
  input_format_avro_allow_missing_fields: 0,
  max_execution_time: 120,
};

/** How an insert refuses offsets that the table has: above the highest one, or one by one when there are holes below. */
export type Refusal = 'above-highest' | 'one-by-one';

/** Inserts rows in order of offset, as one part, unless another owner has come since. */
export async function insertBody(
  clickhouse: ClickHouse,
  owner: Owner,
  refusal: Refusal,
  { format, structure, columns, pieces, rows }: Body,
): Promise<void> {
  const first = rows[0]?.offset ?? 0;
  const last = rows.at(-1)?.offset ?? 0;
  const here = `topic = ${literal(owner.topic)} AND partition = ${owner.partition}`;
  const fresh =
    refusal === 'above-highest'
      ? `offset > (SELECT max(offset) FROM (SELECT toInt64(-1) AS offset UNION ALL SELECT max(offset) FROM cairn.events WHERE ${here} HAVING count() > 0))`
      : `offset NOT IN (SELECT offset FROM cairn.events WHERE ${here} AND offset BETWEEN ${first} AND ${last})`;
  const sql = `INSERT INTO cairn.events (${columns.map(({ name }) => name).join(', ')})
SELECT ${columns.map(({ expression }) => expression).join(', ')}
FROM input(${literal(structure)})
WHERE ${fresh}
  AND (SELECT argMax(owner, epoch) FROM cairn.ingest_owners WHERE ${here}) = ${literal(owner.name)}
FORMAT ${format}`;
  await clickhouse.insertBody(sql, pieces, {
    ...PINNED,
    log_comment: `${commentOf(owner.topic, owner.partition)}${owner.name}|${first}-${last}`,
    // Never the token of an earlier attempt: a token can be remembered of an insert whose part was lost.
    insert_deduplication_token: `${owner.topic}|${owner.partition}|${first}|${last}|${rows.length}|${owner.name}`,
  });
}

/** Declares offsets that have no row. Repetition is harmless: the table keeps the latest of each range. */
export async function insertGaps(clickhouse: ClickHouse, owner: Owner, gaps: readonly Gap[]): Promise<void> {
  const rows = gaps.map((gap) => ({
    topic: owner.topic,
    partition: owner.partition,
    offset_first: gap.first,
    offset_last: gap.last,
    reason: gap.reason,
    field: gap.field,
    detail: gap.detail,
    org_id: gap.orgId,
    gateway_id: gap.gatewayId,
    value_sha256: gap.valueSha256 ?? '',
    received_at: timeOf(gap.receivedAtMs),
  }));
  await clickhouse.insertRows('cairn.ingest_gaps', rows, { async_insert: 0 });
}

/** Notes what is wrong with streams. Repetition is harmless. */
export async function insertFindings(
  clickhouse: ClickHouse,
  owner: Owner,
  findings: readonly StreamFinding[],
): Promise<void> {
  const rows = findings.map((finding) => ({
    topic: owner.topic,
    partition: owner.partition,
    offset: finding.offset,
    org_id: finding.orgId,
    gateway_id: finding.gatewayId,
    epoch: finding.epoch,
    seq: finding.seq,
    finding: finding.finding,
    missing_from: finding.missing?.from ?? null,
    missing_to: finding.missing?.to ?? null,
    received_at: timeOf(finding.receivedAtMs),
  }));
  await clickhouse.insertRows('cairn.stream_findings', rows, { async_insert: 0 });
}

/** Milliseconds as ClickHouse reads a DateTime64(3) in UTC. */
function timeOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace('T', ' ');
}

/** A SQL string literal. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
