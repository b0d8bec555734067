import { describe, expect, test } from '@jest/globals';
import { DAY_MS, dayOf } from './day.ts';
import type { Segment } from './plan-cold.ts';
import type { Question } from './question.ts';
import type { Database } from './read-hot-days.ts';
import { type Answer, searchEvents } from './search-events.ts';

const BEGIN_MS = Date.parse('2026-01-01T00:00:00Z');
const DAYS = 4;
const PER_DAY = 6;

/** One event every four hours on each of four days. The segments: two for each day, one of them across midnight. */
const EVENTS = Array.from({ length: DAYS * PER_DAY }, (_, offset) => ({
  topic: 't',
  partition: 0,
  offset,
  received_at: BEGIN_MS + offset * (DAY_MS / PER_DAY),
  timestamp: (BEGIN_MS + offset * (DAY_MS / PER_DAY)) * 1_000,
  leaf_hash: `leaf ${offset}`,
  event_id: ['0', '7000800000000000000a'],
  call_id: ['0', null],
  latency_ms: null,
}));
type Row = (typeof EVENTS)[number];
const dayOfRow = ({ received_at: ms }: Row): string => dayOf(ms);
const SEGMENT_ROWS = 4;

const SEGMENTS = Array.from({ length: EVENTS.length / SEGMENT_ROWS }, (_, index): Segment => {
  const rows = EVENTS.slice(index * SEGMENT_ROWS, (index + 1) * SEGMENT_ROWS);
  const first = rows[0]!;
  const last = rows.at(-1)!;
  const manifest = {
    origin: 'd/t/0',
    first: first.offset,
    end: last.offset + 1,
    objects: [{ key: `segment/t/0/${first.offset}`, schema: 1 } as Segment['manifest']['objects'][number]],
    received: { min: first.received_at, max: last.received_at },
    timestamps: { min: first.timestamp, max: last.timestamp },
    streams: [{ org: 'acme', gateway: 'gw-1' } as Segment['manifest']['streams'][number]],
  };
  return { manifest, isDeleted: false, copy: undefined };
});

/** ClickHouse as far as a search knows it: rows of the hot table, of restored days, and the segments where they lie. */
class Fake implements Database {
  readonly hot = new Set<string>();
  readonly restored = new Map<string, number>();
  /** Offsets that are not in the hot table yet. */
  absent: ReadonlySet<number> = new Set();
  /** Called before each statement. */
  before: (sql: string) => void = () => {};
  readonly keysRead: string[] = [];

  async query<R>(sql: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<R[]> {
    this.before(sql);
    return this.#answer(sql, parameters) as R[];
  }

  #answer(sql: string, parameters: Readonly<Record<string, unknown>>): unknown[] {
    if (sql.includes('system.parts'))
      return [
        ...[...this.restored].map(([day, segments]) => ({ store: 'restored', day, org: '', segments })),
        ...[...this.hot].map((day) => ({ store: 'held', day, org: '', segments: 0 })),
      ];
    let rows: Row[];
    const on = parameters['on'] as string[] | undefined;
    if (sql.includes('FROM cairn.events'))
      rows = EVENTS.filter(
        (row) => this.hot.has(dayOfRow(row)) && (on?.includes(dayOfRow(row)) ?? true),
      ).filter(({ offset }) => !this.absent.has(offset));
    else if (sql.includes('FROM cairn.restored_events'))
      rows = EVENTS.filter((row) => on?.includes(dayOfRow(row)));
    else {
      const keys = String(parameters['keys']).replaceAll(/[{}]/g, '').split(',');
      this.keysRead.push(...keys);
      const notOn = (parameters['not_on'] as string[] | undefined) ?? [];
      rows = keys
        .flatMap((key) => {
          const first = Number(key.split('/').at(-1));
          return EVENTS.slice(first, first + SEGMENT_ROWS);
        })
        .filter((row) => !notOn.includes(dayOfRow(row)));
    }
    const sign = sql.includes('DESC') ? -1 : 1;
    const { from = 0, to = Number.MAX_SAFE_INTEGER, limit } = parameters;
    const found = rows
      .filter(({ timestamp }) => timestamp >= Number(from) && timestamp < Number(to))
      .sort((one, other) => sign * (one.offset - other.offset))
      .slice(0, Number(limit));
    if (!sql.includes(' AS edge')) return found;
    const days = [...new Set(found.map(dayOfRow))];
    return [{ events: found.length, edge: found.at(-1)?.timestamp ?? 0, days }];
  }
}

const ask = (database: Database, more: Partial<Question> = {}, segments = SEGMENTS): Promise<Answer> =>
  searchEvents(
    database,
    { collections: { archive: 'a', copies: 'c' }, segments: async () => segments },
    { over: 'both', filters: {}, order: 'newest', limit: 100, ...more },
  );
