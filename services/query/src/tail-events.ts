import { setTimeout as sleep } from 'node:timers/promises';
import { eventsIn, type FoundEvent, HOT, ROW_SETTINGS } from '@cairn/query';
import { z } from 'zod';
import { boundSearch, searchParameter } from './bound-search.ts';
import { shownEvent } from './event-schema.ts';
import { route } from './route.ts';

const EVERY_MS = 1_000;
const AT_ONCE_MAX = 500;

export const tailEventsRoute = route({
  id: 'tailEvents',
  method: 'get',
  path: '/v1/tail',
  summary:
    'Events as they become queryable, as server-sent events: each `event: event` has the event as its data.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'events/tail'],
  query: z.strictObject({ search: searchParameter }),
  response: z.string(),
  streams: ['text/event-stream'],
  async answer({ caller, query, now, clickhouse, signal }) {
    const { text, condition } = boundSearch(query.search, caller, now);
    let heads = await clickhouse.query<Head>(HEADS, {}, ROW_SETTINGS);
    let sent = 0;

    /** What came behind the heads in each partition of the log, in the order of the log. */
    async function* events(): AsyncGenerator<string> {
      yield ': the trail from now on\n\n';
      while (!signal.aborted) {
        const now = await clickhouse.query<Head>(HEADS, {}, ROW_SETTINGS);
        for (const { topic, partition, offset } of now) {
          const from =
            heads.find((head) => head.topic === topic && head.partition === partition)?.offset ?? -1;
          if (offset <= from) continue;
          const behind = `topic = {tail_topic:String} AND partition = {tail_partition:Int32} AND offset > {tail_from:Int64} AND offset <= {tail_to:Int64}`;
          const { sql, parameters } = eventsIn(HOT, {
            over: 'hot',
            filters: {},
            order: 'newest',
            limit: AT_ONCE_MAX,
            condition: {
              sql: `${condition.sql} AND ${behind}`,
              parameters: {
                ...condition.parameters,
                tail_topic: topic,
                tail_partition: partition,
                tail_from: from,
                tail_to: offset,
              },
            },
          });
          const found = await clickhouse.query<FoundEvent>(sql, parameters, ROW_SETTINGS);
          for (const event of found.toReversed()) {
            sent += 1;
            yield `id: ${topic}/${partition}/${event.offset}\nevent: event\ndata: ${JSON.stringify(shownEvent(event, caller))}\n\n`;
          }
          if (found.length === AT_ONCE_MAX) yield `event: skipped\ndata: {"at_most":${AT_ONCE_MAX}}\n\n`;
        }
        heads = now;
        yield ': \n\n';
        await sleep(EVERY_MS, undefined, { signal }).catch(() => {});
      }
    }
    return {
      stream: events(),
      contentType: 'text/event-stream',
      facts: { search: text },
      ended: () => ({ rows: sent }),
    };
  },
});

interface Head {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** From the projection of heads: whatever the table holds, it reads few rows. */
const HEADS = `SELECT toString(topic) AS topic, partition, max(offset) AS offset FROM cairn.events GROUP BY topic, partition`;
