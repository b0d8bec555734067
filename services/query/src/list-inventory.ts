import { ROW_SETTINGS } from '@cairn/query';
import { z } from 'zod';
import { route } from './route.ts';

/** Of what is listed, the columns that name one. */
const NAMED_BY = {
  agents: ['agent_id'],
  tools: ['service', 'tool_name'],
  services: ['service'],
} as const;

const CALLS = `kind IN ('tool_call', 'resource_read', 'prompt_get')`;
const LIMITS = { max_execution_time: 30, max_memory_usage: 2_000_000_000, ...ROW_SETTINGS } as const;

const itemSchema = z
  .object({
    agent_id: z.string().optional(),
    service: z.string().optional(),
    tool_name: z.string().optional(),
    first_seen: z.int().describe('Microseconds since 1970; of what ClickHouse holds.'),
    last_seen: z.int(),
    calls: z.int(),
    denied: z.int(),
    failed: z.int(),
    agents: z.int().describe('How many agents used it; 1 for an agent.'),
    definitions: z.int().describe('How many definitions of its tools agents were shown.'),
  })
  .meta({ id: 'InventoryItem' });

export const listInventoryRoute = route({
  id: 'listInventory',
  method: 'get',
  path: '/v1/inventory/{what}',
  summary: 'Agents, tools or services that ever called or were called, the newest first.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'inventory/read'],
  parameters: z.strictObject({ what: z.enum(['agents', 'tools', 'services']) }),
  query: z.strictObject({ limit: z.coerce.number().int().min(1).max(10_000).default(1_000) }),
  response: z.object({ items: z.array(itemSchema), more: z.boolean() }).meta({ id: 'Inventory' }),
  async answer({ caller, path, query, clickhouse }) {
    const names = NAMED_BY[path.what];
    const rows = await clickhouse.query<z.infer<typeof itemSchema>>(
      `SELECT ${names.map((name) => `toString(${name}) AS ${name}`).join(', ')},
         toUnixTimestamp64Micro(min(timestamp)) AS first_seen, toUnixTimestamp64Micro(max(timestamp)) AS last_seen,
         countIf(phase IN ('outcome', 'single')) AS calls, countIf(phase IN ('outcome', 'single') AND result_status = 'denied') AS denied,
         countIf(phase = 'outcome' AND result_status IN ('failure', 'timeout', 'cancelled')) AS failed,
         toUInt32(uniqExact(events.agent_id)) AS agents, toUInt32(uniqExact(tool_hash)) AS definitions
       FROM cairn.events AS events WHERE org_id = {org:String} AND ${CALLS}
       GROUP BY ${names.map((name) => `events.${name}`).join(', ')} ORDER BY first_seen DESC, ${names.join(', ')} LIMIT {limit:UInt32}`,
      { org: caller.orgId, limit: query.limit + 1 },
      LIMITS,
    );
    const items = rows.slice(0, query.limit);
    return {
      body: { items, more: rows.length > query.limit },
      facts: { what: path.what, rows: items.length },
    };
  },
});

export const readCompletenessRoute = route({
  id: 'readCompleteness',
  method: 'get',
  path: '/v1/completeness',
  summary:
    'Of each stream of each gateway: how many numbers were given, how many events are stored, how far it is signed.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'completeness/read'],
  response: z
    .object({
      streams: z.array(
        z.object({
          gateway_id: z.string(),
          epoch: z.int(),
          numbers_from: z
            .int()
            .describe('First number that ClickHouse holds: above 0 once days were dropped.'),
          numbers_to: z.int(),
          accepted: z.int().describe('Numbers from the first to the last.'),
          stored: z.int().describe('Events that have one of them.'),
          missing: z.int(),
          signed_to: z.int().nullable(),
          last_received_at: z.int().describe('Milliseconds since 1970.'),
        }),
      ),
      complete: z.boolean(),
    })
    .meta({ id: 'Completeness' }),
  async answer({ caller, clickhouse }) {
    const streams = await clickhouse.query<{
      gateway_id: string;
      epoch: number;
      numbers_from: number;
      numbers_to: number;
      accepted: number;
      stored: number;
      missing: number;
      signed_to: number | null;
      last_received_at: number;
    }>(
      `SELECT toString(gateway_id) AS gateway_id, epoch, min(seq) AS numbers_from, max(seq) AS numbers_to, max(seq) - min(seq) + 1 AS accepted,
         toInt64(uniqExact(seq)) AS stored, accepted - stored AS missing, if(countIf(signature != '') = 0, NULL, maxIf(seq, signature != '')) AS signed_to,
         toUnixTimestamp64Milli(max(received_at)) AS last_received_at
       FROM cairn.events WHERE org_id = {org:String} GROUP BY gateway_id, epoch ORDER BY gateway_id, epoch LIMIT 10000`,
      { org: caller.orgId },
      LIMITS,
    );
    const complete = streams.every(({ missing }) => missing === 0);
    return { body: { streams, complete }, facts: { rows: streams.length, complete } };
  },
});
