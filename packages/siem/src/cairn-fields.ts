import type { PlainEvent } from './plain-event.ts';

/**
 * What an event says and a format has no name for, under the names of the schema, and its proof coordinates. The same in every
 * format that carries JSON: `unmapped.cairn` of OCSF, `cairn` of ECS and Datadog. Absent is left out.
 */
export function cairnFields({ event, cut }: PlainEvent): Readonly<Record<string, unknown>> {
  return present({
    kind: event.kind,
    phase: event.phase,
    capture: event.capture,
    environment: event.environment,
    principal_type: known(event.principal_type),
    auth_method: event.auth_method,
    session_id: event.session_id,
    session_source: known(event.session_source),
    step: event.step,
    delegation: event.delegation,
    client_name: event.client_name,
    client_version: event.client_version,
    source_token: event.source_ip,
    protocol: known(event.protocol),
    protocol_version: event.protocol_version,
    method: event.method,
    tool_hash: event.tool_hash,
    action: known(event.action),
    sensitivity: known(event.sensitivity),
    data_classes: event.data_classes,
    parameters_hash: event.parameters_hash,
    parameters_size: event.parameters_size,
    result_status: known(event.result_status),
    response_hash: event.response_hash,
    response_size: event.response_size,
    upstream_ms: event.upstream_ms,
    redactions: event.redactions,
    task: event.task,
    parent_event_id: event.parent_event_id,
    permission_profile: event.permission_profile,
    permission_profile_version: event.permission_profile_version,
    approval_id: event.approval_id,
    attempt: event.attempt,
    items_before: event.items_before,
    items_after: event.items_after,
    decision: known(event.decision),
    policy_engine: event.policy_engine,
    policy_set_hash: event.policy_set_hash,
    rules_matched: event.rules_matched,
    policy_errors: event.policy_errors,
    enforcement: known(event.enforcement),
    detail: event.detail,
    cut,
    proof: present({
      topic: event.topic,
      partition: event.partition,
      offset: event.offset,
      leaf_hash: event.leaf_hash,
      leaf_index: event.leaf_index,
      org_id: event.org_id,
      gateway_id: event.gateway_id,
      epoch: event.epoch,
      seq: event.seq,
      key_id: event.key_id,
    }),
  });
}

const known = (symbol: string): string | undefined => (symbol === 'unknown' ? undefined : symbol);

/** Without what is absent: undefined, null, empty texts and empty lists. */
export function present(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  // Called a dozen times for each event: no lists of entries are made.
  const kept: Record<string, unknown> = {};
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined || value === null || value === '') continue;
    if (Array.isArray(value) && value.length === 0) continue;
    kept[name] = value;
  }
  return kept;
}
