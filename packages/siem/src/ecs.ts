import { cairnFields, present } from './cairn-fields.ts';
import { resultOf, sentenceOf, severityOf, timeOf } from './describe-event.ts';
import { plainEvent } from './plain-event.ts';
import type { StoredEvent } from './stored-event.ts';

/** The version of the Elastic Common Schema that events are mapped to. */
export const ECS_VERSION = '9.4.0';

/** A document of Elasticsearch, as JSON has it. */
export type EcsDocument = Readonly<Record<string, unknown>>;

/**
 * An event in ECS 9.4.0 (https://www.elastic.co/guide/en/ecs/current). What ECS has no name for stands under `cairn`, whose
 * mapping is schemas/siem/elastic-component.json. Tokens go to `user.id` and never to `source.ip`, which holds addresses only.
 */
export function ecsOf(stored: StoredEvent): EcsDocument {
  const plain = plainEvent(stored);
  const { event, alert } = plain;
  const rules = alert === undefined ? event.rules_matched : [alert.rule];
  return present({
    '@timestamp': timeOf(event.timestamp),
    ecs: { version: ECS_VERSION },
    message: sentenceOf(plain),
    event: present({
      id: event.event_id,
      kind: alert === undefined ? 'event' : 'alert',
      category: [categoryOf(event.kind)],
      type: typesOf(event),
      action: event.method || event.kind,
      outcome: outcomeOf(event),
      duration: event.latency_ms === null ? undefined : event.latency_ms * 1_000_000,
      sequence: event.seq,
      severity: severityOf(plain),
      hash: event.leaf_hash,
      module: 'cairn',
      dataset: 'cairn.audit',
      provider: event.gateway_id,
      code: event.error_code,
      reason: alert?.reason ?? (event.rules_matched.join(', ') || resultOf(event)),
      created: new Date(event.received_at).toISOString(),
    }),
    gen_ai: present({
      operation: event.kind === 'tool_call' ? { name: 'execute_tool' } : undefined,
      agent: event.agent_id === '' ? undefined : { id: event.agent_id, name: event.agent_id },
      tool:
        event.tool_name === ''
          ? undefined
          : present({
              name: event.tool_name,
              call: event.call_id === null ? undefined : { id: event.call_id },
            }),
    }),
    user: event.user_id === '' ? undefined : { id: event.user_id },
    service: event.service === '' ? undefined : { name: event.service },
    observer: present({
      name: event.gateway_id,
      type: event.protocol === 'mcp' ? 'mcp-gateway' : event.capture,
      vendor: 'Cairn',
      product: 'Cairn',
      version: event.gateway_version,
    }),
    organization: { id: event.org_id },
    rule: rules.length === 0 ? undefined : present({ id: rules, name: alert?.title }),
    error:
      event.error_code === '' && event.error_message === ''
        ? undefined
        : present({ code: event.error_code, message: event.error_message, type: event.result_status }),
    trace: event.trace_id === null ? undefined : { id: event.trace_id },
    span: event.span_id === null ? undefined : { id: event.span_id },
    cairn: cairnFields(plain),
  });
}

/** Categories and the types that ECS expects in each; see `event.type`. */
function categoryOf(kind: string): string {
  switch (kind) {
    case 'session':
      return 'session';
    case 'alert':
      return 'intrusion_detection';
    case 'policy_change':
    case 'admin':
    case 'retention':
      return 'configuration';
    default:
      return 'api';
  }
}

const TYPES: Readonly<Record<string, string>> = {
  create: 'creation',
  update: 'change',
  delete: 'deletion',
};

function typesOf(event: StoredEvent): readonly string[] {
  const { kind, action, decision, enforcement } = event;
  switch (categoryOf(kind)) {
    case 'configuration':
      return ['change'];
    case 'session':
    case 'intrusion_detection':
      return ['info'];
    default: {
      const first =
        kind === 'tool_call' ? (TYPES[action] ?? 'access') : READING.has(kind) ? 'access' : 'info';
      if (decision === 'allow' || (decision === 'deny' && enforcement === 'monitor'))
        return [first, 'allowed'];
      return decision === 'deny' ? [first, 'denied'] : [first];
    }
  }
}
const READING: ReadonlySet<string> = new Set(['resource_read', 'prompt_get', 'discovery', 'audit_access']);

function outcomeOf({ result_status: status }: StoredEvent): 'success' | 'failure' | 'unknown' {
  if (status === 'success') return 'success';
  return status === 'failure' || status === 'denied' || status === 'timeout' ? 'failure' : 'unknown';
}
