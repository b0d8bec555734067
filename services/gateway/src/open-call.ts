import { randomUUIDv7 } from 'node:crypto';
import { type Enforcement, formatUuid, type Kind, type Phase, parseUuid } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import type { SealableCall } from '@cairn/privacy';
import type { RecordDraft } from '@cairn/recorder';
import { type Inbound, type OpenCall, type Outcome, sinceMs } from './call.ts';
import { versionOf } from './check-headers.ts';
import { closeCall } from './close-call.ts';
import type { Core } from './core.ts';
import { attemptOf } from './interrupted-calls.ts';
import type { PolicyAnswer, PolicyQuestion } from './policy.ts';
import { isObject, type Message } from './read-message.ts';
import { recordRefusal } from './record-refusal.ts';

export type Opening =
  | { readonly kind: 'pass' }
  | { readonly kind: 'refused'; readonly answer: object }
  | { readonly kind: 'open'; readonly call: OpenCall };

/** JSON-RPC error codes of the gateway, from the range that MCP leaves to implementations. */
export const DENIED = -32_010;
const AUDIT_UNAVAILABLE = -32_011;
export const TIMED_OUT = -32_012;
export const UPSTREAM_LOST = -32_013;

const CALLS: Readonly<
  Record<string, { kind: Kind; action: PolicyQuestion['action']; name: string; input: string }>
> = {
  'tools/call': { kind: 'tool_call', action: 'call_tool', name: 'name', input: 'arguments' },
  'resources/read': { kind: 'resource_read', action: 'read_resource', name: 'uri', input: 'uri' },
  'prompts/get': { kind: 'prompt_get', action: 'get_prompt', name: 'name', input: 'arguments' },
};

/** Longest name or address that is asked about: the policy sees the whole of what the server sees, or nothing is asked. */
const NAME_CHARACTERS_MAX = 4_096;
const INVALID_PARAMS = -32_602;

/** Requests that say nothing of what an agent does. */
const UNRECORDED = new Set(['ping']);
/** Requests that are answered as long as the client listens; recorded when they begin. */
const ENDLESS = new Set(['subscriptions/listen']);

/**
 * Opens a call: who, which session, what, under which policy, and, for what agents do, the decision on disk before
 * anything reaches the upstream.
 */
export async function openCall(core: Core, inbound: Inbound): Promise<Opening> {
  const { message, caller, service } = inbound;
  if (message.kind !== 'request' || message.id === undefined || UNRECORDED.has(message.method)) {
    return { kind: 'pass' };
  }
  const call = Object.hasOwn(CALLS, message.method) ? CALLS[message.method] : undefined;
  const name = call ? message.params[call.name] : '';
  if (typeof name !== 'string' || name.length > NAME_CHARACTERS_MAX) {
    const { sourceIp } = inbound;
    await recordRefusal(core, { service, reason: 'name', sourceIp, caller, method: message.method });
    core.count.refused('name');
    const why = `${call?.name ?? 'name'} is a text of at most ${NAME_CHARACTERS_MAX} characters`;
    return { kind: 'refused', answer: errorAnswer(message.id, INVALID_PARAMS, why) };
  }
  const session = core.sessionOf(caller, {
    meta: message.params['_meta'],
    baggage: inbound.baggage,
    traceparent: inbound.traceparent,
    mcpSessionId: inbound.mcpSessionId,
  });
  const tool = core.catalogue.factsOf(service, call?.kind === 'tool_call' ? name : message.method);
  const answer =
    call && core.policy().decide(questionOf(core, inbound, call.action, name, tool, session.session_id));
  const attempt = attemptOf(stateHashOf(core, inbound));

  const { timeoutMs, ...toolFacts } = tool;
  const facts = {
    org_id: caller.org_id,
    kind: call?.kind ?? (message.method === 'initialize' ? 'session' : 'discovery'),
    call_id: attempt.callId,
    attempt: attempt.attempt,
    agent_id: caller.agent_id,
    agent_version: caller.agent_version,
    principal_type: caller.principal_type,
    user_id: caller.user_id,
    auth_method: caller.auth_method,
    source_ip: core.guard.token(caller.org_id, 'ip', inbound.sourceIp),
    ...clientOf(core, inbound),
    ...session,
    protocol: 'mcp',
    protocol_version: core.guard.scrub(
      versionOf(message, { version: inbound.version, method: undefined, name: undefined }),
      32,
    ).text,
    method: call ? message.method : core.guard.scrub(message.method, 128).text,
    service,
    tool_name: call?.kind === 'resource_read' ? safeUri(core, name) : core.guard.scrub(name, 256).text,
    ...toolFacts,
    ...(call ? {} : { action: 'read' as const, sensitivity: 'unknown' as const }),
    ...policyFacts(answer),
  } satisfies Partial<RecordDraft>;

  const input = call ? message.params[call.input] : paramsWithoutMeta(message.params);
  const parameters = core.guard.parameters(
    caller.org_id,
    service,
    name,
    input ?? {},
    Buffer.byteLength(JSON.stringify(input ?? {})),
  );
  const denied = answer !== undefined && answer.decision === 'deny' && answer.enforcement === 'enforce';
  const phase: Phase = call && !denied ? 'decision' : 'single';
  const eventId = parseUuid(randomUUIDv7());

  const sealable: SealableCall | undefined = call && {
    orgId: caller.org_id,
    service,
    tool: name,
    user: caller.user_id,
    parameters: input,
  };
  const sealing = sealable && core.sealer?.parameters(sealable, eventId);
  if (call || ENDLESS.has(message.method)) {
    try {
      const sealed = sealing && (await sealing);
      await core.recorder.record({
        ...facts,
        ...parameters,
        ...(sealed && {
          parameters_sealed: sealed.bytes,
          redactions: [...parameters.redactions, ...sealed.redactions].slice(0, 32),
        }),
        event_id: eventId,
        phase,
        ...(denied
          ? {
              result_status: 'denied',
              error_code: 'policy.denied',
              latency_ms: sinceMs(inbound),
              upstream_ms: 0,
            }
          : { result_status: 'pending' }),
      });
    } catch (error) {
      core.count.withheld();
      core.log.error(
        { reason: messageOf(error), code: codeOf(error) },
        'a call was refused: it could not be recorded',
      );
      return { kind: 'refused', answer: auditUnavailable(message.id) };
    }
  }
  if (denied) {
    core.count.ended(service, 'denied', sinceMs(inbound), 0);
    return { kind: 'refused', answer: denial(message.id, formatUuid(eventId), answer.rules_matched) };
  }
  if (ENDLESS.has(message.method)) return { kind: 'pass' };

  const seal = sealable && core.sealer?.response(sealable);
  let end: Outcome['kind'] | undefined;
  let closing: Promise<void> | undefined;
  const open: OpenCall = {
    id: message.id,
    method: message.method,
    timeoutMs,
    eventId: formatUuid(eventId),
    get end() {
      return end;
    },
    async close(outcome) {
      const isFirst = closing === undefined;
      end ??= outcome.kind;
      closing ??= closeCall(
        core,
        inbound,
        { facts, parameters, phase: call ? 'outcome' : 'single', seal, isSealed: sealing !== undefined },
        outcome,
      ).finally(() => core.open.delete(open));
      await closing;
      return isFirst;
    },
  };
  core.open.add(open);
  return { kind: 'open', call: open };
}

