import { ROW_SETTINGS } from '@cairn/query';
import { z } from 'zod';
import { hotFromOf, hotFromSchema } from './hot-from.ts';
import { route } from './route.ts';

const CALLS = `kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')`;
const HELD = `org_id = {org:String} AND timestamp >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND timestamp < fromUnixTimestamp64Micro({to:Int64}, 'UTC')`;
const LIMITS = { max_execution_time: 60, max_memory_usage: 2_000_000_000, ...ROW_SETTINGS } as const;

/** A report is read by people: what comes behind these rows is said to be there. */
const ROWS_MAX = 1_000;

/** Each report: what it says, and its statement. Columns are texts and whole numbers. */
export const REPORTS = {
  'permission-gaps': {
    says: 'What agents asked for and were denied, by agent, tool and the rules that decided: what their profile may lack, or what they should not try.',
    sql: `SELECT toString(agent_id) AS agent_id, toString(service) AS service, toString(tool_name) AS tool_name, toString(permission_profile) AS permission_profile,
        arrayStringConcat(arraySort(rules_matched), ', ') AS rules, count() AS denials, toUnixTimestamp64Micro(min(timestamp)) AS first_at, toUnixTimestamp64Micro(max(timestamp)) AS last_at
      FROM cairn.events WHERE ${HELD} AND ${CALLS} AND result_status = 'denied'
      GROUP BY agent_id, service, tool_name, permission_profile, rules ORDER BY denials DESC, agent_id, tool_name LIMIT {limit:UInt32}`,
  },
  'denial-clusters': {
    says: 'Five minutes in which one agent was denied at least five times.',
    sql: `SELECT toString(agent_id) AS agent_id, toUnixTimestamp(toStartOfFiveMinutes(timestamp)) * 1000000 AS start_at, count() AS denials, uniqExact(tool_name) AS tools,
        arrayStringConcat(arraySort(groupUniqArray(10)(toString(tool_name))), ', ') AS some_tools
      FROM cairn.events WHERE ${HELD} AND ${CALLS} AND result_status = 'denied'
      GROUP BY agent_id, start_at HAVING denials >= 5 ORDER BY denials DESC, start_at, agent_id LIMIT {limit:UInt32}`,
  },
  'slow-tools': {
    says: 'Tools by the latency that 95 of 100 calls stay under.',
    sql: `SELECT toString(service) AS service, toString(tool_name) AS tool_name, count() AS calls, toInt64(quantileTDigest(0.5)(latency_ms)) AS p50_ms,
        toInt64(quantileTDigest(0.95)(latency_ms)) AS p95_ms, toInt64(max(latency_ms)) AS max_ms
      FROM cairn.events WHERE ${HELD} AND ${CALLS} AND latency_ms IS NOT NULL
      GROUP BY service, tool_name ORDER BY p95_ms DESC, service, tool_name LIMIT {limit:UInt32}`,
  },
  'failing-tools': {
    says: 'Tools by how often they fail, time out or are cancelled.',
    sql: `SELECT toString(service) AS service, toString(tool_name) AS tool_name, count() AS calls, countIf(result_status IN ('failure', 'timeout', 'cancelled')) AS failed,
        toInt64(round(1000 * failed / calls)) AS failed_per_mille, toString(topKIf(1)(error_code, error_code != '')[1]) AS usual_error
      FROM cairn.events WHERE ${HELD} AND ${CALLS} GROUP BY service, tool_name HAVING failed > 0 ORDER BY failed_per_mille DESC, failed DESC, service, tool_name LIMIT {limit:UInt32}`,
  },
  'unused-grants': {
    says: 'Tools that policy allowed an agent in the time before, as far back as ClickHouse goes, and that the agent did not ask for in this time: what it may and does not need.',
    sql: `SELECT toString(agent_id) AS agent_id, toString(service) AS service, toString(tool_name) AS tool_name,
        toString(argMax(permission_profile, timestamp)) AS permission_profile, count() AS allowed_before, toUnixTimestamp64Micro(max(timestamp)) AS last_allowed_at
      FROM cairn.events WHERE org_id = {org:String} AND timestamp < fromUnixTimestamp64Micro({from:Int64}, 'UTC')
        AND kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('decision', 'single') AND decision = 'allow'
        AND (agent_id, service, tool_name) NOT IN (SELECT agent_id, service, tool_name FROM cairn.events
          WHERE ${HELD} AND kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('decision', 'single'))
      GROUP BY agent_id, service, tool_name ORDER BY last_allowed_at, agent_id, service, tool_name LIMIT {limit:UInt32}`,
  },
  'unused-rules': {
    says: 'Policies that were in force in this time, and how often each decided. One that permits and never decided is a grant that nobody used. A decision names at most 64 policies of its set.',
    sql: `SELECT rule, countIf(in_force) AS decisions, countIf(decided AND decision = 'allow') AS allowed, countIf(decided AND decision = 'deny') AS denied,
        countIf(decided AND decision NOT IN ('allow', 'deny')) AS others, toUnixTimestamp64Micro(max(timestamp)) AS last_in_force_at
      FROM (SELECT timestamp, decision, arrayJoin(arrayDistinct(arrayConcat(rules_evaluated, rules_matched))) AS rule,
          has(rules_evaluated, rule) AS in_force, has(rules_matched, rule) AS decided
        FROM cairn.events WHERE ${HELD} AND phase IN ('decision', 'single') AND notEmpty(rules_evaluated))
      GROUP BY rule ORDER BY allowed + denied + others, rule LIMIT {limit:UInt32}`,
  },
  'unused-keys': {
    says: 'Scopes of API keys that stood in this time and that nobody used in it: what a key may and does not need. All of its scopes stand here when the key was not used at all.',
    sql: `SELECT id AS key, role, scope, if(used.last = 0, 'never used', 'used otherwise') AS key_use, created_by,
        toUnixTimestamp64Micro(created_at) AS created_at, toUnixTimestamp64Micro(expires_at) AS expires_at
      FROM (SELECT id, toString(role) AS role, toString(arrayJoin(scopes)) AS scope, created_by, created_at, expires_at
        FROM cairn.api_keys FINAL WHERE org_id = {org:String} AND created_at < fromUnixTimestamp64Micro({to:Int64}, 'UTC')
          AND expires_at > fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND (revoked_ms = 0 OR revoked_ms * 1000 > {from:Int64})) AS held
      LEFT JOIN (SELECT substring(user_id, 5) AS id, groupUniqArray(extract(detail, '"scope":"([a-z]+)"')) AS scopes, toUnixTimestamp64Micro(max(timestamp)) AS last
        FROM cairn.events WHERE ${HELD} AND service = 'query' AND auth_method = 'api_key' AND decision = 'allow' GROUP BY id) AS used USING (id)
      WHERE NOT has(used.scopes, scope) ORDER BY key_use, created_at, key, scope LIMIT {limit:UInt32}`,
  },
  'new-tools': {
    says: 'Tools that were first used in this time, by whom first.',
    sql: `SELECT toString(service) AS service, toString(tool_name) AS tool_name, toUnixTimestamp64Micro(min(timestamp)) AS first_at, toString(argMin(agent_id, timestamp)) AS first_agent, count() AS calls
      FROM cairn.events WHERE org_id = {org:String} AND timestamp < fromUnixTimestamp64Micro({to:Int64}, 'UTC') AND ${CALLS}
      GROUP BY service, tool_name HAVING first_at >= {from:Int64} ORDER BY first_at DESC, service, tool_name LIMIT {limit:UInt32}`,
  },
} as const;
export type ReportName = keyof typeof REPORTS;
const NAMES = Object.keys(REPORTS) as [ReportName, ...ReportName[]];

