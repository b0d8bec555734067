import { bytesOfHex } from '@cairn/event';
import type { PrivacyGuard } from '@cairn/privacy';
import type { RecordDraft } from '@cairn/recorder';
import type { ImportKey } from './config.ts';
import { digestOf, eventIdAt } from './import-ids.ts';
import { isWithin } from './nesting.ts';
import type { Telemetry, Value } from './read-otlp.ts';

/** What becomes of one span or log record. */
export type Drafted =
  | { readonly kind: 'event'; readonly draft: RecordDraft; readonly sameAs: string }
  /** It says nothing of an agent's deeds, such as a database span or a call of a model. */
  | { readonly kind: 'other' }
  | { readonly kind: 'rejected'; readonly reason: string };

type EventKind = NonNullable<RecordDraft['kind']>;

/** Methods of MCP and what they are in the trail. */
const KINDS: Readonly<Record<string, EventKind>> = {
  'tools/call': 'tool_call',
  'resources/read': 'resource_read',
  'prompts/get': 'prompt_get',
  'tools/list': 'discovery',
  'resources/list': 'discovery',
  'resources/templates/list': 'discovery',
  'prompts/list': 'discovery',
  'server/discover': 'discovery',
  initialize: 'session',
};
/** Operations of the GenAI conventions that are deeds of an agent; calls of a model are not. */
const OPERATIONS: Readonly<Record<string, EventKind>> = {
  execute_tool: 'tool_call',
  invoke_agent: 'session',
  create_agent: 'session',
};

/** Names end here, in bytes. */
const NAME_BYTES_MAX = 256;
/** 2000-01-01 and 2200-01-01, microseconds: what the trail takes for a time. */
const TIME_MIN = 946_684_800_000_000;
const TIME_MAX = 7_258_118_400_000_000;

/**
 * A span or log record by OpenTelemetry's conventions for GenAI and MCP (both of them in development; the names are those of
 * semantic-conventions 1.45.0) as an audit event. `capture` says that it was imported: who observed it is not ours, and nothing
 * in it was verified but the key that brought it. Arguments and results go through the privacy guard and no further.
 */
export function draftFromTelemetry(telemetry: Telemetry, key: ImportKey, guard: PrivacyGuard): Drafted {
  const { attributes, resource, traceId, spanId, begin, end } = telemetry;
  const text = (...names: readonly string[]): string => firstText(attributes, names);
  const method = text('mcp.method.name');
  const operation = text('gen_ai.operation.name');
  const kind = method !== '' ? (KINDS[method] ?? 'session') : OPERATIONS[operation];
  if (kind === undefined) return { kind: 'other' };
  const time = end ?? begin;
  if (time === undefined || time < TIME_MIN || time > TIME_MAX)
    return { kind: 'rejected', reason: 'it has no time between 2000 and 2200' };

  const { org } = key;
  const named = (value: string): string => guard.scrub(value, NAME_BYTES_MAX).text;
  const service = named(serviceOf(telemetry));
  const tool = named(text('gen_ai.tool.name', 'gen_ai.prompt.name', 'mcp.resource.uri'));
  const said = [
    traceId,
    spanId,
    telemetry.signal,
    method || operation,
    tool,
    text('gen_ai.tool.call.id'),
    String(time),
  ];
  const sameAs = digestOf(org, ...said);
  const error = text('error.type', 'rpc.response.status_code');
  const isFailed = telemetry.statusCode === 2 || error !== '';
  const message = guard.scrub(telemetry.statusMessage, 512);
  const session = sessionOf(telemetry, key, guard);
  const parameters = contentOf(attributes['gen_ai.tool.call.arguments']);
  const result = contentOf(attributes['gen_ai.tool.call.result']);
  const guarded = parameters && guard.parameters(org, service, tool, parameters.value, parameters.bytes);
  const answered = result && guard.response(org, service, tool, result.value, result.bytes);
  return {
    kind: 'event',
    sameAs,
    draft: {
      event_id: eventIdAt(time, sameAs),
      org_id: org,
      kind,
      phase: 'single',
      capture: 'importer',
      call_id: traceId === '' ? null : eventIdAt(begin ?? time, digestOf(org, traceId, spanId)),
      timestamp: time,
      agent_id: key.agent ?? named(text('gen_ai.agent.id', 'gen_ai.agent.name')),
      agent_version: named(text('gen_ai.agent.version')),
      user_id: guard.token(org, 'user', text('user.id', 'enduser.id')),
      auth_method: 'import_key',
      ...session,
      source_ip: guard.token(org, 'ip', text('client.address', 'network.peer.address')),
      protocol: method === '' ? 'native' : 'mcp',
      protocol_version: named(text('mcp.protocol.version')),
      method: named(method || operation),
      service,
      tool_name: tool,
      ...guarded,
      ...answered,
      redactions: [
        ...(guarded?.redactions ?? []),
        ...(answered?.redactions ?? []),
        ...message.redactions,
      ].slice(0, 32),
      result_status: isFailed ? 'failure' : 'success',
      error_code: named(error),
      error_message: message.text,
      latency_ms: latencyOf(telemetry),
      trace_id: traceId === '' ? null : bytesOfHex(traceId),
      span_id: spanId === '' ? null : bytesOfHex(spanId),
      decision: 'not_evaluated',
      detail: JSON.stringify({
        import: telemetry.signal,
        key: key.name,
        scope: named(telemetry.scope),
        sender: named(firstText(resource, ['service.name'])),
      }),
    },
  };
}

/** A server speaks of itself; a client speaks of whom it called. */
function serviceOf({ spanKind, attributes, resource }: Telemetry): string {
  const own = firstText(resource, ['service.name']);
  return spanKind === 2 ? own : firstText(attributes, ['mcp.server.name', 'server.address']) || own;
}

function sessionOf(
  { attributes, traceId }: Telemetry,
  { org }: ImportKey,
  guard: PrivacyGuard,
): Pick<RecordDraft, 'session_id' | 'session_source'> {
  const conversation = firstText(attributes, ['gen_ai.conversation.id']);
  if (conversation !== '')
    return { session_id: guard.scrub(conversation, NAME_BYTES_MAX).text, session_source: 'asserted' };
  if (traceId !== '') return { session_id: traceId, session_source: 'trace' };
  const transport = firstText(attributes, ['mcp.session.id']);
  if (transport !== '')
    return { session_id: guard.token(org, 'session', transport), session_source: 'transport' };
  return { session_id: '', session_source: 'none' };
}

function firstText(fields: { readonly [name: string]: Value }, names: readonly string[]): string {
  for (const name of names) {
    const value = fields[name];
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'number') return String(value);
  }
  return '';
}

/** Deepest JSON in a text that is taken apart. An agent chooses its arguments: deeper ones are a text and no reason to miss its call. */
const LEVELS_MAX = 64;

/** Arguments and results come as structures or as JSON in a text. */
function contentOf(
  value: Value | undefined,
): { readonly value: unknown; readonly bytes: number } | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') return { value, bytes: Buffer.byteLength(JSON.stringify(value)) };
  const bytes = Buffer.byteLength(value);
  try {
    const content: unknown = JSON.parse(value);
    return { value: isWithin(content, LEVELS_MAX) ? content : value, bytes };
  } catch {
    return { value, bytes };
  }
}

function latencyOf({ signal, begin, end }: Telemetry): number | null {
  if (signal !== 'traces' || begin === undefined || end === undefined || end < begin) return null;
  return Math.min(2_147_483_647, Math.round((end - begin) / 1_000));
}
