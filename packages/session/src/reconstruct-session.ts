import type { SessionEvent } from './session-event.ts';

/** One thing that the agent did: what was decided, beside what came of it. */
export interface SessionStep {
  readonly call_id: string | null;
  readonly kind: string;
  readonly method: string;
  readonly service: string;
  readonly tool_name: string;
  readonly action: string;
  readonly sensitivity: string;
  readonly data_classes: readonly string[];
  /** When it was asked, microseconds. */
  readonly timestamp: number;
  readonly attempt: number;
  readonly decision: string;
  readonly enforcement: string;
  readonly rules_matched: readonly string[];
  readonly policy_errors: readonly string[];
  /** `unknown` when no outcome was recorded. */
  readonly result_status: string;
  readonly error_code: string;
  readonly error_message: string;
  readonly latency_ms: number | null;
  readonly upstream_ms: number | null;
  readonly parameters_shape: string;
  readonly parameters_size: number | null;
  readonly parameters_kept: SessionEvent['parameters_kept'];
  readonly parameters_tokens: SessionEvent['parameters_tokens'];
  readonly response_size: number | null;
  readonly redactions: SessionEvent['redactions'];
  /** The events that this step is made of, in order. */
  readonly event_ids: readonly string[];
}

/** What is not as it must be. */
export interface SessionFinding {
  readonly finding: 'decision-without-outcome' | 'outcome-without-decision' | 'event-twice';
  readonly event_id: string;
  readonly call_id: string | null;
}

export interface Session {
  readonly session_id: string;
  readonly session_source: string;
  readonly org_id: string;
  readonly agent_id: string;
  readonly agent_version: string;
  readonly user_id: string;
  readonly auth_method: string;
  readonly client_name: string;
  readonly client_version: string;
  readonly protocol_versions: readonly string[];
  readonly gateways: readonly string[];
  /** Microseconds. */
  readonly first: number;
  readonly last: number;
  readonly steps: readonly SessionStep[];
  readonly findings: readonly SessionFinding[];
}

/**
 * The exact sequence of a session from its events, whatever order they come in. Events of one call are joined by
 * `call_id`, attempt by attempt; steps follow the time at which they were asked, and within a gateway the order in which
 * it recorded them.
 *
 * @throws RangeError when there is no event.
 */
export function reconstructSession(events: readonly SessionEvent[]): Session {
  const { unique, twice } = withoutRepeats(events);
  const sorted = unique.toSorted(byTimeThenPlace);
  const first = sorted[0];
  const last = sorted.at(-1);
  if (!first || !last) throw new RangeError('a session has at least one event');
  const calls = Map.groupBy(sorted, callOf);
  const steps = [...calls.values()].map(stepOf).toSorted((left, right) => left.timestamp - right.timestamp);
  const findings = [...calls.values()].flatMap(findingsOf);
  const known = (
    name: 'user_id' | 'client_name' | 'client_version' | 'auth_method' | 'agent_version',
  ): string => sorted.find((event) => event[name] !== '')?.[name] ?? '';
  return {
    session_id: first.session_id,
    session_source: first.session_source,
    org_id: first.org_id,
    agent_id: first.agent_id,
    agent_version: known('agent_version'),
    user_id: known('user_id'),
    auth_method: known('auth_method'),
    client_name: known('client_name'),
    client_version: known('client_version'),
    protocol_versions: distinct(sorted.map((event) => event.protocol_version)),
    gateways: distinct(sorted.map((event) => event.gateway_id)),
    first: first.timestamp,
    last: last.timestamp,
    steps,
    findings: [...findings, ...twice],
  };
}

function withoutRepeats(events: readonly SessionEvent[]): {
  unique: SessionEvent[];
  twice: SessionFinding[];
} {
  const seen = new Set<string>();
  const unique: SessionEvent[] = [];
  const twice: SessionFinding[] = [];
  for (const event of events) {
    if (!seen.has(event.event_id)) unique.push(event);
    else twice.push({ finding: 'event-twice', event_id: event.event_id, call_id: event.call_id });
    seen.add(event.event_id);
  }
  return { unique, twice };
}

function byTimeThenPlace(left: SessionEvent, right: SessionEvent): number {
  const sameStream = left.gateway_id === right.gateway_id && left.epoch === right.epoch;
  if (sameStream && left.org_id === right.org_id) return left.seq - right.seq;
  return left.timestamp - right.timestamp || (left.event_id < right.event_id ? -1 : 1);
}

/** An event without a call stands alone. */
function callOf(event: SessionEvent): string {
  return event.call_id === null ? event.event_id : `${event.call_id} ${event.attempt ?? 1}`;
}

function stepOf(events: readonly SessionEvent[]): SessionStep {
  const asked = events.find((event) => event.phase !== 'outcome') ?? (events[0] as SessionEvent);
  const ended = events.findLast((event) => event.phase !== 'decision');
  return {
    call_id: asked.call_id,
    kind: asked.kind,
    method: asked.method,
    service: asked.service,
    tool_name: asked.tool_name,
    action: asked.action,
    sensitivity: asked.sensitivity,
    data_classes: asked.data_classes,
    timestamp: asked.timestamp,
    attempt: asked.attempt ?? 1,
    decision: asked.decision,
    enforcement: asked.enforcement,
    rules_matched: asked.rules_matched,
    policy_errors: asked.policy_errors,
    result_status: ended?.result_status ?? 'unknown',
    error_code: ended?.error_code ?? '',
    error_message: ended?.error_message ?? '',
    latency_ms: ended?.latency_ms ?? null,
    upstream_ms: ended?.upstream_ms ?? null,
    parameters_shape: asked.parameters_shape,
    parameters_size: asked.parameters_size,
    parameters_kept: asked.parameters_kept,
    parameters_tokens: asked.parameters_tokens,
    response_size: ended?.response_size ?? null,
    redactions: (ended ?? asked).redactions,
    event_ids: events.map((event) => event.event_id),
  };
}

function findingsOf(events: readonly SessionEvent[]): SessionFinding[] {
  const decision = events.find((event) => event.phase === 'decision');
  const outcome = events.find((event) => event.phase === 'outcome');
  if (decision && !outcome) {
    return [{ finding: 'decision-without-outcome', event_id: decision.event_id, call_id: decision.call_id }];
  }
  if (outcome && !decision) {
    return [{ finding: 'outcome-without-decision', event_id: outcome.event_id, call_id: outcome.call_id }];
  }
  return [];
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values.filter((value) => value !== ''))];
}
