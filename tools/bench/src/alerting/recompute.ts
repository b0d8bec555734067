// The alerts that the shipped rules call for, computed in SQL over what ingest has put into ClickHouse, and beside them those that
// alerting recorded. Nothing of the rules' own code takes part.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { PARKED_TOPIC } from '@cairn/event';
import { freePort, REPOSITORY, startServiceProcess } from '@cairn/local';
import { emptyTables } from '../ingest/stage.ts';
import type { AlertingStage, Hours } from './stage.ts';

export interface Comparison {
  /** Alerts by the events. */
  readonly expected: number;
  /** Of them those that alerting told of: same rule, same group, as often. */
  readonly told: number;
  /** Told without a cause. */
  readonly surplus: number;
  /** Of those that were told, those that begin in the same instant. */
  readonly sameInstant: number;
  /** The first few that differ. */
  readonly differences: readonly string[];
}

interface AlertRow {
  readonly rule: string;
  readonly group: readonly string[];
  readonly since: string;
}

/** @param instances of alerting whose alerts are in the topic. */
export async function compareWithClickHouse(
  stage: AlertingStage,
  topic: string,
  hours: Hours,
  instances: readonly string[],
): Promise<Comparison> {
  await using clickhouse = openClickHouse({
    url: stage.parts.part('clickhouse').address,
    answerMsMax: 600_000,
  });
  await load(stage, clickhouse, topic);
  const expected: AlertRow[] = [];
  const all = [...FIRINGS, afterHours(hours)];
  for (const firings of all) expected.push(...(await clickhouse.query<AlertRow>(episodesOf(firings))));
  const found = await clickhouse.query<AlertRow>(`
    -- One alert has one id; it may be recorded more than once.
    SELECT DISTINCT JSONExtractString(detail, 'rule') AS rule,
      arrayConcat([org_id], JSONExtractKeysAndValues(detail, 'group', 'String').2) AS group,
      toString(JSONExtractInt(detail, 'since')) AS since
    FROM cairn.events WHERE kind = 'alert' AND method = 'alert/opened' AND gateway_id IN (${quoted(instances)})
      AND rule IN (${quoted(all.map(({ rule }) => rule))})`);
  return compare(expected, found);
}

const quoted = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(', ');

function compare(expected: readonly AlertRow[], found: readonly AlertRow[]): Comparison {
  const byPlace = (rows: readonly AlertRow[]) =>
    Map.groupBy(rows, ({ rule, group }) => `${rule} ${group.join(' ')}`);
  const [wanted, had] = [byPlace(expected), byPlace(found)];
  let [told, surplus, sameInstant] = [0, 0, 0];
  const differences: string[] = [];
  for (const place of new Set([...wanted.keys(), ...had.keys()])) {
    const [ours, theirs] = [had.get(place) ?? [], wanted.get(place) ?? []];
    told += Math.min(ours.length, theirs.length);
    surplus += Math.max(0, ours.length - theirs.length);
    const instants = new Set(theirs.map(({ since }) => since));
    sameInstant += ours.filter(({ since }) => instants.has(since)).length;
    if (ours.length !== theirs.length && differences.length < 5)
      differences.push(`${place}: ${ours.length} told, ${theirs.length} by the events`);
  }
  return { expected: expected.length, told, surplus, sameInstant, differences };
}

async function load(stage: AlertingStage, clickhouse: ClickHouse, topic: string): Promise<void> {
  await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
  await emptyTables(clickhouse);
  await stage.kafka.ensureTopics([{ name: PARKED_TOPIC, partitions: 1 }]);
  const healthPort = await freePort();
  await using _ingest = await startServiceProcess({
    name: 'ingest',
    healthPort,
    readyMsMax: 120_000,
    logDirectory: join(stage.directory, 'log', 'ingest'),
    env: {
      ...stage.parts.env(),
      CAIRN_CLASSES: topic.replace('audit.events.', ''),
      CAIRN_INGEST_GROUP: 'recompute',
      CAIRN_INGEST_HEALTH_PORT: String(healthPort),
      CAIRN_LOG_LEVEL: 'warn',
    },
  });
  const ends = await stage.kafka.boundsOf(topic);
  const records = [...ends.values()].reduce((sum, { end }) => sum + end, 0);
  for (let rows = 0; rows < records; ) {
    const [row] = await clickhouse.query<{ rows: number }>(
      'SELECT toUInt32(count()) AS rows FROM cairn.events',
    );
    rows = row?.rows ?? 0;
    if (rows < records) await sleep(200);
  }
}

