import { type AuditEvent, formatUuid, hexOf } from '@cairn/event';

/**
 * A stored event as formats take it: fields under the names of the schema, ids as UUIDs, other bytes in lower-case hex, time in
 * microseconds. Beside them its proof coordinates: whoever got the event in another form finds its proof by them. A row that a
 * search has found has this form.
 */
export type StoredEvent = ShownFields & ProofCoordinates;

type Shown<Value> = Value extends Uint8Array ? string : Value;

/** Fields that formats read. Parameters and responses are not among them: what is kept of their content stays with us. */
export type ShownFields = {
  readonly [Name in (typeof FIELDS)[number]]: Shown<AuditEvent[Name]>;
};

/** Where an event lies in the log. */
export interface ProofCoordinates {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** When the broker appended it, milliseconds since 1970. */
  readonly received_at: number;
  /** Hex; null when it was read from where it is no value. */
  readonly leaf_hash: string | null;
  /** Place among the leaves of its partition's log, where that is known. */
  readonly leaf_index?: number | null;
}

/** Fields that go into some format. */
export const FIELDS = [
  'event_id',
  'org_id',
  'kind',
  'phase',
  'call_id',
  'timestamp',
  'gateway_id',
  'gateway_version',
  'environment',
  'capture',
  'agent_id',
  'agent_version',
  'principal_type',
  'user_id',
  'auth_method',
  'session_id',
  'session_source',
  'step',
  'delegation',
  'client_name',
  'client_version',
  'source_ip',
  'protocol',
  'protocol_version',
  'method',
  'service',
  'tool_name',
  'tool_hash',
  'action',
  'sensitivity',
  'data_classes',
  'parameters_hash',
  'parameters_size',
  'result_status',
  'error_code',
  'error_message',
  'response_hash',
  'response_size',
  'latency_ms',
  'upstream_ms',
  'redactions',
  'task',
  'trace_id',
  'span_id',
  'parent_event_id',
  'permission_profile',
  'permission_profile_version',
  'approval_id',
  'attempt',
  'items_before',
  'items_after',
  'decision',
  'policy_engine',
  'policy_set_hash',
  'rules_matched',
  'policy_errors',
  'enforcement',
  'detail',
  'epoch',
  'seq',
  'key_id',
] as const satisfies readonly (keyof AuditEvent)[];

const UUIDS: ReadonlySet<string> = new Set(['event_id', 'call_id', 'parent_event_id']);

/** The form that formats take of an event as it was read from the log. */
export function storedEvent(
  event: Pick<AuditEvent, (typeof FIELDS)[number]>,
  proof: ProofCoordinates,
): StoredEvent {
  const shown: Record<string, unknown> = { ...proof };
  for (const name of FIELDS) {
    const value = event[name];
    shown[name] = value instanceof Uint8Array ? (UUIDS.has(name) ? formatUuid(value) : hexOf(value)) : value;
  }
  return shown as unknown as StoredEvent;
}
