import type { ClickHouse } from '@cairn/adapters';
import { ROW_SETTINGS, SESSION_COLUMNS } from '@cairn/query';
import type { SessionEvent } from '@cairn/session';

/** How far one partition of one topic has been read: everything up to this offset. */
export interface LogPosition {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export type LoggedEvent = SessionEvent & LogPosition;

/** The last offset that the table holds of each partition. */
export async function readHeads(clickhouse: ClickHouse): Promise<LogPosition[]> {
  return clickhouse.query<LogPosition>(
    `SELECT topic, partition, max(offset) AS offset FROM cairn.events GROUP BY topic, partition`,
    {},
    ROW_SETTINGS,
  );
}

/** The last events up to these positions, oldest first; at most `limit`. */
export async function readUpTo(
  clickhouse: ClickHouse,
  positions: readonly LogPosition[],
  limit: number,
): Promise<LoggedEvent[]> {
  if (limit === 0 || positions.length === 0) return [];
  const { parameters, conditions } = named(positions);
  // No partition holds more than `limit` of them, so only the end of each is read.
  const ends = conditions.map(
    ({ here, offset }) => `(${here} AND offset <= ${offset} AND offset > ${offset} - {limit:UInt32})`,
  );
  const events = await clickhouse.query<LoggedEvent>(
    `SELECT ${SESSION_COLUMNS}, topic, partition, offset FROM cairn.events WHERE ${ends.join(' OR ')}
     ORDER BY timestamp DESC, topic, partition, offset DESC LIMIT {limit:UInt32}`,
    { ...parameters, limit },
    ROW_SETTINGS,
  );
  return events.reverse();
}

/**
 * The next events behind these positions, at most `limit` of each partition, and of partitions that are not among them
 * from their start. Positions and not times: partitions are loaded independently, and an event of a slow one may arrive
 * after a later event of a fast one was shown.
 */
export async function readBehind(
  clickhouse: ClickHouse,
  positions: readonly LogPosition[],
  limit: number,
): Promise<LoggedEvent[]> {
  const { parameters, conditions } = named(positions);
  const behind = conditions.map(({ here, offset }) => `(${here} AND offset > ${offset})`);
  const elsewhere = conditions.map(({ here }) => `NOT (${here})`).join(' AND ') || '1';
  return clickhouse.query<LoggedEvent>(
    `SELECT ${SESSION_COLUMNS}, topic, partition, offset FROM cairn.events
     WHERE ${[...behind, `(${elsewhere})`].join(' OR ')}
     ORDER BY topic, partition, offset LIMIT {limit:UInt32} BY topic, partition`,
    { ...parameters, limit },
    ROW_SETTINGS,
  );
}

/** Positions as parameters of a query, `here` choosing the partition and `offset` being its position. */
function named(positions: readonly LogPosition[]): {
  parameters: Record<string, unknown>;
  conditions: { here: string; offset: string }[];
} {
  const parameters: Record<string, unknown> = {};
  const conditions = positions.map(({ topic, partition, offset }, index) => {
    parameters[`t${index}`] = topic;
    parameters[`p${index}`] = partition;
    parameters[`o${index}`] = offset;
    return {
      here: `topic = {t${index}:String} AND partition = {p${index}:Int32}`,
      offset: `{o${index}:Int64}`,
    };
  });
  return { parameters, conditions };
}
