import {
  ABOUT_CALLS,
  DAY_MS,
  type Day,
  dayOf,
  FEW_ROWS_SETTINGS,
  ROW_SETTINGS,
  SESSION_COLUMNS,
  startOf,
} from '@cairn/query';
import { reconstructSession, type SessionEvent } from '@cairn/session';
import { z } from 'zod';
import { hiddenFrom } from './event-schema.ts';
import { Refusal } from './problem.ts';
import { archivedStates, leastOf, PROOF_STATES, type ProofState } from './proof-states.ts';
import { type Asked, route } from './route.ts';

const EVENTS_MAX = 50_000;
const GAPS_MAX = 1_000;
const HANDOFFS_MAX = 1_000;
/** Traces whose other sessions are looked for. */
const TRACES_MAX = 100;
/** Its statements stand side by side, and each reads too little for two threads. */
const SETTINGS = { ...ROW_SETTINGS, ...FEW_ROWS_SETTINGS, max_threads: 1 } as const;

const stepSchema = z
  .object({
    call_id: z.string().nullable(),
    kind: z.string(),
    method: z.string(),
    service: z.string(),
    tool_name: z.string(),
    action: z.string(),
    sensitivity: z.string(),
    data_classes: z.array(z.string()),
    timestamp: z.int().describe('When it was asked, microseconds since 1970.'),
    attempt: z.int(),
    decision: z.string(),
    enforcement: z.string(),
    rules_matched: z.array(z.string()),
    policy_errors: z.array(z.string()),
    result_status: z.string().describe('`unknown` when no outcome was recorded.'),
    error_code: z.string(),
    error_message: z.string(),
    latency_ms: z.int().nullable(),
    upstream_ms: z.int().nullable(),
    parameters_shape: z.string(),
    parameters_size: z.int().nullable(),
    parameters_kept: z.array(z.object({ name: z.string(), value: z.string() })),
    parameters_tokens: z.array(z.object({ name: z.string(), token: z.string() })),
    response_size: z.int().nullable(),
    redactions: z.array(z.object({ rule: z.string(), count: z.int() })),
    event_ids: z.array(z.string()).describe('The events that this step is made of, in order.'),
    signed: z.boolean().describe('A signature of the gateway covers all of its events.'),
    proof: z
      .enum(PROOF_STATES)
      .describe(
        'The least of its events: `recorded` in ClickHouse, `signed` by the gateway, `archived` under a signed root, `anchored` in the anchor log.',
      ),
  })
  .meta({ id: 'SessionStep' });

const sessionSchema = z
  .object({
    session_id: z.string(),
    session_source: z.string(),
    org_id: z.string(),
    agent_id: z.string(),
    agent_version: z.string(),
    user_id: z.string(),
    auth_method: z.string(),
    client_name: z.string(),
    client_version: z.string(),
    protocol_versions: z.array(z.string()),
    gateways: z.array(z.string()),
    first: z.int(),
    last: z.int(),
    steps: z
      .array(stepSchema)
      .describe('In the order in which they were asked, each decision beside its outcome.'),
    proof_as_of: z
      .int()
      .nullable()
      .describe(
        'When the archive was read, milliseconds since 1970; null where none is configured or it was not read yet: then no step is told to be archived.',
      ),
    findings: z.array(
      z.object({ finding: z.string(), event_id: z.string(), call_id: z.string().nullable() }),
    ),
    gaps: z
      .array(
        z.object({
          gateway_id: z.string(),
          epoch: z.int(),
          finding: z.string(),
          missing_from: z.int().nullable(),
          missing_to: z.int().nullable(),
        }),
      )
      .describe('Holes and forks of the streams that the session is in, where it may have had events.'),
    more_gaps: z.boolean().describe(`There are more than these ${GAPS_MAX}.`),
    handoffs: z
      .array(
        z.object({
          session_id: z.string(),
          agent_id: z.string(),
          trace_id: z.string(),
          first: z.int(),
          last: z.int(),
          calls: z.int(),
        }),
      )
      .describe('Other sessions in the same traces: agents that worked for this one, or that it worked for.'),
    more_handoffs: z
      .boolean()
      .describe(
        `There are more than these ${HANDOFFS_MAX}, or the session has more than ${TRACES_MAX} traces and not all were looked for: a search for trace:… finds them.`,
      ),
  })
  .meta({ id: 'Session' });