function questionOf(
  core: Core,
  { caller, service }: Inbound,
  action: PolicyQuestion['action'],
  name: string,
  tool: { readonly action: string; readonly sensitivity: string; readonly data_classes: readonly string[] },
  sessionId: string,
): PolicyQuestion {
  return {
    org: caller.org_id,
    agent: caller.agent_id,
    agentVersion: caller.agent_version,
    principalType: caller.principal_type,
    action,
    service,
    name,
    toolAction: tool.action,
    sensitivity: tool.sensitivity,
    dataClasses: tool.data_classes,
    environment: core.config.environment,
    sessionId,
    hasUser: caller.user_id !== '',
  };
}

function policyFacts(
  answer: PolicyAnswer | undefined,
): PolicyAnswer | { decision: 'not_evaluated'; enforcement: Enforcement } {
  return answer ?? { decision: 'not_evaluated', enforcement: 'unknown' };
}

/** Of the state that the server gave when it interrupted the call, and that the client sends back with the next attempt. */
function stateHashOf(core: Core, { message, caller }: Inbound): Uint8Array | undefined {
  const state = message.params['requestState'];
  return typeof state === 'string' ? core.guard.hash(caller.org_id, state) : undefined;
}

function clientOf(core: Core, { message, client }: Inbound): { client_name: string; client_version: string } {
  const meta = isObject(message.params['_meta']) ? message.params['_meta'] : {};
  const stated = meta['io.modelcontextprotocol/clientInfo'] ?? message.params['clientInfo'] ?? client;
  const text = (value: unknown): string =>
    typeof value === 'string' ? core.guard.scrub(value, 128).text : '';
  if (!isObject(stated)) return { client_name: '', client_version: '' };
  return { client_name: text(stated['name']), client_version: text(stated['version']) };
}

/** A resource's address without what may be a secret in it: its query, and whatever the detectors know. */
function safeUri(core: Core, uri: string): string {
  return core.guard.scrub(uri.replace(/[?#].*$/s, ''), 256).text;
}

function paramsWithoutMeta(params: Message['params']): Record<string, unknown> {
  const { _meta, ...rest } = params;
  return rest;
}

const codeOf = (error: unknown): string => (isFailure(error) ? error.code : 'unknown');

function denial(id: string | number, eventId: string, rules: readonly string[]): object {
  const because = rules.length > 0 ? `by ${rules.join(', ')}` : 'because no policy allows it';
  return errorAnswer(id, DENIED, `The call was denied ${because}. Audit event ${eventId}.`, {
    code: 'policy.denied',
    event_id: eventId,
    rules,
  });
}

export function auditUnavailable(id: string | number): object {
  return errorAnswer(id, AUDIT_UNAVAILABLE, 'The call cannot be recorded now, so it is not made.', {
    code: 'audit.unavailable',
  });
}

export function errorAnswer(
  id: string | number | null,
  code: number,
  message: string,
  data?: Record<string, unknown>,
): object {
  return { jsonrpc: '2.0', id, error: { code, message, ...(data ? { data } : {}) } };
}