const offsetsOf = ({ events }: Answer): number[] => events.map(({ offset }) => offset);
const NEWEST = EVENTS.map(({ offset }) => offset).reverse();

describe('a search over both stores', () => {
  test('gives each event once, wherever the boundary between the stores lies', async () => {
    for (let split = 0; split <= DAYS; split += 1) {
      const database = new Fake();
      for (let day = split; day < DAYS; day += 1) database.hot.add(dayOf(BEGIN_MS + day * DAY_MS));
      const answer = await ask(database);
      expect(offsetsOf(answer)).toEqual(NEWEST);
      expect(answer.rows).toEqual({
        hot: (DAYS - split) * PER_DAY,
        restored: 0,
        copy: 0,
        archive: split * PER_DAY,
      });
      const { read, servedHot } = answer.segments;
      expect(read + servedHot).toBe(SEGMENTS.length);
      expect(read).toBe(Math.ceil((split * PER_DAY) / SEGMENT_ROWS));
    }
  });

  test('gives the same to who asks in the present, and reads whole rows of no more than the page', async () => {
    for (const now of [BEGIN_MS, BEGIN_MS + 2 * DAY_MS, BEGIN_MS + DAYS * DAY_MS, BEGIN_MS + 90 * DAY_MS])
      for (const order of ['newest', 'oldest'] as const)
        for (const limit of [1, 5, 24, 100])
          for (const from of [undefined, (BEGIN_MS + DAY_MS) * 1_000]) {
            const database = new Fake();
            for (let day = 0; day < DAYS; day += 1) database.hot.add(dayOf(BEGIN_MS + day * DAY_MS));
            const asked = { order, limit, from, over: 'hot' } as const;
            const wanted = await ask(database, asked);
            let halves = 0;
            database.before = (sql) => {
              if (sql.includes('FROM cairn.events') && !sql.includes(' AS edge')) halves += 1;
            };
            expect(await ask(database, { ...asked, now: now * 1_000 })).toEqual(wanted);
            expect(halves).toBe(2);
          }
  });

  test('has the ids of hot events put together', async () => {
    const database = new Fake();
    database.hot.add('2026-01-01');
    const { events } = await ask(database, { over: 'hot', order: 'oldest', limit: 1 });
    const ms = BEGIN_MS.toString(16).padStart(12, '0');
    expect(events).toMatchObject([
      { event_id: `${ms.slice(0, 8)}-${ms.slice(8)}-7000-8000-00000000000a`, call_id: null },
    ]);
  });

  test('reads no whole row where the narrow look has found none', async () => {
    const database = new Fake();
    const seen: string[] = [];
    database.before = (sql) => void seen.push(sql);
    const { events } = await ask(database, { over: 'hot', now: BEGIN_MS * 1_000 });
    expect(events).toEqual([]);
    expect(seen.filter((sql) => sql.includes('FROM cairn.events') && !sql.includes(' AS edge'))).toEqual([]);
  });

  test('takes a restored day from ClickHouse and not from the archive', async () => {
    const database = new Fake();
    database.hot.add('2026-01-04');
    // Days 1 to 3 of 6 events in segments of 4: each day touches two.
    database.restored.set('2026-01-02', 2);
    const answer = await ask(database);
    expect(offsetsOf(answer)).toEqual(NEWEST);
    expect(answer.rows).toEqual({ hot: 6, restored: 6, copy: 0, archive: 12 });
    expect(answer.restoredDays).toEqual(['2026-01-02']);
  });

  test('reads no segment that cannot change the answer', async () => {
    const database = new Fake();
    const answer = await ask(database, { limit: 3 });
    expect(offsetsOf(answer)).toEqual(NEWEST.slice(0, 3));
    expect(answer.segments).toMatchObject({ read: 2, notNeeded: 4 });
    const oldest = await ask(database, { limit: 5, order: 'oldest' });
    expect(offsetsOf(oldest)).toEqual([0, 1, 2, 3, 4]);
  });

  test('reads no more segments than it may: what is not full by then is refused, and not cut short', async () => {
    expect((await ask(new Fake(), { limit: 3, segmentsMax: 2 })).segments.read).toBe(2);
    expect((await ask(new Fake(), { segmentsMax: SEGMENTS.length })).segments.read).toBe(SEGMENTS.length);
    const database = new Fake();
    await expect(ask(database, { segmentsMax: SEGMENTS.length - 1 })).rejects.toMatchObject({
      code: 'question.too-large',
      retry: 'no',
    });
    expect(database.keysRead.length).toBeLessThan(SEGMENTS.length);
  });

  test('begins again when a day leaves the hot store while it looks, and loses nothing', async () => {
    const database = new Fake();
    for (const day of ['2026-01-03', '2026-01-04']) database.hot.add(day);
    let asked = 0;
    database.before = (sql) => {
      if (!sql.includes('FROM cairn.events')) return;
      asked += sql.includes(' AS edge') ? 1 : 0;
      database.hot.delete('2026-01-03');
    };
    const answer = await ask(database);
    expect(asked).toBe(2);
    expect(offsetsOf(answer)).toEqual(NEWEST);
    expect(answer.hotDays).toEqual(['2026-01-04']);
  });

  test('gives up when days keep leaving, and says so', async () => {
    const database = new Fake();
    for (let day = 0; day < DAYS; day += 1) database.hot.add(dayOf(BEGIN_MS + day * DAY_MS));
    database.before = (sql) => {
      if (sql.includes(' AS edge')) database.hot.delete([...database.hot].sort()[0]!);
    };
    await expect(ask(database)).rejects.toMatchObject({ code: 'question.unsettled', retry: 'later' });
  });

  test('begins again when a day leaves between the two looks at it, so that no page ends before the last event', async () => {
    const database = new Fake();
    for (let day = 0; day < DAYS; day += 1) database.hot.add(dayOf(BEGIN_MS + day * DAY_MS));
    let looks = 0;
    database.before = (sql) => {
      if (!sql.includes('FROM cairn.events')) return;
      looks += 1;
      if (looks === 2) database.hot.delete('2026-01-01');
    };
    const page = await ask(database, { over: 'hot', order: 'oldest', limit: 5 });
    expect(offsetsOf(page)).toEqual([6, 7, 8, 9, 10]);
    expect(page.next).toMatchObject({ offset: 10 });
    expect(looks).toBe(6);
  });

  test('is asked whole when an event was loaded between the halves of its answer', async () => {
    const database = new Fake();
    for (const day of ['2026-01-01', '2026-01-02']) database.hot.add(day);
    const seen: string[] = [];
    database.before = (sql) => {
      if (!sql.includes('FROM cairn.events')) return;
      seen.push(sql);
      // The first half was asked; the second one and what follows see one more event.
      database.absent = seen.length < 3 ? new Set([4]) : new Set();
    };
    const { events } = await ask(database, { over: 'hot', limit: 3, to: EVENTS[6]!.timestamp });
    expect(events.map(({ offset }) => offset)).toEqual([5, 4, 3]);
    expect(seen).toHaveLength(4);
    for (const half of seen.slice(1, 3)) expect(seen[3]!.length).toBeGreaterThan(half.length);
  });

  test('takes an event once that both stores give', async () => {
    const database = new Fake();
    database.hot.add('2026-01-01');
    database.before = (sql) => {
      // A day that appears between the plan and the question: then both have it.
      if (sql.includes('FROM cairn.events')) database.hot.add('2026-01-02');
    };
    const answer = await ask(database);
    expect(offsetsOf(answer)).toEqual(NEWEST);
    expect(answer.rows.hot).toBe(12);
  });

  test('counts what was deleted under policy, and does not ask for it', async () => {
    const database = new Fake();
    const segments = SEGMENTS.map((segment, at) => ({ ...segment, isDeleted: at === 1 }));
    const answer = await ask(database, {}, segments);
    expect(answer.segments).toMatchObject({ read: 5, deleted: 1 });
    expect(offsetsOf(answer)).toEqual(NEWEST.filter((offset) => offset < 4 || offset >= 8));
    expect(database.keysRead).not.toContain('segment/t/0/4');
  });
});

describe('a search over one store', () => {
  test('asks the archive for nothing when hot is asked, and the hot table for nothing when cold is', async () => {
    const database = new Fake();
    database.hot.add('2026-01-04');
    expect(offsetsOf(await ask(database, { over: 'hot' }))).toEqual(NEWEST.slice(0, 6));
    expect(database.keysRead).toEqual([]);
    database.before = (sql) => expect(sql).not.toContain('cairn.events');
    expect(offsetsOf(await ask(database, { over: 'cold' }))).toEqual(NEWEST);
  });
});

test('a question that cannot be asked is refused with the reason', async () => {
  const refused = (more: Partial<Question>) =>
    expect(ask(new Fake(), more)).rejects.toMatchObject({ code: 'question.invalid' });
  await refused({ limit: 0 });
  await refused({ limit: 10_001 });
  await refused({ from: 1.5 });
  await refused({ filters: { nonsense: ['x'] } as Question['filters'] });
  await refused({ filters: { tool_name: Array.from({ length: 1_001 }, () => 'x') } });
});
