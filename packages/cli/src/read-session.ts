import type { ClickHouse } from '@cairn/adapters';
import { ABOUT_CALLS, ROW_SETTINGS, SESSION_COLUMNS } from '@cairn/query';
import type { SessionEvent } from '@cairn/session';

/**
 * All events of one session, in time order.
 *
 * @param id the session's id, or a prefix of at least eight characters that only one session has.
 */
export async function readSession(clickhouse: ClickHouse, id: string): Promise<SessionEvent[]> {
  return clickhouse.query<SessionEvent>(
    `SELECT ${SESSION_COLUMNS} FROM cairn.events
     WHERE session_id = {id:String} AND ${ABOUT_CALLS}
     ORDER BY timestamp, gateway_id, epoch, seq`,
    { id },
    ROW_SETTINGS,
  );
}

/** Sessions whose id begins so; at most `limit`. */
export async function findSessions(clickhouse: ClickHouse, prefix: string, limit: number): Promise<string[]> {
  const rows = await clickhouse.query<{ session_id: string }>(
    `SELECT DISTINCT session_id FROM cairn.events
     WHERE startsWith(session_id, {prefix:String}) AND session_id != '' LIMIT {limit:UInt32}`,
    { prefix, limit },
  );
  return rows.map((row) => row.session_id);
}

export interface SessionSummary {
  readonly session_id: string;
  readonly org_id: string;
  readonly agent_id: string;
  readonly first: string;
  readonly last: string;
  readonly calls: number;
  readonly denied: number;
  readonly failed: number;
}

/** The latest sessions, newest first. */
export async function listSessions(clickhouse: ClickHouse, limit: number): Promise<SessionSummary[]> {
  return clickhouse.query<SessionSummary>(
    `SELECT session_id, any(org_id) AS org_id, any(agent_id) AS agent_id,
            formatDateTime(min(timestamp), '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS first,
            formatDateTime(max(timestamp), '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS last,
            toUInt32(uniqExact(call_id)) AS calls,
            toUInt32(countIf(phase != 'outcome' AND decision = 'deny')) AS denied,
            toUInt32(countIf(phase = 'outcome' AND result_status IN ('failure', 'timeout', 'cancelled'))) AS failed
     FROM cairn.events WHERE session_id != '' AND ${ABOUT_CALLS}
     GROUP BY session_id ORDER BY max(timestamp) DESC LIMIT {limit:UInt32}`,
    { limit },
    ROW_SETTINGS,
  );
}