export const readSessionRoute = route({
  id: 'readSession',
  method: 'get',
  path: '/v1/sessions/{session_id}',
  summary: 'What an agent did in one session: the exact sequence, decisions beside outcomes.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'sessions/read'],
  parameters: z.strictObject({ session_id: z.string().min(1).max(512) }),
  response: sessionSchema,
  async answer({ caller, path, clickhouse, archive }) {
    const found = await findSession(clickhouse, caller.orgId, path.session_id);
    if (found.events === 0) throw notHeld();
    if (found.events > EVENTS_MAX)
      throw new Refusal(
        'answer.too-large',
        `It has more than ${EVENTS_MAX} events: read them with a search for session:"…".`,
      );
    const [events, signedTo, gaps, handoffs] = await Promise.all([
      eventsOf(clickhouse, found),
      signedToOf(clickhouse, found),
      gapsOf(clickhouse, found),
      handoffsOf(clickhouse, found),
    ]);
    // Its day may have been dropped meanwhile.
    if (events.length === 0) throw notHeld();
    const session = reconstructSession(events);

    const isSigned = new Map(
      events.map(({ event_id: id, gateway_id: gateway, epoch, seq }) => [
        id,
        seq <= (signedTo.get(`${gateway}\0${epoch}`) ?? -1),
      ]),
    );
    const proof = archivedStates(archive, events);
    const stateOf = new Map<string, ProofState>(
      events.map((event) => [
        event.event_id,
        proof.stateOf(event) ?? (isSigned.get(event.event_id) === true ? 'signed' : 'recorded'),
      ]),
    );
    const hidden = hiddenFrom(caller.role).includes('parameters_kept');
    const steps = session.steps.map((step) => ({
      ...step,
      parameters_kept: hidden ? [] : step.parameters_kept,
      signed: step.event_ids.every((id) => isSigned.get(id) === true),
      proof: leastOf(step.event_ids.map((id) => stateOf.get(id) ?? 'recorded')),
    }));
    // The reconstruction's lists are read-only and the schema's are not.
    const body: unknown = {
      ...session,
      steps,
      proof_as_of: proof.asOf,
      gaps: gaps.slice(0, GAPS_MAX),
      more_gaps: gaps.length > GAPS_MAX,
      handoffs: handoffs.slice(0, HANDOFFS_MAX),
      more_handoffs: handoffs.length > HANDOFFS_MAX || found.traces.length > TRACES_MAX,
    };
    return {
      body: body as z.input<typeof sessionSchema>,
      facts: { session: session.session_id, rows: events.length },
    };
  },
});

type Database = Pick<Asked<unknown, unknown, unknown>['clickhouse'], 'query'>;

const notHeld = (): Refusal =>
  new Refusal('not-found', 'ClickHouse holds no event of such a session of your organisation.');

/** Where a session's events are, so that what is asked of it next need not look for them. */
interface FoundSession {
  readonly org: string;
  readonly session: string;
  readonly events: number;
  /** Microseconds, inclusive. */
  readonly first: number;
  readonly last: number;
  /** Days on which the broker appended them. */
  readonly days: readonly Day[];
  readonly streams: readonly {
    readonly gateway: string;
    readonly epoch: number;
    readonly seqFirst: number;
    readonly seqLast: number;
  }[];
  /** At most one more than are looked for. */
  readonly traces: readonly string[];
}

/** A few columns of all days. A wide statement pays for each day that it has to look at, so it comes when they are known. */
async function findSession(clickhouse: Database, org: string, session: string): Promise<FoundSession> {
  const rows = await clickhouse.query<{
    gateway: string;
    epoch: number;
    seq_first: number;
    seq_last: number;
    events: number;
    first: number;
    last: number;
    days: readonly Day[];
    traces: readonly string[];
  }>(
    `SELECT gateway_id AS gateway, epoch, min(seq) AS seq_first, max(seq) AS seq_last, count() AS events,
       toUnixTimestamp64Micro(min(timestamp)) AS first, toUnixTimestamp64Micro(max(timestamp)) AS last,
       groupUniqArray(append_day) AS days, groupUniqArray(${TRACES_MAX + 1})(lower(hex(trace_id))) AS traces
     FROM cairn.events WHERE org_id = {org:String} AND session_id = {session:String} AND ${ABOUT_CALLS}
     GROUP BY gateway_id, epoch`,
    { org, session },
    SETTINGS,
  );
  return {
    org,
    session,
    events: rows.reduce((sum, { events }) => sum + events, 0),
    first: rows.reduce((least, { first }) => Math.min(least, first), Number.MAX_SAFE_INTEGER),
    last: rows.reduce((most, { last }) => Math.max(most, last), 0),
    days: [...new Set(rows.flatMap(({ days }) => days))],
    streams: rows.map(({ gateway, epoch, seq_first: seqFirst, seq_last: seqLast }) => ({
      gateway,
      epoch,
      seqFirst,
      seqLast,
    })),
    traces: [...new Set(rows.flatMap(({ traces }) => traces))].slice(0, TRACES_MAX + 1),
  };
}

function eventsOf(clickhouse: Database, { org, session, first, last, days }: FoundSession) {
  return clickhouse.query<SessionEvent>(
    `SELECT ${SESSION_COLUMNS} FROM cairn.events
     WHERE org_id = {org:String} AND session_id = {session:String} AND ${ABOUT_CALLS} AND append_day IN {days:Array(Date)}
       AND timestamp BETWEEN fromUnixTimestamp64Micro({first:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last:Int64}, 'UTC')
     ORDER BY timestamp, gateway_id, epoch, seq LIMIT {limit:UInt32} SETTINGS prefer_column_name_to_alias = 1`,
    { org, session, first, last, days, limit: EVENTS_MAX },
    SETTINGS,
  );
}

