import { ID_PARTS } from './id-parts.ts';

/** Those of both lists. */
const OF_STEPS = `
  kind, phase, toUnixTimestamp64Micro(timestamp) AS timestamp, gateway_id, epoch, seq,
  agent_id, agent_version, user_id, auth_method, session_source, client_name, client_version,
  protocol_version, method, service, tool_name, action, sensitivity, data_classes,
  parameters_shape, parameters_tokens, parameters_kept, parameters_size,
  decision, enforcement, rules_matched, policy_errors,
  result_status, error_code, error_message, response_size, latency_ms, upstream_ms, redactions, attempt`;

/**
 * The columns of a session's events as the reconstruction wants them, and no other: each costs ClickHouse a tenth of a millisecond or
 * more to plan, whatever it reads. Time is in microseconds; ids are UUIDs, which JSON has as text. Names are the schema's own.
 */
export const SESSION_COLUMNS = `event_id, call_id, org_id, session_id, ${OF_STEPS}`;

/** The same for one who knows organisation and session, and puts the ids together (`idsOf`). */
export const KNOWN_SESSION_COLUMNS = `${ID_PARTS.join(', ')}, ${OF_STEPS}`;

/** Events of kinds that belong to the record keeping and not to what the agent did. */
export const ABOUT_CALLS = `kind NOT IN ('seal', 'stream_open', 'stream_close', 'gap')`;

/** Numbers as numbers and named tuples as objects. */
export const ROW_SETTINGS = {
  output_format_json_quote_64bit_integers: 0,
  output_format_json_named_tuples_as_objects: 1,
} as const;

/**
 * For small answers out of many days. What is asked for again and again, recent hours and indexes of ids, stays decompressed where the
 * server has room for it (`uncompressed_cache_size`; a server has none unless it is told). Indexes are asked before anything is
 * read: most days then are no part of the plan, where each would cost as much as its rows. No projection holds rows. Threads that
 * write JSON side by side would be started for a few lines of it.
 */
export const FEW_ROWS_SETTINGS = {
  use_uncompressed_cache: 1,
  use_skip_indexes_on_data_read: 0,
  optimize_use_projections: 0,
  output_format_parallel_formatting: 0,
} as const;
