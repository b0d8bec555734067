import { type AuditEvent, uuidV7 } from '@cairn/event';
import { type Agent, agentsOf, type Tool, toolsOf } from './cast.ts';
import { Random } from './random.ts';

/** An event before a recorder gives it its place in a stream. */
export type TrafficEvent = Omit<AuditEvent, 'epoch' | 'seq' | 'prev_hash' | 'key_id' | 'signature'>;

export interface TrafficOptions {
  readonly seed: number;
  readonly org: string;
  readonly gateway: string;
  readonly agents?: number;
  /** Sessions that go on at the same time. */
  readonly sessions?: number;
  /** Microseconds since 1970 of the first event. */
  readonly startMicros?: number;
  /** Events for each second of the events' own time. */
  readonly eventsPerSecond?: number;
  /** Another pace from that of its events on. */
  readonly later?: LaterPace;
  /** Every agent calls each of its tools once before anything else happens. */
  readonly rollCall?: boolean;
  /** Denials, failures, time-outs and secrets are as rare as where agents keep to what they may; default: often enough to see. */
  readonly calm?: boolean;
}

export interface LaterPace {
  /** How many events go before. */
  readonly after: number;
  /** Events for each second of the events' own time. */
  readonly eventsPerSecond: number;
}

/** How likely what is worth telling is, for each call. */
interface Troubles {
  readonly denied: number;
  readonly deletionDenied: number;
  readonly found: number;
  readonly failed: number;
  readonly timedOut: number;
}

const USUAL: Troubles = { denied: 0.01, deletionDenied: 0.5, found: 0.03, failed: 0.04, timedOut: 0.004 };
const CALM: Troubles = {
  denied: 0.001,
  deletionDenied: 0.001,
  found: 0.002,
  failed: 0.002,
  timedOut: 0.000_2,
};

interface Session {
  readonly agent: Agent;
  readonly user: string;
  readonly id: Uint8Array;
  readonly text: string;
  step: number;
  left: number;
}

interface Call {
  readonly atMicros: number;
  readonly event: TrafficEvent;
}

const POLICY_HASH_SEED = 77;
const RULES = ['agents-may-work', 'no-deletion', 'no-restricted-data', 'office-hours', 'two-person-payments'];

/**
 * What one gateway of one organisation records, without end: sessions of agents that call their few tools, a decision
 * and an outcome for each call, latencies and sizes with long tails, now and then a denial, an error, a timeout or a
 * secret. Events come in the order of their timestamps, as a gateway writes them. The same options give the same events.
 */
export function* trafficOf(options: TrafficOptions): Generator<TrafficEvent, never> {
  const random = new Random(options.seed);
  const tools = toolsOf(1);
  const agents = agentsOf(options.org, options.agents ?? 40, tools, options.seed);
  const policyHash = new Random(POLICY_HASH_SEED).bytes(32);
  const sessions: Session[] = [];
  const pending: Call[] = [];
  const { eventsPerSecond = 1_000, later } = options;
  let made = 0;
  let now = options.startMicros ?? 1_795_000_000_000_000;

  const called = options.rollCall ? rollCallOf(agents) : [];
  const troubles = options.calm ? CALM : USUAL;

  for (;;) {
    const pace = later !== undefined && made >= later.after ? later.eventsPerSecond : eventsPerSecond;
    // A call is two events.
    now += Math.round(random.lognormal(2e6 / pace, 1.5));
    for (; pending[0] && pending[0].atMicros <= now; made += 1) yield pending.shift()!.event;
    const first = called.pop();
    const at = random.below(options.sessions ?? 60);
    const known = sessions[at];
    const session =
      first || !known || known.left <= 0
        ? newSession(first?.agent ?? agents[random.skewed(agents.length)]!, random)
        : known;
    sessions[at] = session;
    session.left -= 1;
    session.step += 1;
    const tool = first?.tool ?? session.agent.tools[random.skewed(session.agent.tools.length)]!;
    const decision = decisionOf(options, session, tool, now, policyHash, troubles, random);
    yield decision;
    made += 1;
    if (decision.phase === 'single') continue;
    const outcome = outcomeOf(decision, tool, now, troubles, random);
    const behind = pending.findIndex(({ atMicros }) => atMicros > outcome.timestamp);
    pending.splice(behind < 0 ? pending.length : behind, 0, { atMicros: outcome.timestamp, event: outcome });
  }
}

function rollCallOf(agents: readonly Agent[]): { readonly agent: Agent; readonly tool: Tool }[] {
  return agents.flatMap((agent) => [...new Set(agent.tools)].map((tool) => ({ agent, tool })));
}