const IN_STREAMS = `org_id = {org:String} AND (gateway_id, epoch) IN arrayZip({gateways:Array(String)}, {epochs:Array(Int64)})`;

const streamsOf = ({ org, streams }: FoundSession) => ({
  org,
  gateways: streams.map(({ gateway }) => gateway),
  epochs: streams.map(({ epoch }) => epoch),
});

/** A hole between the first and the last number that the session has in a stream, or beside them, may hold events of it. */
const TOUCHES = `arrayExists((gateway, one, first, last) -> gateway = gateway_id AND one = epoch
       AND (isNull(missing_from) OR isNull(missing_to) OR (missing_from <= last + 1 AND missing_to >= first - 1)),
     {gateways:Array(String)}, {epochs:Array(Int64)}, {firsts:Array(Int64)}, {lasts:Array(Int64)})`;

/** One more than are told, where there are so many. */
function gapsOf(clickhouse: Database, found: FoundSession) {
  return clickhouse.query<Gap>(
    `SELECT DISTINCT gateway_id, epoch, finding, missing_from, missing_to FROM cairn.stream_findings FINAL
     WHERE ${IN_STREAMS} AND ${TOUCHES} ORDER BY gateway_id, epoch, missing_from, missing_to, finding LIMIT {limit:UInt32}`,
    {
      ...streamsOf(found),
      firsts: found.streams.map(({ seqFirst }) => seqFirst),
      lasts: found.streams.map(({ seqLast }) => seqLast),
      limit: GAPS_MAX + 1,
    },
    SETTINGS,
  );
}

/** Seals come at least once a second while a gateway records; one that comes within this time is found with few rows. */
const SOON_MICROS = 3_600_000_000;

/**
 * The number up to which each stream is signed, as far as the session's events go. What follows them soon, and came on their days or
 * the day behind, is looked at first: everything that came since is only read when that does not cover them.
 */
async function signedToOf(clickhouse: Database, found: FoundSession): Promise<Map<string, number>> {
  const { first, last, days } = found;
  const soon = { until: last + SOON_MICROS, days: [...days, ...days.map(dayAfter)] };
  for (const within of [soon, undefined]) {
    const signed = await clickhouse.query<{ gateway_id: string; epoch: number; seq: number }>(
      `SELECT gateway_id, epoch, max(seq) AS seq FROM cairn.events
       WHERE ${IN_STREAMS} AND signature != '' AND timestamp >= fromUnixTimestamp64Micro({first:Int64}, 'UTC')
         ${within === undefined ? '' : "AND timestamp < fromUnixTimestamp64Micro({until:Int64}, 'UTC') AND append_day IN {days:Array(Date)}"}
       GROUP BY gateway_id, epoch`,
      { ...streamsOf(found), first, ...within },
      SETTINGS,
    );
    const to = new Map(signed.map(({ gateway_id: gateway, epoch, seq }) => [`${gateway}\0${epoch}`, seq]));
    const isCovered = found.streams.every(
      ({ gateway, epoch, seqLast }) => seqLast <= (to.get(`${gateway}\0${epoch}`) ?? -1),
    );
    if (isCovered || within === undefined) return to;
  }
  throw new TypeError('the last of the two always answers');
}

const dayAfter = (day: Day): Day => dayOf(startOf(day) + DAY_MS);

interface Gap {
  readonly gateway_id: string;
  readonly epoch: number;
  readonly finding: string;
  readonly missing_from: number | null;
  readonly missing_to: number | null;
}

/** One more than are told, where there are so many. */
async function handoffsOf(clickhouse: Database, { org, session, traces: all, first, last }: FoundSession) {
  if (all.length === 0) return [];
  const traces = all.slice(0, TRACES_MAX);
  // One by one: of values that ClickHouse knows before it plans, the index of traces makes something, and of an array nothing.
  const named = Object.fromEntries(traces.map((trace, at) => [`trace_${at}`, trace]));
  return clickhouse.query<{
    session_id: string;
    agent_id: string;
    trace_id: string;
    first: number;
    last: number;
    calls: number;
  }>(
    `SELECT session_id, agent_id, lower(hex(events.trace_id)) AS trace_id, toUnixTimestamp64Micro(min(timestamp)) AS first,
       toUnixTimestamp64Micro(max(timestamp)) AS last, toUInt32(uniqExact(call_id)) AS calls
     FROM cairn.events AS events
     WHERE org_id = {org:String} AND session_id NOT IN ('', {session:String})
       AND timestamp BETWEEN fromUnixTimestamp64Micro({first:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last:Int64}, 'UTC')
       AND events.trace_id IN (${traces.map((_, at) => `toFixedString(unhex({trace_${at}:String}), 16)`).join(', ')})
     GROUP BY session_id, agent_id, events.trace_id ORDER BY first, session_id, agent_id, trace_id LIMIT {limit:UInt32}`,
    { org, session, first: first - DAY_MICROS, last: last + DAY_MICROS, limit: HANDOFFS_MAX + 1, ...named },
    SETTINGS,
  );
}

/** A hand-off is looked for so long before and after: traces do not last. */
const DAY_MICROS = 86_400_000_000;
