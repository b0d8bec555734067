import type { Statement } from './statements.ts';

/**
 * A statement of `eventsIn` over the hot table whose rows also say which leaf of their partition's log they are: `leaf_index`,
 * null while the event is not archived. Archival writes the runs out of its segments (deploy/clickhouse/0006_leaf_runs.sql).
 * Runs of which every offset lies as far from its leaf are one, whatever stands between them: only offsets that are no leaves
 * change it, and it never falls.
 *
 * @param order of the statement; a join keeps none.
 */
export function withLeafIndex({ sql, parameters }: Statement, order: 'newest' | 'oldest'): Statement {
  const direction = order === 'newest' ? 'DESC' : 'ASC';
  return {
    sql: `SELECT found.*, if(runs.is_run = 1 AND found.offset <= runs.last, found.offset - runs.shift, NULL) AS leaf_index
FROM (${sql}) AS found
ASOF LEFT JOIN (
  SELECT toString(topic) AS topic, partition, offset_first - leaf_first AS shift, min(offset_first) AS first, max(offset_last) AS last, 1 AS is_run
  FROM cairn.leaf_runs FINAL GROUP BY topic, partition, shift
) AS runs ON toString(found.topic) = runs.topic AND found.partition = runs.partition AND found.offset >= runs.first
ORDER BY found.timestamp ${direction}, toString(found.topic) ${direction}, found.partition ${direction}, found.offset ${direction}`,
    parameters,
  };
}