const micros = z.coerce.number().int().min(0).max(8_640_000_000_000_000).optional();

export const runReportRoute = route({
  id: 'runReport',
  method: 'get',
  path: '/v1/reports/{report}',
  summary:
    'A governance report over a time; default the last 30 days, of what ClickHouse holds. Says what it counts and the population behind it.',
  roles: ['analyst', 'auditor', 'admin'],
  scope: 'reports',
  recorded: ['audit_access', 'reports/run'],
  parameters: z.strictObject({ report: z.enum(NAMES) }),
  query: z.strictObject({
    from: micros.describe('Microseconds since 1970.'),
    to: micros.describe('Exclusive.'),
  }),
  response: z
    .object({
      report: z.string(),
      says: z.string(),
      from: z.int(),
      to: z.int(),
      population: z.int().describe('Calls that ended in this time.'),
      rows: z.array(z.record(z.string(), z.union([z.string(), z.int()]))),
      more: z.boolean().describe(`There are more than these ${ROWS_MAX} rows: ask for less time.`),
      hot_from: hotFromSchema,
    })
    .meta({ id: 'Report' }),
  async answer({ caller, path, query, now, clickhouse }) {
    const { says, sql } = REPORTS[path.report];
    const to = query.to ?? now;
    const from = query.from ?? Math.max(0, to - 30 * 86_400_000_000);
    const bound = { org: caller.orgId, from, to };
    const [found, [count], hotFrom] = await Promise.all([
      clickhouse.query<Record<string, string | number>>(sql, { ...bound, limit: ROWS_MAX + 1 }, LIMITS),
      clickhouse.query<{ calls: number }>(
        `SELECT count() AS calls FROM cairn.events WHERE ${HELD} AND ${CALLS}`,
        bound,
        LIMITS,
      ),
      hotFromOf(clickhouse),
    ]);
    const rows = found.slice(0, ROWS_MAX);
    const body = {
      report: path.report,
      says,
      from,
      to,
      population: count?.calls ?? 0,
      rows,
      more: found.length > ROWS_MAX,
      hot_from: hotFrom,
    };
    return { body, facts: { report: path.report, from, to, rows: rows.length } };
  },
});
