import { bytesOfHex, parseUuid } from '@cairn/event';
import type { PrivacyGuard } from '@cairn/privacy';
import { z } from 'zod';
import type { ImportKey } from './config.ts';
import type { Drafted } from './draft-from-telemetry.ts';
import { digestOf, eventIdAt } from './import-ids.ts';
import { isWithin } from './nesting.ts';

const name = z.string().max(256);
const uuid = z.string().regex(/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i, 'must be a UUID');

/** One event as another gateway tells it, `POST /v1/events`. Names are those of schemas/audit-event.avsc. */
const importedEventSchema = z.strictObject({
  /** Names the event at its sender: what comes again under it is recorded once. */
  id: z.string().min(1).max(256),
  /** When it happened, RFC 3339. */
  time: z.iso.datetime({ offset: true }),
  kind: z.enum(['tool_call', 'resource_read', 'prompt_get', 'discovery', 'session', 'approval']),
  phase: z.enum(['decision', 'outcome', 'single']).default('single'),
  /** Joins the decision and the outcome of a call. */
  call_id: uuid.optional(),
  agent_id: name.default(''),
  agent_version: name.default(''),
  /** The person for whom the agent acts; recorded as a token. */
  user: name.default(''),
  principal_type: z.enum(['human', 'service', 'agent', 'device']).optional(),
  session_id: name.default(''),
  step: z.int().min(0).max(2_147_483_647).nullable().default(null),
  client_name: name.default(''),
  client_version: name.default(''),
  source_ip: name.default(''),
  protocol: z.enum(['mcp', 'a2a', 'http', 'native']).default('mcp'),
  protocol_version: name.default(''),
  method: name.default(''),
  service: name.default(''),
  tool_name: name.default(''),
  action: z.enum(['read', 'create', 'update', 'delete', 'execute', 'communicate', 'pay', 'other']).optional(),
  sensitivity: z.enum(['public', 'internal', 'sensitive', 'restricted']).optional(),
  data_classes: z.array(z.string().min(1).max(64)).max(16).default([]),
  /** Any JSON. Goes through the privacy guard and no further. */
  parameters: z.json().optional(),
  response: z.json().optional(),
  result_status: z.enum(['success', 'failure', 'denied', 'timeout', 'cancelled', 'pending']),
  error_code: name.default(''),
  error_message: z.string().max(4_096).default(''),
  latency_ms: z.int().min(0).max(2_147_483_647).nullable().default(null),
  decision: z.enum(['allow', 'deny', 'require_approval', 'not_evaluated']).default('not_evaluated'),
  rules_matched: z.array(name).max(64).default([]),
  enforcement: z.enum(['enforce', 'monitor']).optional(),
  trace_id: z
    .string()
    .regex(/^[0-9a-f]{32}$/, 'must be 32 lower-case hex digits')
    .optional(),
  span_id: z
    .string()
    .regex(/^[0-9a-f]{16}$/, 'must be 16 lower-case hex digits')
    .optional(),
});

const NAME_BYTES_MAX = 256;
/** Deepest event, its parameters and response included. */
const LEVELS_MAX = 64;

/** An event of another gateway as one of the trail. `capture` says that it was imported. */
export function draftFromEvent(value: unknown, key: ImportKey, guard: PrivacyGuard): Drafted {
  if (!isWithin(value, LEVELS_MAX))
    return { kind: 'rejected', reason: `it is nested deeper than ${LEVELS_MAX} levels` };
  const parsed = importedEventSchema.safeParse(value);
  if (!parsed.success) {
    const mistakes = parsed.error.issues
      .slice(0, 5)
      .map(({ path, message }) => `${path.join('.')}: ${message}`);
    return { kind: 'rejected', reason: mistakes.join('; ') };
  }
  const event = parsed.data;
  const { org } = key;
  if (key.agent !== undefined && event.agent_id !== '' && event.agent_id !== key.agent)
    return { kind: 'rejected', reason: `agent_id: this key brings events of ${key.agent} alone` };
  const time = Date.parse(event.time) * 1_000;
  const sameAs = digestOf(org, key.name, event.id);
  const named = (text: string): string => guard.scrub(text, NAME_BYTES_MAX).text;
  const [service, tool] = [named(event.service), named(event.tool_name)];
  const message = guard.scrub(event.error_message, 512);
  const sizeOf = (content: unknown): number => Buffer.byteLength(JSON.stringify(content));
  const guarded =
    event.parameters === undefined
      ? undefined
      : guard.parameters(org, service, tool, event.parameters, sizeOf(event.parameters));
  const answered =
    event.response === undefined
      ? undefined
      : guard.response(org, service, tool, event.response, sizeOf(event.response));
  return {
    kind: 'event',
    sameAs,
    draft: {
      event_id: eventIdAt(time, sameAs),
      org_id: org,
      kind: event.kind,
      phase: event.phase,
      capture: 'importer',
      call_id: event.call_id === undefined ? null : parseUuid(event.call_id),
      timestamp: time,
      agent_id: key.agent ?? named(event.agent_id),
      agent_version: named(event.agent_version),
      ...(event.principal_type && { principal_type: event.principal_type }),
      user_id: guard.token(org, 'user', event.user),
      auth_method: 'import_key',
      session_id: named(event.session_id),
      session_source: event.session_id === '' ? 'none' : 'asserted',
      step: event.step,
      client_name: named(event.client_name),
      client_version: named(event.client_version),
      source_ip: guard.token(org, 'ip', event.source_ip),
      protocol: event.protocol,
      protocol_version: named(event.protocol_version),
      method: named(event.method),
      service,
      tool_name: tool,
      ...(event.action && { action: event.action }),
      ...(event.sensitivity && { sensitivity: event.sensitivity }),
      data_classes: event.data_classes,
      ...guarded,
      ...answered,
      redactions: [
        ...(guarded?.redactions ?? []),
        ...(answered?.redactions ?? []),
        ...message.redactions,
      ].slice(0, 32),
      result_status: event.result_status,
      error_code: named(event.error_code),
      error_message: message.text,
      latency_ms: event.latency_ms,
      decision: event.decision,
      rules_matched: event.rules_matched.map(named),
      ...(event.enforcement && { enforcement: event.enforcement }),
      trace_id: event.trace_id === undefined ? null : bytesOfHex(event.trace_id),
      span_id: event.span_id === undefined ? null : bytesOfHex(event.span_id),
      detail: JSON.stringify({ id: named(event.id), import: 'events', key: key.name }),
    },
  };
}