function newSession(agent: Agent, random: Random): Session {
  const id = random.bytes(16);
  return {
    agent,
    user: random.pick(agent.users),
    id,
    text: Buffer.from(id).toString('hex'),
    step: 0,
    left: 1 + Math.floor(random.lognormal(12, 2.2)),
  };
}

function decisionOf(
  { org, gateway }: TrafficOptions,
  session: Session,
  tool: Tool,
  timestamp: number,
  policyHash: Uint8Array,
  troubles: Troubles,
  random: Random,
): TrafficEvent {
  const { agent } = session;
  const denied = random.chance(tool.action === 'delete' ? troubles.deletionDenied : troubles.denied);
  const kept = random.chance(0.15);
  const found = random.chance(troubles.found);
  return {
    event_id: uuidV7(random.bytes(16), timestamp / 1_000),
    org_id: org,
    kind: 'tool_call',
    phase: denied ? 'single' : 'decision',
    call_id: uuidV7(random.bytes(16), timestamp / 1_000),
    timestamp,
    gateway_id: gateway,
    gateway_version: '0.1.0',
    environment: 'prod',
    capture: 'gateway',
    agent_id: agent.id,
    agent_version: agent.version,
    principal_type: 'human',
    user_id: session.user,
    auth_method: 'bearer',
    session_id: session.text,
    session_source: 'trace',
    step: session.step,
    delegation: [],
    client_name: agent.client,
    client_version: '2.4.0',
    source_ip: agent.address,
    protocol: 'mcp',
    protocol_version: '2026-07-28',
    method: 'tools/call',
    service: tool.service,
    tool_name: tool.name,
    tool_hash: tool.hash,
    action: tool.action,
    sensitivity: tool.sensitivity,
    data_classes: tool.dataClasses,
    parameters_hash: random.bytes(32),
    parameters_shape: tool.shapes[random.skewed(tool.shapes.length)]!,
    parameters_tokens: [],
    parameters_kept: kept ? [{ name: 'path', value: `reports/2026/${random.skewed(500)}.md` }] : [],
    parameters_size: Math.round(random.lognormal(140, 2.5)),
    parameters_sealed: null,
    result_status: denied ? 'denied' : 'pending',
    error_code: denied ? 'policy.denied' : '',
    error_message: '',
    response_hash: null,
    response_size: null,
    response_sealed: null,
    latency_ms: denied ? 1 : null,
    upstream_ms: denied ? 0 : null,
    redactions: found
      ? [{ rule: random.pick(['pii.email', 'pii.phone', 'secret.github-token']), count: 1 }]
      : [],
    task: '',
    goal_hash: null,
    trace_id: session.id,
    span_id: random.bytes(8),
    parent_event_id: null,
    permission_profile: '',
    permission_profile_version: '',
    approval_id: '',
    attempt: 1,
    items_before: null,
    items_after: null,
    decision: denied ? 'deny' : 'allow',
    policy_engine: 'cedar/4.13.0',
    policy_set_hash: policyHash,
    rules_evaluated: RULES,
    rules_matched: denied ? ['no-deletion'] : ['agents-may-work'],
    policy_errors: [],
    enforcement: 'enforce',
    detail: '',
  };
}

function outcomeOf(
  decision: TrafficEvent,
  tool: Tool,
  calledAt: number,
  troubles: Troubles,
  random: Random,
): TrafficEvent {
  const failed = random.chance(troubles.failed);
  const timedOut = random.chance(troubles.timedOut);
  const upstreamMs = timedOut ? 30_000 : Math.round(random.lognormal(tool.latencyMs, 1.8));
  const latencyMs = upstreamMs + 1 + random.skewed(4);
  const timestamp = calledAt + latencyMs * 1_000 + random.below(1_000);
  return {
    ...decision,
    event_id: uuidV7(random.bytes(16), timestamp / 1_000),
    phase: 'outcome',
    timestamp,
    result_status: timedOut ? 'timeout' : failed ? 'failure' : 'success',
    error_code: timedOut ? 'upstream.timeout' : failed ? 'tool.error' : '',
    error_message: failed
      ? random.pick(['not found', 'the repository is archived', 'rate limit exceeded'])
      : '',
    response_hash: timedOut ? null : random.bytes(32),
    response_size: timedOut ? null : Math.round(random.lognormal(900, 3)),
    latency_ms: latencyMs,
    upstream_ms: upstreamMs,
  };
}
