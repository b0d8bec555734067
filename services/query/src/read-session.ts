import {
  ABOUT_CALLS,
  CALL_IDENTITY,
  type Day,
  dayOf,
  FEW_ROWS_SETTINGS,
  type IdParts,
  idsOf,
  KNOWN_SESSION_COLUMNS,
  ROW_SETTINGS,
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
/** Plain columns of one table: ClickHouse's older analysis of a statement takes two or three milliseconds less for them. */
const PLAIN_SETTINGS = { ...SETTINGS, enable_analyzer: 0 } as const;
/**
 * Forty columns of a few rows, whose days are known: of indexes that of sessions alone may rule something out, and a column is read
 * by pieces that are not much larger than what is wanted of it.
 */
const WIDE_SETTINGS = {
  ...PLAIN_SETTINGS,
  ignore_data_skipping_indices: 'by_event_id,by_call_id,by_trace_id,by_offset,by_timestamp',
  max_read_buffer_size: 16_384,
} as const;

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
    const [events, { signed, gaps, handoffs }] = await Promise.all([
      eventsOf(clickhouse, found),
      besideOf(clickhouse, found),
    ]);
    // Its day may have been dropped meanwhile.
    if (events.length === 0) throw notHeld();
    const session = reconstructSession(events);
    const signedTo = covers(signed, found) ? signed : await signedToOf(clickhouse, found);

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
    PLAIN_SETTINGS,
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

async function eventsOf(
  clickhouse: Database,
  { org, session, first, last, days }: FoundSession,
): Promise<SessionEvent[]> {
  const rows = await clickhouse.query<
    Omit<SessionEvent, 'event_id' | 'call_id' | 'org_id' | 'session_id'> & IdParts
  >(
    `SELECT ${KNOWN_SESSION_COLUMNS} FROM cairn.events
     WHERE org_id = {org:String} AND session_id = {session:String} AND ${ABOUT_CALLS} AND append_day IN {days:Array(Date)}
       AND timestamp BETWEEN fromUnixTimestamp64Micro({first:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last:Int64}, 'UTC')
     ORDER BY timestamp, gateway_id, epoch, seq LIMIT {limit:UInt32} SETTINGS prefer_column_name_to_alias = 1`,
    { org, session, first, last, days, limit: EVENTS_MAX },
    WIDE_SETTINGS,
  );
  return rows.map((row) => ({ ...row, ...idsOf(row), org_id: org, session_id: session }));
}

/** What is asked beside a session's events. */
interface Beside {
  /** Numbers up to which streams are signed, as far as it is known so soon. */
  readonly signed: ReadonlyMap<string, number>;
  /** One more than are told, where there are so many; of hand-offs as well. */
  readonly gaps: readonly Gap[];
  readonly handoffs: readonly Handoff[];
}

/**
 * Seals that came soon behind the session, holes of its streams, and sessions that it handed work to, as one statement: what each of
 * three would cost besides reading, asking included, is half of what they cost. A row is of one of the three lists.
 */
async function besideOf(clickhouse: Database, found: FoundSession): Promise<Beside> {
  const { org, session, streams, first, last, days } = found;
  const traces = found.traces.slice(0, TRACES_MAX);
  const asked = [SIGNED_SOON, GAPS, ...(traces.length === 0 ? [] : [handoffsBy(traces)])];
  const rows = await clickhouse.query<{
    signed: readonly SignedRow[];
    gaps: readonly (readonly [string, number, string, number | null, number | null])[];
    handoffs: readonly (readonly [string, string, string, number, number, number])[];
  }>(
    asked.join('\nUNION ALL\n'),
    {
      ...streamsOf(found),
      session,
      first,
      soon: last + SOON_MICROS,
      soon_days: [...new Set([...days, dayOf(Math.floor((last + SOON_MICROS) / 1_000))])],
      firsts: streams.map(({ seqFirst }) => seqFirst),
      lasts: streams.map(({ seqLast }) => seqLast),
      gaps: GAPS_MAX + 1,
      handoffs: HANDOFFS_MAX + 1,
      near_from: first - DAY_MICROS,
      near_to: last + DAY_MICROS,
      // One by one: of values that ClickHouse knows before it plans, the index of traces makes something, and of an array nothing.
      ...Object.fromEntries(traces.map((trace, at) => [`trace_${at}`, trace])),
      org,
    },
    // Their members have no names, nor shall a server give them any.
    { ...SETTINGS, output_format_json_named_tuples_as_objects: 0 },
  );
  return {
    signed: signedOf(rows.flatMap(({ signed }) => signed)),
    gaps: rows
      .flatMap(({ gaps }) => gaps)
      .map(([gateway_id, epoch, finding, missing_from, missing_to]) => ({
        gateway_id,
        epoch,
        finding,
        missing_from,
        missing_to,
      })),
    handoffs: rows
      .flatMap(({ handoffs }) => handoffs)
      .map(([session_id, agent_id, trace_id, first, last, calls]) => ({
        session_id,
        agent_id,
        trace_id,
        first,
        last,
        calls,
      }))
      // Each list has its order in the statement; what puts them together promises none.
      .sort((one, other) => one.first - other.first || compare(placeOf(one), placeOf(other))),
  };
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

const placeOf = ({ session_id: session, agent_id: agent, trace_id: trace }: Handoff): string =>
  `${session}\0${agent}\0${trace}`;

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

const GAPS = `SELECT DISTINCT [] AS signed, [(gateway_id, epoch, finding, missing_from, missing_to)] AS gaps, [] AS handoffs
  FROM cairn.stream_findings FINAL WHERE ${IN_STREAMS} AND ${TOUCHES}
  ORDER BY gateway_id, epoch, missing_from, missing_to, finding LIMIT {gaps:UInt32}`;

interface Gap {
  readonly gateway_id: string;
  readonly epoch: number;
  readonly finding: string;
  readonly missing_from: number | null;
  readonly missing_to: number | null;
}

interface Handoff {
  readonly session_id: string;
  readonly agent_id: string;
  readonly trace_id: string;
  readonly first: number;
  readonly last: number;
  readonly calls: number;
}

const handoffsBy = (traces: readonly string[]): string =>
  `SELECT [] AS signed, [] AS gaps, [(session_id, agent_id, lower(hex(trace_id)), toUnixTimestamp64Micro(min(timestamp)),
     toUnixTimestamp64Micro(max(timestamp)), toUInt32(uniqExact(${CALL_IDENTITY})))] AS handoffs
   FROM cairn.events
   WHERE org_id = {org:String} AND session_id NOT IN ('', {session:String})
     AND timestamp BETWEEN fromUnixTimestamp64Micro({near_from:Int64}, 'UTC') AND fromUnixTimestamp64Micro({near_to:Int64}, 'UTC')
     AND trace_id IN (${traces.map((_, at) => `toFixedString(unhex({trace_${at}:String}), 16)`).join(', ')})
   GROUP BY session_id, agent_id, trace_id ORDER BY min(timestamp), session_id, agent_id, trace_id LIMIT {handoffs:UInt32}`;

/** A hand-off is looked for so long before and after: traces do not last. */
const DAY_MICROS = 86_400_000_000;

/** Seals come at least once a second while a gateway records; one that comes within this time is found with few rows. */
const SOON_MICROS = 3_600_000_000;

type SignedRow = readonly [gateway: string, epoch: number, seq: number];

const SIGNED = `FROM cairn.events
   WHERE ${IN_STREAMS} AND signature != '' AND timestamp >= fromUnixTimestamp64Micro({first:Int64}, 'UTC')`;

/** What follows a session soon, and came on its days or the next one where that is so soon. */
const SIGNED_SOON = `SELECT [(gateway_id, epoch, max(seq))] AS signed, [] AS gaps, [] AS handoffs ${SIGNED}
     AND timestamp < fromUnixTimestamp64Micro({soon:Int64}, 'UTC') AND append_day IN {soon_days:Array(Date)}
   GROUP BY gateway_id, epoch`;

/** The number up to which each stream is signed, of everything that came since: it is read when what came soon does not cover the session. */
async function signedToOf(clickhouse: Database, found: FoundSession): Promise<ReadonlyMap<string, number>> {
  const rows = await clickhouse.query<{ signed: SignedRow }>(
    `SELECT (gateway_id, epoch, max(seq)) AS signed ${SIGNED} GROUP BY gateway_id, epoch`,
    { ...streamsOf(found), first: found.first },
    { ...SETTINGS, output_format_json_named_tuples_as_objects: 0 },
  );
  return signedOf(rows.map(({ signed }) => signed));
}

const signedOf = (rows: readonly SignedRow[]): ReadonlyMap<string, number> =>
  new Map(rows.map(([gateway, epoch, seq]) => [`${gateway}\0${epoch}`, seq]));

const covers = (signed: ReadonlyMap<string, number>, { streams }: FoundSession): boolean =>
  streams.every(({ gateway, epoch, seqLast }) => seqLast <= (signed.get(`${gateway}\0${epoch}`) ?? -1));
