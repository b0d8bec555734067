import type { ClickHouse } from '@cairn/adapters';

/** Whether the offsets of one partition are accounted for exactly. */
export interface LedgerState {
  readonly topic: string;
  readonly partition: number;
  /** Offsets between the lowest and the highest that are neither a row nor a gap. */
  readonly missing: number;
  /** Rows beyond the first of their offset. */
  readonly doubled: number;
  readonly rows: number;
  readonly gaps: number;
}

/**
 * Counts what the table accounts for, over the days from `sinceDay` on: every offset between the lowest row and the
 * highest must be one row or lie in one gap.
 *
 * @param sinceDay `YYYY-MM-DD`; absent counts all.
 */
export async function verifyLedger(
  clickhouse: ClickHouse,
  topics: readonly string[],
  sinceDay?: string,
): Promise<LedgerState[]> {
  return clickhouse.query<LedgerState>(
    `WITH held AS (
       SELECT topic, partition, min(offset) AS lowest, max(offset) AS highest, count() AS rows, uniqExact(offset) AS distinct_rows
       FROM cairn.events WHERE topic IN {topics:Array(String)} AND append_day >= toDate({since:String})
       GROUP BY topic, partition),
     declared AS (
       SELECT topic, partition, sum(least(offset_last, highest) - greatest(offset_first, lowest) + 1) AS gaps
       FROM (SELECT DISTINCT topic, partition, offset_first, offset_last FROM cairn.ingest_gaps) AS g
       INNER JOIN held USING (topic, partition)
       WHERE offset_last >= lowest AND offset_first <= highest
       GROUP BY topic, partition)
     SELECT held.topic AS topic, held.partition AS partition, held.rows AS rows, ifNull(declared.gaps, 0) AS gaps,
            toInt64(held.highest - held.lowest + 1) - toInt64(held.distinct_rows) - toInt64(gaps) AS missing,
            toInt64(held.rows) - toInt64(held.distinct_rows) AS doubled
     FROM held LEFT JOIN declared USING (topic, partition)
     ORDER BY topic, partition`,
    { topics, since: sinceDay ?? '1970-01-01' },
    { output_format_json_quote_64bit_integers: 0 },
  );
}
