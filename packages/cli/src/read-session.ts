import type { ClickHouse } from '@cairn/adapters';
import type { SessionEvent } from '@cairn/session';

/**
 * The columns of a session's events as the reconstruction wants them: ids as text, hashes as hex, time in microseconds.
 * Names are the schema's own.
 */
export const SESSION_COLUMNS = `
  toString(event_id) AS event_id,
  if(call_id IS NULL, NULL, toString(call_id)) AS call_id,
  kind, phase, toUnixTimestamp64Micro(timestamp) AS timestamp, gateway_id, epoch, seq,
  org_id, agent_id, agent_version, user_id, auth_method, session_id, session_source, step, client_name, client_version,
  protocol, protocol_version, method, service, tool_name, action, sensitivity, data_classes,
  lower(hex(parameters_hash)) AS parameters_hash, parameters_shape, parameters_tokens, parameters_kept, parameters_size,
  decision, enforcement, policy_engine, rules_evaluated, rules_matched, policy_errors,
  result_status, error_code, error_message, response_size, latency_ms, upstream_ms, redactions,
  if(trace_id IS NULL, '', lower(hex(trace_id))) AS trace_id, task, attempt`;

/** Events of kinds that belong to the record keeping and not to what the agent did. */
const ABOUT_CALLS = `kind NOT IN ('seal', 'stream_open', 'stream_close', 'gap')`;

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

/** Numbers as numbers and named tuples as objects. */
export const ROW_SETTINGS = {
  output_format_json_quote_64bit_integers: 0,
  output_format_json_named_tuples_as_objects: 1,
} as const;
