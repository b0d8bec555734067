import type { ClickHouse } from '@cairn/adapters';
import { ROW_SETTINGS } from '@cairn/query';

/** The first offset of each partition of a topic behind all that the table accounts for, as a row or as a gap. */
export async function readLoaded(clickhouse: ClickHouse, topic: string): Promise<Map<number, number>> {
  const rows = await clickhouse.query<{ partition: number; next: number }>(
    `SELECT partition, max(last) + 1 AS next FROM (
       SELECT partition, max(offset) AS last FROM cairn.events WHERE topic = {topic:String} GROUP BY partition
       UNION ALL
       SELECT partition, max(offset_last) AS last FROM cairn.ingest_gaps WHERE topic = {topic:String} GROUP BY partition)
     GROUP BY partition`,
    { topic },
    ROW_SETTINGS,
  );
  return new Map(rows.map(({ partition, next }) => [partition, next]));
}
