/**
 * One event of a session as the table gives it: names are the schema's, ids are UUIDs as text, hashes are hex, times are
 * microseconds since 1970. The empty string means absent.
 */
export interface SessionEvent {
  readonly event_id: string;
  readonly call_id: string | null;
  readonly kind: string;
  readonly phase: string;
  readonly timestamp: number;
  readonly gateway_id: string;
  readonly epoch: number;
  readonly seq: number;
  readonly org_id: string;
  readonly agent_id: string;
  readonly agent_version: string;
  readonly user_id: string;
  readonly auth_method: string;
  readonly session_id: string;
  readonly session_source: string;
  readonly client_name: string;
  readonly client_version: string;
  readonly protocol_version: string;
  readonly method: string;
  readonly service: string;
  readonly tool_name: string;
  readonly action: string;
  readonly sensitivity: string;
  readonly data_classes: readonly string[];
  readonly parameters_shape: string;
  readonly parameters_tokens: readonly { readonly name: string; readonly token: string }[];
  readonly parameters_kept: readonly { readonly name: string; readonly value: string }[];
  readonly parameters_size: number | null;
  readonly decision: string;
  readonly enforcement: string;
  readonly rules_matched: readonly string[];
  readonly policy_errors: readonly string[];
  readonly result_status: string;
  readonly error_code: string;
  readonly error_message: string;
  readonly response_size: number | null;
  readonly latency_ms: number | null;
  readonly upstream_ms: number | null;
  readonly redactions: readonly { readonly rule: string; readonly count: number }[];
  readonly attempt: number | null;
}
