import type { AlertFacts } from './alert-facts.ts';
import { cairnFields, present } from './cairn-fields.ts';
import { resultOf, sentenceOf, severityOf, timeOf } from './describe-event.ts';
import { type PlainEvent, plainEvent } from './plain-event.ts';
import type { StoredEvent } from './stored-event.ts';

/** The version of the Open Cybersecurity Schema Framework that events are mapped to. */
export const OCSF_VERSION = '1.8.0';

/** An event of OCSF, as JSON has it. */
export type OcsfEvent = Readonly<Record<string, unknown>>;

/**
 * An event in OCSF 1.8.0 (https://schema.ocsf.io/1.8.0): API Activity (6003) with the profiles `ai_operation`,
 * `security_control` and, where it is traced, `trace`; an alert is a Detection Finding (2004). What OCSF has no name for stands
 * under `unmapped.cairn`, since additional names are refused. Tokens stand where persons would.
 */
export function ocsfOf(stored: StoredEvent): OcsfEvent {
  return ocsfOfPlain(plainEvent(stored));
}

/** The same, of an event whose texts are harmless already. */
export function ocsfOfPlain(plain: PlainEvent): OcsfEvent {
  return plain.alert === undefined ? apiActivity(plain) : detectionFinding(plain, plain.alert);
}

const SEVERITIES = ['', 'Informational', 'Low', 'Medium', 'High', 'Critical'];

function apiActivity(plain: PlainEvent): OcsfEvent {
  const { event } = plain;
  const activity = activityOf(event);
  return present({
    category_uid: 6,
    category_name: 'Application Activity',
    class_uid: 6003,
    class_name: 'API Activity',
    activity_id: activity.id,
    activity_name: activity.name,
    type_uid: 600_300 + activity.id,
    ...common(plain),
    ...statusOf(event),
    ...controlOf(event),
    duration: event.latency_ms,
    metadata: metadataOf(event, [
      'ai_operation',
      'security_control',
      ...(event.trace_id === null ? [] : ['trace']),
    ]),
    actor: actorOf(event),
    api: present({
      operation: event.method || event.kind,
      version: event.protocol_version,
      service: namedService(event),
      request: event.call_id === null ? undefined : { uid: event.call_id },
      response: responseOf(event),
    }),
    src_endpoint: present({
      name: event.client_name,
      uid: event.agent_id,
      svc_name: event.gateway_id,
    }),
    dst_endpoint: event.service === '' ? undefined : { name: event.service, svc_name: event.service },
    resources: resourcesOf(event),
    message_context:
      event.service === ''
        ? undefined
        : // What speaks here is a tool.
          present({ uid: event.session_id, ai_role_id: 3, ai_role: 'Tool', service: namedService(event) }),
    trace: event.trace_id === null ? undefined : { uid: event.trace_id },
  });
}

function detectionFinding(plain: PlainEvent, alert: AlertFacts): OcsfEvent {
  const { event } = plain;
  const activity = alert.isOver ? { id: 3, name: 'Close' } : { id: 1, name: 'Create' };
  return present({
    category_uid: 2,
    category_name: 'Findings',
    class_uid: 2004,
    class_name: 'Detection Finding',
    activity_id: activity.id,
    activity_name: activity.name,
    type_uid: 200_400 + activity.id,
    ...common(plain),
    status_id: alert.isOver ? 4 : 1,
    status: alert.isOver ? 'Resolved' : 'New',
    is_alert: true,
    count: alert.count,
    metadata: metadataOf(event, []),
    finding_info: present({
      uid: alert.key,
      title: alert.title,
      desc: alert.reason,
      analytic: { type_id: 1, type: 'Rule', uid: alert.rule, name: alert.title },
      related_events: alert.events.map((uid) => ({ uid })),
      first_seen_time: milliseconds(alert.since),
      last_seen_time: milliseconds(alert.until),
    }),
    evidences: event.agent_id === '' ? undefined : [{ actor: actorOf(event) }],
  });
}

function common(plain: PlainEvent): Record<string, unknown> {
  const { event } = plain;
  const severity = severityOf(plain);
  return {
    severity_id: severity,
    severity: SEVERITIES[severity],
    time: Math.floor(event.timestamp / 1_000),
    timezone_offset: 0,
    message: sentenceOf(plain),
    unmapped: { cairn: cairnFields(plain) },
  };
}

const milliseconds = (micros: number | undefined): number | undefined =>
  micros === undefined ? undefined : Math.floor(micros / 1_000);

const ACTIVITIES: Readonly<Record<string, { readonly id: number; readonly name: string }>> = {
  create: { id: 1, name: 'Create' },
  read: { id: 2, name: 'Read' },
  update: { id: 3, name: 'Update' },
  delete: { id: 4, name: 'Delete' },
};
const READING: ReadonlySet<string> = new Set(['resource_read', 'prompt_get', 'discovery', 'audit_access']);

