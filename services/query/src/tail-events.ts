// Server-sent events (WHATWG HTML, 9.2), a block each:
//
//   retry: 2000          once: whoever is cut off asks again after so many milliseconds
//   id: <cursor>         once: where the tail begins
//
//   id: <cursor>         then each event, and how far the tail has come with it
//   event: event
//   data: {…}
//
//   id: <cursor>         every ten seconds in which nothing came. A block without data is no event, and its id counts all the same
//
//   : …                  before the service ends it, in order
//
// Who sends the last id as Last-Event-ID gets what came behind it, each event once. It is read slice by slice, so that of a long time
// away no more is held at once than of a short one.
import { setTimeout as sleep } from 'node:timers/promises';
import { dayOf, eventsIn, type FoundEvent, HOT, ROW_SETTINGS, readHotDays } from '@cairn/query';
import { z } from 'zod';
import { type BoundSearch, boundSearch, searchParameter } from './bound-search.ts';
import { digestOf } from './cursor.ts';
import { shownEvent } from './event-schema.ts';
import { type Asked, route, type Streamed } from './route.ts';
import { checkDays, checkHeads, type Head, readTailCursor, writeTailCursor } from './tail-cursor.ts';

/** Milliseconds. */
const PACES = {
  /** Between two looks at the table. */
  every: 1_000,
  heartbeat: 10_000,
  /** Then it ends in order, and whoever goes on is looked at again: whether the key still counts. */
  most: 600_000,
};
const RETRY_MS = 2_000;
/** Events of one reading. */
const AT_ONCE_MAX = 500;
/** Offsets of one partition that one statement looks through at first; four times as many where it found nothing. */
const SPAN = 20_000;

const tailQuery = z.strictObject({ search: searchParameter });
export type TailAsked = Asked<unknown, z.infer<typeof tailQuery>, unknown>;

export const tailEventsRoute = route({
  id: 'tailEvents',
  method: 'get',
  path: '/v1/tail',
  summary:
    'Events as they become queryable, as server-sent events: each `event: event` has the event as its data and, as its id, where the tail goes on.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'events/tail'],
  query: tailQuery,
  response: z.string(),
  streams: ['text/event-stream'],
  goesOn: true,
  answer: (asked) => openTail(asked),
});

export async function openTail(asked: TailAsked, paces = PACES): Promise<Streamed> {
  const { caller, query, now, clickhouse, deployment, lastEventId, signal } = asked;
  const search = boundSearch(query.search, caller, now);
  const of = digestOf(deployment, caller.orgId, query.search, 'tail');
  const began = performance.now();
  const clockMs = () => Math.floor(now / 1_000 + performance.now() - began);

  const heads = await readHeads(asked);
  const from = lastEventId === undefined ? undefined : readTailCursor(lastEventId, of);
  if (from !== undefined) {
    checkDays(from, (await readHotDays(clickhouse)).held);
    checkHeads(from, heads);
  }
  // Of each partition the last offset up to which all was sent, and when that was so of all of them.
  const sent = new Map((from?.heads ?? heads).map((head) => [keyOf(head), head]));
  let wholeMs = from?.at ?? clockMs();
  const cursor = () => writeTailCursor({ of, at: wholeMs, heads: [...sent.values()] });
  let rows = 0;

  /** What is of today is not dropped. Of an earlier day it is asked behind each reading, so that nothing behind a hole is sent. */
  const checkStillThere = async (): Promise<void> => {
    if (dayOf(wholeMs) === dayOf(clockMs())) return;
    checkDays({ at: wholeMs, heads: [...sent.values()] }, (await readHotDays(clickhouse)).held);
  };

  async function* events(): AsyncGenerator<string> {
    yield `retry: ${RETRY_MS}\nid: ${cursor()}\n\n`;
    let saidMs = performance.now();
    while (!signal.aborted && performance.now() - began < paces.most) {
      const roundMs = clockMs();
      for (const head of await readHeads(asked)) {
        const key = keyOf(head);
        const behind = sent.get(key)?.offset ?? NOTHING;
        for await (const { offset, event } of eventsUpTo(asked, search, head, behind, checkStillThere)) {
          sent.set(key, { ...head, offset });
          if (event === undefined) continue;
          rows += 1;
          saidMs = performance.now();
          yield `id: ${cursor()}\nevent: event\ndata: ${JSON.stringify(shownEvent(event, caller))}\n\n`;
        }
      }
      if (signal.aborted) break;
      wholeMs = roundMs;
      if (performance.now() - saidMs >= paces.heartbeat) {
        saidMs = performance.now();
        yield `id: ${cursor()}\n\n`;
      }
      await sleep(paces.every, undefined, { signal }).catch(() => {});
    }
    yield `: it ends here, and goes on with Last-Event-ID\nid: ${cursor()}\n\n`;
  }
  return {
    stream: events(),
    contentType: 'text/event-stream',
    endsInOrder: true,
    facts: { search: search.text, resumed: from !== undefined },
    ended: () => ({ rows }),
  };
}

