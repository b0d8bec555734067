import { ROW_SETTINGS } from '@cairn/query';
import { z } from 'zod';
import { boundSearch, searchParameter } from './bound-search.ts';
import { hotFromOf, hotFromSchema } from './hot-from.ts';
import { Refusal } from './problem.ts';
import { route } from './route.ts';

/** What facets are made of: columns of few values. */
const FACETS = [
  'agent_id',
  'service',
  'tool_name',
  'kind',
  'phase',
  'action',
  'sensitivity',
  'decision',
  'result_status',
  'error_code',
  'gateway_id',
  'environment',
  'client_name',
  'method',
] as const;

const LIMITS = { max_execution_time: 30, max_memory_usage: 2_000_000_000, ...ROW_SETTINGS } as const;

export const countFacetsRoute = route({
  id: 'countFacets',
  method: 'get',
  path: '/v1/facets',
  summary:
    'The most frequent values of some fields among the events that a search finds in ClickHouse. Counts are exact.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'events/facets'],
  query: z.strictObject({
    search: searchParameter,
    fields: z
      .string()
      .default('agent_id,tool_name,decision,result_status')
      .transform((text) => [...new Set(text.split(','))])
      .pipe(z.array(z.enum(FACETS)).min(1).max(FACETS.length))
      .meta({ override: { type: 'string', description: `With commas between: ${FACETS.join(', ')}.` } }),
    top: z.coerce.number().int().min(1).max(100).default(10),
  }),
  response: z
    .object({
      total: z.int(),
      hot_from: hotFromSchema,
      facets: z.array(
        z.object({
          field: z.string(),
          distinct: z.int(),
          values: z.array(z.object({ value: z.string(), count: z.int() })),
        }),
      ),
    })
    .meta({ id: 'Facets' }),
  async answer({ caller, query, now, clickhouse }) {
    const { text, condition } = boundSearch(query.search, caller, now);
    const facets = [];
    let total = 0;
    for (const field of query.fields) {
      const rows = await clickhouse.query<{ value: string; count: number; total: number; distinct: number }>(
        `SELECT toString(${field}) AS value, count() AS count, sum(count) OVER () AS total, toUInt32(count(*) OVER ()) AS distinct
         FROM cairn.events WHERE ${condition.sql} GROUP BY ${field} ORDER BY count DESC, value LIMIT {top:UInt32}`,
        { ...condition.parameters, top: query.top },
        LIMITS,
      );
      total = rows[0]?.total ?? 0;
      facets.push({
        field,
        distinct: rows[0]?.distinct ?? 0,
        values: rows.map(({ value, count }) => ({ value, count })),
      });
    }
    return {
      body: { total, hot_from: await hotFromOf(clickhouse), facets },
      facts: { search: text, fields: query.fields, rows: total },
    };
  },
});

const BARS_MAX = 500;
const MINUTE = 60_000_000;
const WIDTHS = [1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 86_400, 604_800].map(
  (seconds) => seconds * 1_000_000,
);

export const countHistogramRoute = route({
  id: 'countHistogram',
  method: 'get',
  path: '/v1/histogram',
  summary:
    'Events over time among those that a search finds in ClickHouse, by decision or outcome. The range is that of the search, else the last day.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'events/histogram'],
  query: z.strictObject({
    search: searchParameter,
    by: z.enum(['decision', 'result_status', 'kind', 'action', 'sensitivity']).default('result_status'),
    bars: z.coerce.number().int().min(1).max(BARS_MAX).default(60).describe('At most so many.'),
  }),
  response: z
    .object({
      from: z.int(),
      to: z.int(),
      width: z.int().describe('Microseconds of one bar.'),
      by: z.string(),
      hot_from: hotFromSchema,
      bars: z
        .array(z.object({ start: z.int(), count: z.int(), counts: z.record(z.string(), z.int()) }))
        .describe('Those with events, in order.'),
    })
    .meta({ id: 'Histogram' }),
  async answer({ caller, query, now, clickhouse }) {
    const { text, condition, from: asked, to: end } = boundSearch(query.search, caller, now);
    const to = end ?? now + MINUTE;
    const from = asked ?? to - DAY;
    if (to <= from)
      throw new Refusal('request.invalid', 'The search asks for a time that ends before it begins.');
    const width =
      WIDTHS.find((one) => (to - from) / one <= query.bars) ?? Math.ceil((to - from) / query.bars);
    const [rows, hotFrom] = await Promise.all([
      clickhouse.query<{ start: number; value: string; count: number }>(
        `SELECT intDiv(toUnixTimestamp64Micro(timestamp), {width:Int64}) * {width:Int64} AS start, toString(${query.by}) AS value, count() AS count
       FROM cairn.events
       WHERE ${condition.sql} AND timestamp >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND timestamp < fromUnixTimestamp64Micro({to:Int64}, 'UTC')
       GROUP BY start, value ORDER BY start, value`,
        { ...condition.parameters, width, from, to },
        LIMITS,
      ),
      hotFromOf(clickhouse),
    ]);
    const bars = [...Map.groupBy(rows, ({ start }) => start)].map(([start, of]) => ({
      start,
      count: of.reduce((sum, { count }) => sum + count, 0),
      counts: Object.fromEntries(of.map(({ value, count }) => [value, count])),
    }));
    const total = bars.reduce((sum, { count }) => sum + count, 0);
    return {
      body: { from, to, width, by: query.by, hot_from: hotFrom, bars },
      facts: { search: text, by: query.by, rows: total },
    };
  },
});

const DAY = 86_400_000_000;
