import { placeFound } from '@cairn/archive';
import { isFailure } from '@cairn/failure';
import { type Answer, OVER, type Question, searchEvents } from '@cairn/query';
import { readSearch, writeSearch } from '@cairn/search';
import { z } from 'zod';
import { type BoundSearch, boundSearch, searchParameter } from './bound-search.ts';
import { cursorParameter, digestOf, readCursor, writeCursor } from './cursor.ts';
import { eventSchema, shownEvent } from './event-schema.ts';
import { type ApiArchive, archiveOf } from './open-archive.ts';
import { Refusal } from './problem.ts';
import { type Asked, route } from './route.ts';

const PAGE_MAX = 1_000;

const pageQuery = z.strictObject({
  search: searchParameter,
  order: z.enum(['newest', 'oldest']).default('newest'),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
  cursor: cursorParameter,
  store: z
    .enum(OVER)
    .default('hot')
    .describe('What is asked: ClickHouse, the archive, or each for what the other one does not have.'),
});

/** Segments that are read for one page; a segment takes some 0.3 s. */
const SEGMENTS_MAX = 128;

const foundSchema = eventSchema
  .extend({
    store: z
      .enum(['hot', 'restored', 'copy', 'archive'])
      .describe('Which store gave it. What the archive gave was compared with the bytes that were signed.'),
    leaf_index: z.int().nullable().describe('Its leaf in the log, where the archive gave it.'),
  })
  .meta({ id: 'FoundEvent' });

const pageSchema = z
  .object({
    events: z.array(foundSchema),
    next: z.string().nullable().describe('Cursor of the next page; null when this is the last.'),
    search: z.string().describe('The search as it was understood.'),
    until: z.int().describe('What was received later is in no page of this search; microseconds since 1970.'),
    hot_from: z
      .string()
      .nullable()
      .describe('First day that ClickHouse holds; what is older is in the archive alone.'),
    rows: z
      .object({ hot: z.int(), restored: z.int(), copy: z.int(), archive: z.int() })
      .describe('Of these events, by the store that gave them.'),
    segments: z
      .object({
        read: z.int(),
        from_copies: z.int().describe('Of these, read from their query copies.'),
        ruled_out: z.int().describe('Hold no match, by their manifests.'),
        served_hot: z.int().describe('Hold only what ClickHouse answered for.'),
        not_needed: z.int().describe('Cannot change the page, which was full before.'),
        deleted: z.int().describe('May have held a match, and were deleted when their retention ended.'),
      })
      .describe('What became of the archive’s segments; all 0 when ClickHouse alone was asked.'),
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
  mayLack: true,
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
  mayLack: true,
  query: pageQuery,
  response: pageSchema,
  answer: (asked) => page(asked, amongAlerts(asked.query.search)),
});

/** The alerts among what a search finds. It is read on its own first: `a) OR (b` would be a search of everything. */
export function amongAlerts(text: string): string {
  const understood = writeSearch(readSearch(text));
  return understood === '' ? 'kind:alert' : `kind:alert (${understood})`;
}

async function page(asked: Asked<unknown, z.infer<typeof pageQuery>, unknown>, text: string) {
  const { caller, query, now, clickhouse } = asked;
  const { order, limit, store } = query;
  const of = digestOf(caller.orgId, text, order, ...(store === 'hot' ? [] : [store]));
  const cursor = query.cursor === undefined ? undefined : readCursor(query.cursor, of);
  const first = cursor?.now ?? now;
  const search = boundSearch(text, caller, first);
  const question = { over: store, filters: {}, ...frozen(search, first), order, limit, after: cursor?.at };
  const answer =
    store === 'hot'
      ? await searchEvents(clickhouse, undefined, question)
      : await searchCold(asked, archiveOf(asked.archive), question);
  const { events, next, hotDays, rows, segments } = answer;
  return {
    body: {
      events: events.map((event) =>
        Object.assign(shownEvent(event, caller), {
          store: event.store,
          leaf_index: typeof event['leaf_index'] === 'number' ? event['leaf_index'] : null,
        }),
      ),
      next: next === undefined ? null : writeCursor(of, first, next),
      search: search.text,
      until: first,
      hot_from: hotDays[0] ?? null,
      rows,
      segments: {
        read: segments.read,
        from_copies: segments.copiesRead,
        ruled_out: segments.ruledOut,
        served_hot: segments.servedHot,
        not_needed: segments.notNeeded,
        deleted: segments.deleted,
      },
    },
    facts: {
      search: search.text,
      rows: events.length,
      page: cursor !== undefined,
      ...(store === 'hot' ? {} : { store, segments: segments.read }),
    },
  };
}

/** The same over the archive. Each row that it gave is looked up once more, in the bytes that were signed. */
function searchCold(
  { caller, clickhouse }: Pick<Asked<unknown, unknown, unknown>, 'caller' | 'clickhouse'>,
  archive: ApiArchive,
  question: Question,
): Promise<Answer> {
  return archive.reading(async () => {
    const { segments } = await archive.state();
    const { collections, evidence, deployment } = archive;
    // The organisation rules out segments as well; the condition is what bounds the rows.
    const bound = { ...question, filters: { org_id: [caller.orgId] }, segmentsMax: SEGMENTS_MAX };
    try {
      const answer = await searchEvents(clickhouse, { collections, segments: async () => segments }, bound);
      const { events } = await placeFound(evidence, deployment, segments, answer.events, true);
      return { ...answer, events };
    } catch (error) {
      if (isFailure(error, 'clickhouse.refused') && /named collection/i.test(error.message))
        throw new Refusal(
          'not-configured',
          'ClickHouse does not know where the archive is: `cairn attach` tells it.',
        );
      throw error;
    }
  });
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