/** Before the first offset. */
const NOTHING = -1;

const keyOf = ({ topic, partition }: Head): string => `${topic}/${partition}`;

/** From the projection of heads: whatever the table holds, it reads few rows. It tells nothing of other organisations. */
const readHeads = ({ clickhouse, caller }: TailAsked): Promise<Head[]> =>
  clickhouse.query<Head>(
    `SELECT toString(topic) AS topic, partition, max(offset) AS offset FROM cairn.events
     WHERE org_id = {tail_org:String} GROUP BY topic, partition ORDER BY topic, partition`,
    { tail_org: caller.orgId },
    ROW_SETTINGS,
  );

/**
 * What a search finds of one partition behind an offset and up to its head, in the order of the log; between the events how far it
 * was looked, where there are none.
 *
 * @param checkRead throws when what was just read may have lost something: then the stream breaks off, and going on says why.
 */
async function* eventsUpTo(
  { clickhouse, signal }: TailAsked,
  { condition }: Pick<BoundSearch, 'condition'>,
  { topic, partition, offset: head }: Head,
  from: number,
  checkRead: () => Promise<void>,
): AsyncGenerator<{ readonly offset: number; readonly event?: FoundEvent }> {
  let [at, span] = [from, SPAN];
  const within = (to: number) => ({
    sql: `${condition.sql} AND topic = {tail_topic:String} AND partition = {tail_partition:Int32} AND offset > {tail_from:Int64} AND offset <= {tail_to:Int64}`,
    parameters: {
      ...condition.parameters,
      tail_topic: topic,
      tail_partition: partition,
      tail_from: at,
      tail_to: to,
    },
  });
  while (at < head && !signal.aborted) {
    let to = Math.min(head, at + span);
    let isEmpty = false;
    // So few offsets hold no more events than are read at once; of more it is looked first how far the first of them go.
    if (to - at > AT_ONCE_MAX) {
      const { sql, parameters } = within(to);
      const [edge] = await clickhouse.query<{ events: number; last: number }>(
        `SELECT toUInt32(count()) AS events, max(offset) AS last FROM (
           SELECT offset FROM cairn.events WHERE ${sql} ORDER BY offset LIMIT ${AT_ONCE_MAX})`,
        parameters,
        ROW_SETTINGS,
      );
      isEmpty = edge === undefined || edge.events === 0;
      if (edge?.events === AT_ONCE_MAX) to = edge.last;
    }
    let found: FoundEvent[] = [];
    if (!isEmpty) {
      const { sql, parameters } = eventsIn(HOT, {
        over: 'hot',
        filters: {},
        order: 'oldest',
        limit: AT_ONCE_MAX,
        condition: within(to),
      });
      found = await clickhouse.query<FoundEvent>(sql, parameters, ROW_SETTINGS);
    }
    await checkRead();
    for (const event of found.toSorted((one, other) => one.offset - other.offset))
      yield { offset: event.offset, event };
    span = isEmpty ? span * 4 : SPAN;
    at = to;
    yield { offset: at };
  }
}
