import { ROW_SETTINGS } from '@cairn/query';
import { z } from 'zod';
import { hotFromOf, hotFromSchema } from './hot-from.ts';
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
  summary: 'Agents, tools or services that called or were called in what ClickHouse holds, the newest first.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'inventory/read'],
  parameters: z.strictObject({ what: z.enum(['agents', 'tools', 'services']) }),
  query: z.strictObject({ limit: z.coerce.number().int().min(1).max(10_000).default(1_000) }),
  response: z
    .object({ items: z.array(itemSchema), more: z.boolean(), hot_from: hotFromSchema })
    .meta({ id: 'Inventory' }),
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
      body: { items, more: rows.length > query.limit, hot_from: await hotFromOf(clickhouse) },
      facts: { what: path.what, rows: items.length },
    };
  },
});