function activityOf({ kind, action }: StoredEvent): { readonly id: number; readonly name: string } {
  if (READING.has(kind)) return ACTIVITIES['read']!;
  if (kind !== 'tool_call') return { id: 99, name: kind };
  return ACTIVITIES[action] ?? { id: 99, name: 'Invoke' };
}

/** Splunk's add-on for OCSF reads the result from `status_detail`. */
function statusOf(event: StoredEvent): Record<string, unknown> {
  const said = { status_code: event.error_code, status_detail: resultOf(event) };
  switch (event.result_status) {
    case 'success':
      return { status_id: 1, status: 'Success', ...said };
    case 'failure':
    case 'denied':
    case 'timeout':
      return { status_id: 2, status: 'Failure', ...said };
    case 'cancelled':
    case 'pending':
      return { status_id: 99, status: event.result_status, ...said };
    default:
      return { status_id: 0, status: 'Unknown', ...said };
  }
}

/** Profile `security_control`. A denial that is only watched let the call pass. */
function controlOf({ decision, enforcement }: StoredEvent): Record<string, unknown> {
  switch (decision) {
    case 'allow':
      return { action_id: 1, action: 'Allowed', disposition_id: 1, disposition: 'Allowed' };
    case 'deny':
      return enforcement === 'monitor'
        ? { action_id: 3, action: 'Observed', disposition_id: 17, disposition: 'Logged' }
        : { action_id: 2, action: 'Denied', disposition_id: 2, disposition: 'Blocked' };
    case 'require_approval':
      return { action_id: 99, action: 'Approval required', disposition_id: 14, disposition: 'Delayed' };
    default:
      return { action_id: 0, action: 'Unknown', disposition_id: 0, disposition: 'Unknown' };
  }
}

function metadataOf(event: StoredEvent, profiles: readonly string[]): Record<string, unknown> {
  return present({
    version: OCSF_VERSION,
    product: present({ name: 'Cairn', vendor_name: 'Cairn', version: event.gateway_version }),
    profiles,
    uid: event.event_id,
    tenant_uid: event.org_id,
    correlation_uid: event.call_id,
    sequence: event.seq,
    log_name: event.topic,
    logged_time: event.received_at,
    original_time: timeOf(event.timestamp),
  });
}

const USER_TYPES: Readonly<Record<string, { readonly id: number; readonly type: string }>> = {
  human: { id: 1, type: 'User' },
  service: { id: 4, type: 'Service' },
  agent: { id: 4, type: 'Service' },
};

function actorOf(event: StoredEvent): Record<string, unknown> {
  const kind = USER_TYPES[event.principal_type] ?? { id: 0, type: 'Unknown' };
  return present({
    app_uid: event.agent_id,
    app_name: event.agent_id || event.client_name || event.gateway_id,
    user: event.user_id === '' ? undefined : { uid: event.user_id, type_id: kind.id, type: kind.type },
    session:
      event.session_id === ''
        ? undefined
        : present({ uid: event.session_id, issuer: event.session_source, count: event.step }),
    authorizations: authorizationsOf(event),
  });
}

function authorizationsOf(event: StoredEvent): readonly unknown[] {
  const { decision, policy_engine: engine } = event;
  const rules = event.rules_matched.filter((rule) => rule !== '');
  if (decision === 'unknown' || decision === 'not_evaluated') return [];
  const policies =
    rules.length > 0
      ? rules.map((rule) => ({ uid: rule, name: rule }))
      : [{ name: engine || 'policy set', type: engine }];
  return policies.map((policy) => ({
    decision,
    policy: present({
      ...policy,
      version: event.policy_set_hash,
      is_applied: event.enforcement !== 'monitor',
    }),
  }));
}

const namedService = ({ service }: StoredEvent): unknown =>
  service === '' ? undefined : { name: service, uid: service };

function responseOf({ error_code: code, error_message: message }: StoredEvent): unknown {
  if (code === '' && message === '') return undefined;
  // Codes of JSON-RPC are numbers; `tool_error` and the like are none.
  const number = /^-?\d{1,9}$/.test(code) ? Number(code) : undefined;
  return present({ code: number, error: code, error_message: message });
}

const RESOURCE_TYPES: Readonly<Record<string, string>> = {
  tool_call: 'mcp_tool',
  resource_read: 'mcp_resource',
  prompt_get: 'mcp_prompt',
};

function resourcesOf(event: StoredEvent): readonly unknown[] {
  const { tool_name: name, service, kind, sensitivity, data_classes: classes } = event;
  if (name === '') return [];
  const labels = [...(sensitivity === 'unknown' ? [] : [`sensitivity:${sensitivity}`]), ...classes];
  return [
    present({
      name,
      uid: service === '' ? name : `${service}/${name}`,
      type: RESOURCE_TYPES[kind] ?? kind,
      labels,
    }),
  ];
}
