// A live tail over a table in memory: whoever is cut off anywhere and goes on has each event once.
import type { ClickHouse } from '@cairn/adapters';
import { dayOf } from '@cairn/query';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openTail, type TailAsked } from './tail-events.ts';

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 10, 20, 12);

interface Row {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly event_id: string;
  readonly dayMs: number;
}

/** The table, as far as a tail asks it. */
class Table {
  rows: Row[] = [];
  statements = 0;
  readonly #next = new Map<string, number>();

  /** @param gap offsets of others before each row. */
  load(partition: number, count: number, gap = 0, dayMs = NOW_MS): void {
    const topic = `audit.events.${partition % 2 === 0 ? 'standard' : 'health'}`;
    for (let at = 0; at < count; at += 1) {
      const offset = (this.#next.get(`${topic}/${partition}`) ?? 0) + gap;
      this.#next.set(`${topic}/${partition}`, offset + 1);
      this.rows.push({ topic, partition, offset, event_id: `${partition}-${offset}`, dayMs });
    }
  }

  readonly clickhouse = {
    query: async (sql: string, parameters: Record<string, unknown> = {}) => {
      this.statements += 1;
      if (sql.includes('system.parts'))
        return [...new Set(this.rows.map(({ dayMs }) => dayOf(dayMs)))].map((day) => ({
          store: 'held',
          day,
        }));
      if (sql.includes('GROUP BY topic')) {
        expect(parameters).toEqual({ tail_org: 'acme' });
        return [...Map.groupBy(this.rows, ({ topic, partition }) => `${topic}/${partition}`).values()].map(
          (some) => ({ ...some[0]!, offset: Math.max(...some.map(({ offset }) => offset)) }),
        );
      }
      expect(parameters).toMatchObject({ search_org: 'acme' });
      const { tail_topic: topic, tail_partition: partition } = parameters;
      const [from, to] = [Number(parameters['tail_from']), Number(parameters['tail_to'])];
      const found = this.rows
        .filter((row) => row.topic === topic && row.partition === partition)
        .filter(({ offset }) => offset > from && offset <= to)
        .sort((one, other) => one.offset - other.offset)
        .slice(0, 500);
      if (sql.includes('AS events')) return [{ events: found.length, last: found.at(-1)?.offset ?? 0 }];
      // By their own time, which is not their order in the log.
      return found.toReversed();
    },
  } as unknown as ClickHouse;
}

let table: Table;
let stopping: AbortController;
beforeEach(() => {
  [table, stopping] = [new Table(), new AbortController()];
});
afterEach(() => stopping.abort());

const PACES = { every: 1, heartbeat: 60_000, most: 60_000 };

const open = (lastEventId?: string, more: Partial<TailAsked> = {}, paces = PACES) =>
  openTail(
    {
      caller: { orgId: 'acme', role: 'auditor', scopes: ['trail'], id: 'key:1', auth: 'api_key' },
      query: { search: 'kind:tool_call' },
      now: NOW_MS * 1_000,
      deployment: 'demo',
      clickhouse: table.clickhouse,
      lastEventId,
      signal: stopping.signal,
      ...more,
    } as TailAsked,
    paces,
  );

interface Block {
  readonly id: string | undefined;
  readonly event: string | undefined;
}

/** As a browser reads it: the id of a block counts whether it has data or not. */
const read = (block: string): Block => {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
  const data = field('data');
  return {
    id: field('id'),
    event: data === undefined ? undefined : (JSON.parse(data) as { event_id: string }).event_id,
  };
};

/** The first events of a tail and the last id that came with them. */
async function take(
  count: number,
  lastEventId?: string,
  more: Partial<TailAsked> = {},
): Promise<{ events: string[]; id: string }> {
  const tail = (await open(lastEventId, more)).stream[Symbol.asyncIterator]();
  const events: string[] = [];
  let id = '';
  for (;;) {
    const { value } = (await tail.next()) as { value: string };
    const block = read(value);
    id = block.id ?? id;
    if (block.event !== undefined) events.push(block.event);
    if (events.length >= count) break;
  }
  await tail.return?.();
  return { events, id };
}

const idsOf = (rows: readonly Row[]): string[] => rows.map(({ event_id: id }) => id);

describe('a live tail', () => {
  test('begins with when to ask again and with an id, before any event came', async () => {
    table.load(0, 3);
    const { stream } = await open();
    const { value } = (await stream[Symbol.asyncIterator]().next()) as { value: string };
    expect(value).toMatch(/^retry: 2000\nid: [\w-]+\n\n$/);
    table.load(0, 2);
    table.load(5, 1);
    const { events } = await take(3, read(value).id);
    expect(events.toSorted()).toEqual(idsOf(table.rows.slice(3)).toSorted());
  });

  test('that is cut off anywhere, as often as one likes, gives each event once and none too few', async () => {
    const loads = fc.array(
      fc.record({
        partition: fc.nat(3),
        count: fc.integer({ min: 1, max: 700 }),
        gap: fc.constantFrom(0, 0, 3, 90),
      }),
      { minLength: 1, maxLength: 6 },
    );
    await fc.assert(
      fc.asyncProperty(loads, fc.array(fc.nat(800), { maxLength: 5 }), async (given, cuts) => {
        table = new Table();
        table.load(0, 5);
        let { id } = await take(0);
        const seen: string[] = [];
        const before = table.rows.length;
        for (const { partition, count, gap } of given) {
          table.load(partition, count, gap);
          const left = table.rows.length - before - seen.length;
          const cut = await take(Math.min(left, cuts.shift() ?? 0), id);
          seen.push(...cut.events);
          id = cut.id;
        }
        const left = table.rows.length - before - seen.length;
        if (left > 0) seen.push(...(await take(left, id)).events);
        expect(seen.toSorted()).toEqual(idsOf(table.rows.slice(before)).toSorted());
        for (const partition of [0, 1, 2, 3]) {
          const offsets = seen
            .filter((one) => one.startsWith(`${partition}-`))
            .map((one) => Number(one.slice(2)));
          expect(offsets).toEqual(offsets.toSorted((one, other) => one - other));
        }
      }),
      { numRuns: 25 },
    );
  });

  test('looks over millions of offsets of others in a few statements', async () => {
    table.load(0, 1);
    const { id } = await take(0);
    table.load(0, 2, 50_000_000);
    table.statements = 0;
    expect((await take(2, id)).events).toHaveLength(2);
    expect(table.statements).toBeLessThan(60);
  });

  test('says in silence that it is there, with an id that has come further', async () => {
    table.load(0, 1);
    const tail = (await open(undefined, {}, { ...PACES, heartbeat: 5 })).stream[Symbol.asyncIterator]();
    await tail.next();
    const { value } = (await tail.next()) as { value: string };
    expect(value).toMatch(/^id: [\w-]+\n\n$/);
    expect(await take(0, read(value).id)).toBeDefined();
  });

  test('ends in order when the service stops and after its time, and says where it goes on', async () => {
    table.load(0, 1);
    const whole = async (paces: typeof PACES): Promise<string> => {
      let text = '';
      for await (const piece of (await open(undefined, {}, paces)).stream) text += piece;
      return text;
    };
    expect(await whole({ ...PACES, most: 20 })).toMatch(/: it ends here.*\nid: [\w-]+\n\n$/);
    setTimeout(() => stopping.abort(), 10);
    expect(await whole(PACES)).toMatch(/: it ends here.*\nid: [\w-]+\n\n$/);
  });

  test('that loses a day while it is read sends nothing from behind the hole, and does not go on', async () => {
    const [yesterday, dayBefore] = [NOW_MS - DAY_MS, NOW_MS - 2 * DAY_MS];
    table.load(0, 1, 0, dayBefore - DAY_MS);
    const { id } = await take(0, undefined, { now: dayBefore * 1_000 });
    table.load(0, 300, 0, dayBefore);
    table.load(0, 300, 0, yesterday);
    // After so many statements the first two days are gone.
    let left = 4;
    const { stream } = await open(id, {
      clickhouse: {
        query: async (sql: string, parameters: never) => {
          left -= 1;
          if (left === 0) table.rows = table.rows.filter(({ dayMs }) => dayMs === yesterday);
          return table.clickhouse.query(sql, parameters);
        },
      } as unknown as ClickHouse,
    });
    const seen: string[] = [];
    const reading = (async () => {
      for await (const piece of stream) seen.push(String(piece));
    })();
    await expect(reading).rejects.toMatchObject({ code: 'cursor.expired' });
    expect(seen.join('')).not.toContain('event: event');
    await expect(open(read(seen.at(-1)!).id)).rejects.toMatchObject({ code: 'cursor.expired' });
  });

  test('goes on over days that stay', async () => {
    table.load(0, 1, 0, NOW_MS - 3 * DAY_MS);
    const { id } = await take(0, undefined, { now: (NOW_MS - 2 * DAY_MS) * 1_000 });
    for (const days of [2, 1, 0]) table.load(days, 700, 0, NOW_MS - days * DAY_MS);
    expect((await take(2_100, id)).events).toHaveLength(2_100);
  });
});

describe('an id of a live tail', () => {
  const refused = (id: string | undefined, more: Partial<TailAsked> = {}) => expect(open(id, more)).rejects;

  test('is refused when the table has lost a day behind it, and stands as long as it has not', async () => {
    table.load(0, 1, 0, NOW_MS - 3 * DAY_MS);
    table.load(0, 1, 0, NOW_MS - 1 * DAY_MS);
    const { id } = await take(0);
    table.load(0, 1, 0, NOW_MS + DAY_MS);
    // Its own day has nothing and the day before is there: nothing of it can be missing.
    expect((await take(1, id)).events).toHaveLength(1);
    table.rows = table.rows.filter(({ dayMs }) => dayMs > NOW_MS);
    await refused(id).toMatchObject({
      code: 'cursor.expired',
      message: expect.stringContaining('received from 2026-11-21 on'),
    });
    table.rows = [];
    await refused(id).toMatchObject({ code: 'cursor.expired' });
  });

  test('of another search, organisation or installation, and what is none, is refused', async () => {
    table.load(0, 1);
    const { id } = await take(0);
    await refused(id, { query: { search: 'kind:alert' } }).toMatchObject({ code: 'cursor.invalid' });
    await refused(id, { deployment: 'other' }).toMatchObject({ code: 'cursor.invalid' });
    const stranger = {
      orgId: 'other',
      role: 'auditor',
      scopes: ['trail'],
      id: 'k',
      auth: 'api_key',
    } as const;
    table.clickhouse.query = async () => [];
    await refused(id, { caller: stranger }).toMatchObject({ code: 'cursor.invalid' });
    for (const none of ['audit.events.standard/0/7', 'e30', id.slice(1), 'A'.repeat(30_000)])
      await refused(none).toMatchObject({ code: 'cursor.invalid' });
  });

  test('that has seen more than the table holds is told to come again, since that is being loaded', async () => {
    table.load(0, 5);
    const { id } = await take(0);
    table.rows.pop();
    await refused(id).toMatchObject({ code: 'unavailable' });
    table.load(0, 2);
    // What is left of a partition may be nothing at all; then its days were dropped, and others are there.
    table.load(2, 1);
    table.rows = table.rows.filter(({ partition }) => partition === 2);
    expect((await take(1, id)).events).toEqual(['2-0']);
  });
});
