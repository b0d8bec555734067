import { searchEvents } from '@cairn/query';
import { readSearch, writeSearch } from '@cairn/search';
import { z } from 'zod';
import { type BoundSearch, boundSearch, searchParameter } from './bound-search.ts';
import { cursorParameter, digestOf, readCursor, writeCursor } from './cursor.ts';
import { eventSchema, shownEvent } from './event-schema.ts';
import { Refusal } from './problem.ts';
import { type Asked, route } from './route.ts';

const PAGE_MAX = 1_000;

const pageQuery = z.strictObject({
  search: searchParameter,
  order: z.enum(['newest', 'oldest']).default('newest'),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
  cursor: cursorParameter,
});

const pageSchema = z
  .object({
    events: z.array(eventSchema),
    next: z.string().nullable().describe('Cursor of the next page; null when this is the last.'),
    search: z.string().describe('The search as it was understood.'),
    until: z.int().describe('What was received later is in no page of this search; microseconds since 1970.'),
    hot_from: z
      .string()
      .nullable()
      .describe('First day that ClickHouse holds; what is older is in the archive alone.'),
  })
  .meta({ id: 'EventPage' });

export const searchEventsRoute = route({
  id: 'searchEvents',
  method: 'get',
  path: '/v1/events',
  summary: 'Events that a search finds, page by page.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'events/search'],
  query: pageQuery,
  response: pageSchema,
  answer: (asked) => page(asked, asked.query.search),
});

export const listAlertsRoute = route({
  id: 'listAlerts',
  method: 'get',
  path: '/v1/alerts',
  summary: 'Alerts and findings, which are events themselves.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'alerts/search'],
  query: pageQuery,
  response: pageSchema,
  answer: (asked) => page(asked, amongAlerts(asked.query.search)),
});

/** The alerts among what a search finds. It is read on its own first: `a) OR (b` would be a search of everything. */
export function amongAlerts(text: string): string {
  const understood = writeSearch(readSearch(text));
  return understood === '' ? 'kind:alert' : `kind:alert (${understood})`;
}

async function page(
  { caller, query, now, clickhouse }: Asked<unknown, z.infer<typeof pageQuery>, unknown>,
  text: string,
) {
  const { order, limit } = query;
  const of = digestOf(caller.orgId, text, order);
  const cursor = query.cursor === undefined ? undefined : readCursor(query.cursor, of);
  const first = cursor?.now ?? now;
  const search = boundSearch(text, caller, first);
  const { events, next, hotDays } = await searchEvents(clickhouse, undefined, {
    over: 'hot',
    filters: {},
    ...frozen(search, first),
    order,
    limit,
    after: cursor?.at,
  });
  return {
    body: {
      events: events.map((event) => shownEvent(event, caller)),
      next: next === undefined ? null : writeCursor(of, first, next),
      search: search.text,
      until: first,
      hot_from: hotDays[0] ?? null,
    },
    facts: { search: search.text, rows: events.length, page: cursor !== undefined },
  };
}

/** A search as it stood at its first page: later arrivals would come between pages that were read. */
export function frozen({ condition, from, to, isById }: BoundSearch, first: number) {
  return {
    condition: {
      sql: `${condition.sql} AND received_at <= fromUnixTimestamp64Micro({search_until:Int64}, 'UTC')`,
      parameters: { ...condition.parameters, search_until: first },
    },
    from,
    to,
    // What has an id has few events, which an index finds: it is not looked for hour by hour.
    now: isById ? undefined : first,
  };
}

export const readEventRoute = route({
  id: 'readEvent',
  method: 'get',
  path: '/v1/events/{event_id}',
  summary: 'One event. It never changes, so its leaf hash is its ETag.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'events/read'],
  parameters: z.strictObject({ event_id: z.uuid() }),
  response: eventSchema,
  async answer({ caller, path, now, clickhouse }) {
    const search = boundSearch(`event_id:${path.event_id}`, caller, now);
    const { events } = await searchEvents(clickhouse, undefined, {
      over: 'hot',
      filters: {},
      ...search,
      order: 'newest',
      limit: 1,
    });
    const [event] = events;
    if (event === undefined)
      throw new Refusal('not-found', 'ClickHouse holds no such event of your organisation.');
    const etag = `${event.leaf_hash}-${caller.role}`;
    return { body: shownEvent(event, caller), facts: { event: path.event_id.toLowerCase() }, etag };
  },
});