const MINUTE = 60_000_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** One rule: a query for `group` and `t`, every instant at which it fires, and how far apart firings of one alert may be. */
interface Firings {
  readonly rule: string;
  readonly apart: number;
  readonly sql: string;
}

const T = 'toUnixTimestamp64Micro(timestamp)';
const CALLED = `kind = 'tool_call' AND phase IN ('decision', 'single')`;
const groupOf = (...fields: readonly string[]): string =>
  `[org_id, ${fields.map((field) => `lower(toString(${field}))`).join(', ')}]`;
const present = (...fields: readonly string[]): string =>
  fields.map((field) => `AND ${field} != ''`).join(' ');

/** Instants at which an aggregate over the span before, both ends inside, meets a condition. */
const sliding = (
  events: string,
  group: string,
  aggregate: string,
  condition: string,
  span: number,
  cell = 1,
): string => `
  SELECT group, t FROM (
    SELECT group, t, ${aggregate} OVER (PARTITION BY group ORDER BY t RANGE BETWEEN ${span} PRECEDING AND CURRENT ROW) AS measure
    FROM (SELECT ${group} AS group, intDiv(${T}, ${cell}) * ${cell} AS t, * FROM cairn.events WHERE ${events})
  ) WHERE measure ${condition}`;

const FIRINGS: readonly Firings[] = [
  {
    rule: '00fefd58-c2ac-491b-9095-0f33baeb2a3f',
    apart: 10 * MINUTE,
    sql: sliding(
      `${CALLED} ${present('agent_id')}`,
      groupOf('agent_id'),
      'count()',
      '>= 600',
      10 * MINUTE,
      10_000_000,
    ),
  },
  {
    rule: 'f1e832b7-c652-4698-8085-a74dc4752e9b',
    apart: 2 * HOUR,
    sql: `SELECT ${groupOf('agent_id')} AS group, intDiv(${T}, ${HOUR}) * ${HOUR} + ${HOUR - 1} AS t FROM cairn.events
      WHERE ${CALLED} ${present('agent_id')} GROUP BY group, t HAVING count() > 200`,
  },
  {
    rule: 'f063dd6e-4f75-4044-b930-284c1b7000f3',
    apart: 10 * MINUTE,
    sql: sliding(
      `decision = 'deny' ${present('agent_id')}`,
      groupOf('agent_id'),
      'count()',
      '>= 5',
      10 * MINUTE,
    ),
  },
  {
    rule: 'd52e0883-67eb-4e8e-873f-feab4775c72b',
    apart: 15 * MINUTE,
    sql: sliding(
      `decision = 'deny' ${present('agent_id', 'service', 'tool_name')}`,
      groupOf('service', 'tool_name'),
      'uniqExact(lower(toString(agent_id)))',
      '>= 4',
      15 * MINUTE,
    ),
  },
  ...[
    { rule: 'd21b6a3a-528e-44d9-94ca-df640f2bacef', by: ['agent_id', 'service', 'tool_name'] },
    { rule: '08dc8a26-46cc-4c4b-8bc0-2c422ae6fddd', by: ['agent_id', 'service'] },
  ].map(({ rule, by }) => ({
    rule,
    apart: 30 * DAY,
    // The first hour in which it is used.
    sql: `SELECT ${groupOf(...by)} AS group, min(intDiv(${T}, ${HOUR}) * ${HOUR}) AS t FROM cairn.events
      WHERE ${CALLED} ${present(...by)} GROUP BY group`,
  })),
  {
    rule: '95bb0774-47e8-4ecb-a724-dfb6adaef366',
    apart: 30 * DAY,
    sql: `SELECT ${groupOf('service', 'tool_name')} AS group, min(${T}) AS t FROM cairn.events
      WHERE ${CALLED} ${present('service', 'tool_name')} GROUP BY group HAVING uniqExact(tool_hash) >= 2`,
  },
  {
    rule: 'bef5b9d3-cf6b-4fa6-b802-3ca44e94ec54',
    apart: 5 * MINUTE,
    sql: sliding(
      `kind = 'tool_call' AND result_status IN ('failure', 'timeout') ${present('service')}`,
      groupOf('service'),
      'count()',
      '>= 20',
      5 * MINUTE,
    ),
  },
  {
    rule: '8a85b647-d787-4564-a837-f344f21a7373',
    apart: 15 * MINUTE,
    sql: sliding(
      `kind = 'tool_call' AND latency_ms >= 10000 ${present('service', 'tool_name')}`,
      groupOf('service', 'tool_name'),
      'count()',
      '>= 5',
      15 * MINUTE,
    ),
  },
  {
    rule: '2f6c6d2f-342d-4833-bfe2-0331207d2c41',
    apart: 15 * MINUTE,
    // A large answer that is earlier than a call that sends, both within the span.
    sql: `
      SELECT group, t FROM (
        SELECT group, t,
          minIf(t, is_large) OVER span AS first_large, countIf(is_large) OVER span AS large,
          maxIf(t, is_sent) OVER span AS last_sent, countIf(is_sent) OVER span AS sent
        FROM (
          SELECT ${groupOf('session_id')} AS group, ${T} AS t,
            sensitivity = 'restricted' AND result_status = 'success' AND ifNull(response_size >= 262144, 0) AS is_large,
            ${CALLED} AND action = 'communicate' AND decision != 'deny' AS is_sent
          FROM cairn.events WHERE (is_large OR is_sent) ${present('session_id')}
        )
        WINDOW span AS (PARTITION BY group ORDER BY t RANGE BETWEEN ${15 * MINUTE} PRECEDING AND CURRENT ROW)
      ) WHERE large > 0 AND sent > 0 AND first_large < last_sent`,
  },
  {
    rule: '301f2717-770d-4c88-bbd4-38d4ec329258',
    apart: HOUR,
    sql: `SELECT ${groupOf('agent_id')} AS group, ${T} AS t FROM cairn.events
      WHERE ${CALLED} AND arrayExists(found -> startsWith(lower(found.1), 'secret.'), redactions)`,
  },
];

const afterHours = ({ timeZone, allWeek }: Hours): Firings => ({
  rule: '8729511e-2fc6-4933-bfb7-c2485bb2352a',
  apart: HOUR,
  sql: `SELECT ${groupOf('agent_id')} AS group, ${T} AS t FROM cairn.events
    WHERE ${CALLED} AND sensitivity IN ('sensitive', 'restricted') AND decision != 'deny'
      AND NOT (toDayOfWeek(toTimeZone(timestamp, '${timeZone}')) <= ${allWeek ? 7 : 5}
        AND toHour(toTimeZone(timestamp, '${timeZone}')) BETWEEN 7 AND 19)`,
});

/** Where firings begin that follow none of their group closely. */
function episodesOf({ rule, apart, sql }: Firings): string {
  return `
    SELECT '${rule}' AS rule, group, toString(t) AS since FROM (
      SELECT group, t, row_number() OVER before AS number,
        lagInFrame(t, 1) OVER before AS previous
      FROM (SELECT DISTINCT group, t FROM (${sql}))
      WINDOW before AS (PARTITION BY group ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ) WHERE number = 1 OR t > previous + ${apart}`;
}
