import { Failure } from '@cairn/failure';
import type { Day } from './day.ts';
import { type IdParts, type IdTimes, idsOf } from './id-parts.ts';
import { isBehind, planCold, type Segment } from './plan-cold.ts';
import { type HotDays, restoredDaysFor } from './plan-hot.ts';
import { byPlace, checkQuestion, type EventPlace, type Question } from './question.ts';
import { type Database, readHotDays } from './read-hot-days.ts';
import { windowsOf } from './search-windows.ts';
import {
  ANSWER_SETTINGS,
  avroSource,
  type Collections,
  copySource,
  type Edge,
  edgeIn,
  eventsIn,
  HOT,
  halvesIn,
  RESTORED,
  SEARCH_SETTINGS,
  type Statement,
} from './statements.ts';

/** What a search needs of the archive. */
export interface Archive {
  readonly collections: Collections;
  /** All segments of all logs, deleted ones too. */
  segments(): Promise<readonly Segment[]>;
}

/** - `hot`: cairn.events. - `restored`: what was loaded back. - `copy`, `archive`: read where it lies. */
export type Store = 'hot' | 'restored' | 'copy' | 'archive';

/** An event as it was found: fields under the names of the schema, ids as UUIDs, bytes in hex, times in microseconds. */
export interface FoundEvent extends EventPlace {
  readonly [field: string]: unknown;
  readonly store: Store;
  /** Milliseconds since 1970. */
  readonly received_at: number;
  /** Hex; null when the row was read from a segment, where it is a hash over the bytes and no value. */
  readonly leaf_hash: string | null;
}

export interface Answer {
  /** In the order that was asked for, each event once. */
  readonly events: readonly FoundEvent[];
  /** Of `events`, by the store that gave them. */
  readonly rows: Readonly<Record<Store, number>>;
  /** Days for which ClickHouse answered. What was received on any other day came from the archive. */
  readonly hotDays: readonly Day[];
  readonly restoredDays: readonly Day[];
  readonly segments: {
    readonly read: number;
    /** Of these, read from their query copies. */
    readonly copiesRead: number;
    /** That hold no match, by their manifests. */
    readonly ruledOut: number;
    /** That only hold what ClickHouse answered for. */
    readonly servedHot: number;
    /** That cannot change the answer, which was full before. */
    readonly notNeeded: number;
    /** That may have held a match and were deleted under policy. */
    readonly deleted: number;
  };
  /** Place of the last event, to ask for the next page; undefined when there is nothing behind it. */
  readonly next: EventPlace | undefined;
}

/** Segments that are read with one statement. */
const TOGETHER = 16;
/** Times that a search begins again because days left the hot store while it looked. */
const ATTEMPTS = 3;

/**
 * Finds events over hot, cold or both. Which store answers for an event is decided by the day on which the broker appended it:
 * what the hot table has dropped is read from the restored table where it was loaded back, and else from the segments that the
 * manifests do not rule out. So both stores give an event once; if they should not, it is taken once by partition and offset.
 *
 * @param archive undefined when hot alone is asked.
 * @throws Failure `question.invalid`; `question.too-large` (no) when more segments would have to be read than it allows;
 *   `question.unsettled` (later) when days kept leaving the hot store; of the stores.
 */
export async function searchEvents(
  database: Database,
  archive: Archive | undefined,
  question: Question,
): Promise<Answer> {
  checkQuestion(question);
  const segments = question.over === 'hot' ? undefined : await archiveOf(archive).segments();
  for (let attempt = 1; ; attempt += 1) {
    // What is hot. Which days that are decides what the archive is asked for, so it is read before; where the archive is not
    // asked, it is read meanwhile.
    const hot: Gathered = { events: [], copiesRead: 0 };
    const [before, wasWhole] = await Promise.all([
      question.over === 'cold' ? NOTHING_HOT : readHotDays(database),
      question.over === 'hot' ? gatherHot(hot, database, question) : true,
    ]);
    const restoredDays =
      question.over === 'cold' ? new Set<Day>() : restoredDaysFor(question, before, segments);
    const served = new Set([...before.held, ...restoredDays]);
    const isWhole = question.over === 'both' ? await gatherHot(hot, database, question) : wasWhole;
    if (restoredDays.size > 0)
      await gather(hot, database, 'restored', eventsIn(RESTORED, question, { on: [...restoredDays] }));

    // A day that was dropped meanwhile may be missing above, and is not asked for below.
    const isDecided = question.over === 'both' || restoredDays.size > 0;
    const after = isDecided ? await readHotDays(database) : before;
    if (!isWhole || !isStill(before, after, restoredDays)) {
      if (attempt === ATTEMPTS) throw unsettled();
      continue;
    }

    // What only the archive holds.
    const plan = planCold(question, segments ?? [], served);
    const cold = await readSegments(database, archive, question, plan.segments, [...served], hot.events);

    const events = firstOf([...hot.events, ...cold.events], question);
    const { ruledOut, servedHot, deleted } = plan;
    return {
      events,
      rows: countRows(events),
      hotDays: before.held,
      restoredDays: [...restoredDays].sort(),
      segments: {
        read: cold.read,
        copiesRead: cold.copiesRead,
        ruledOut,
        servedHot,
        notNeeded: plan.segments.length - cold.read,
        deleted,
      },
      next: events.length === question.limit ? placeOf(events.at(-1)!) : undefined,
    };
  }
}

const NOTHING_HOT: HotDays = { held: [], restored: [] };

interface Gathered {
  events: FoundEvent[];
  copiesRead: number;
}

/** Some segments after the other, until nothing in those that are left can come before what was found. */
async function readSegments(
  database: Database,
  archive: Archive | undefined,
  question: Question,
  segments: readonly Segment[],
  served: readonly Day[],
  hot: readonly FoundEvent[],
): Promise<Gathered & { readonly read: number }> {
  const cold: Gathered = { events: [], copiesRead: 0 };
  let read = 0;
  // The first few alone: an answer is often full after them.
  for (let count = 2; read < segments.length; count = Math.min(count * 2, TOGETHER)) {
    const full = firstOf([...hot, ...cold.events], question);
    const last = full.length === question.limit ? full.at(-1) : undefined;
    if (last !== undefined && isBehind(segments[read]!, last.timestamp, question.order)) break;
    const some = segments.slice(read, read + count);
    if (read + some.length > (question.segmentsMax ?? Number.MAX_SAFE_INTEGER))
      throw tooLarge(segments.length);
    const { collections } = archiveOf(archive);
    for (const { store, source } of sourcesOf(collections, some))
      await gather(cold, database, store, eventsIn(source, question, { notOn: served }));
    cold.copiesRead += some.filter(({ copy }) => copy !== undefined).length;
    cold.events = firstOf(cold.events, question);
    read += some.length;
  }
  return { ...cold, read };
}

function* sourcesOf(collections: Collections, segments: readonly Segment[]) {
  const copies = segments.flatMap(({ copy }) => (copy === undefined ? [] : [copy]));
  if (copies.length > 0) yield { store: 'copy', source: copySource(collections.copies, copies) } as const;
  const objects = segments
    .filter(({ copy }) => copy === undefined)
    .flatMap(({ manifest }) => manifest.objects);
  for (const [schemaId, of] of Map.groupBy(objects, ({ schema }) => schema)) {
    const keys = of.map(({ key }) => key);
    yield { store: 'archive', source: avroSource(collections.archive, schemaId, keys) } as const;
  }
}

/**
 * The first events of the hot table, found in two steps. Window after window it is looked how far the first ones go and on which days
 * they came, which reads a few columns; then all columns are read of that time and of those days alone, since each day that a wide
 * statement has to plan for costs as much as what it reads there.
 *
 * @returns false when a day was dropped between the two: then what was found is not all there.
 */
async function gatherHot(into: Gathered, database: Database, question: Question): Promise<boolean> {
  const found = await edgeOf(database, question);
  if (found === undefined) return true;
  const within = question.order === 'newest' ? { from: found.edge } : { to: found.edge + 1 };
  const [bounded, on] = [{ ...question, ...within }, { on: found.days }];
  const [one = [], other = []] = await Promise.all(
    halvesIn(bounded, on).map(({ sql, parameters }) =>
      database.query<Half>(sql, parameters, { ...settingsOf(parameters), max_threads: 1 }),
    ),
  );
  const whole = joined(one, other);
  // Where an event was loaded between the two halves, they may not be of the same ones.
  if (whole === undefined) await gather(into, database, 'hot', eventsIn(HOT, bounded, on));
  else into.events.push(...whole);
  return into.events.length >= found.events;
}

/** Some of an event's fields, its two ids in parts. Together, two halves have all. */
type Half = EventPlace & IdParts & IdTimes & Pick<FoundEvent, 'received_at' | 'leaf_hash'>;

/** The halves of each event together; undefined when they are not of the same events. */
function joined(one: readonly Half[], other: readonly Half[]): FoundEvent[] | undefined {
  const rest = new Map(other.map((row) => [keyOf(row), row]));
  const whole = one.flatMap((row) => {
    const its = rest.get(keyOf(row));
    if (its === undefined) return [];
    const event = { ...row, ...its, store: 'hot' as const };
    // In place: a copy of so many fields takes longer than all else that is done with them here.
    return [Object.assign(event, idsOf(event))];
  });
  return whole.length === one.length && whole.length === other.length ? whole : undefined;
}

/** Where all of the first events lie; undefined when there are none. */
async function edgeOf(database: Database, question: Question): Promise<Edge | undefined> {
  const windows = windowsOf(question);
  let all: Edge | undefined;
  for (let window = windows.next(0); !window.done; ) {
    const limit = question.limit - (all?.events ?? 0);
    const { sql, parameters } = edgeIn(HOT, { ...question, ...window.value, limit });
    const [row] = await database.query<Edge>(sql, parameters, settingsOf(parameters));
    // An aggregate over nothing is a row as well.
    const found = row !== undefined && row.events > 0 ? row : undefined;
    if (found !== undefined)
      all = {
        events: (all?.events ?? 0) + found.events,
        edge: found.edge,
        days: [...new Set([...(all?.days ?? []), ...found.days])],
      };
    window = windows.next(found?.events ?? 0);
  }
  return all;
}

async function gather(
  into: Gathered,
  database: Database,
  store: Store,
  { sql, parameters }: Statement,
): Promise<void> {
  const rows = await database.query<Omit<FoundEvent, 'store'>>(sql, parameters, settingsOf(parameters));
  into.events.push(...rows.map((row) => ({ ...row, store }) as FoundEvent));
}

function settingsOf(parameters: Statement['parameters']): typeof ANSWER_SETTINGS {
  const searches = Object.keys(parameters).some((name) => name.startsWith('search_'));
  return searches ? SEARCH_SETTINGS : ANSWER_SETTINGS;
}

/** The first events in order, each once: where two stores give one, the earlier of the two in the list counts. */
function firstOf(events: readonly FoundEvent[], { order, limit }: Question): FoundEvent[] {
  const once = new Map<string, FoundEvent>();
  for (const event of events) {
    const key = keyOf(event);
    if (!once.has(key)) once.set(key, event);
  }
  return [...once.values()].sort(byPlace(order)).slice(0, limit);
}

const keyOf = ({ topic, partition, offset }: EventPlace): string => `${topic} ${partition} ${offset}`;

/** Whether everything that was relied on is still there. */
function isStill(before: HotDays, after: HotDays, restored: ReadonlySet<Day>): boolean {
  const held = new Set(after.held);
  const loaded = new Set(after.restored.map(({ day }) => day));
  return before.held.every((day) => held.has(day)) && [...restored].every((day) => loaded.has(day));
}

function countRows(events: readonly FoundEvent[]): Record<Store, number> {
  const rows = { hot: 0, restored: 0, copy: 0, archive: 0 };
  for (const { store } of events) rows[store] += 1;
  return rows;
}

const placeOf = ({ timestamp, topic, partition, offset }: FoundEvent): EventPlace => ({
  timestamp,
  topic,
  partition,
  offset,
});

function archiveOf(archive: Archive | undefined): Archive {
  if (archive !== undefined) return archive;
  throw new TypeError('the archive is asked, and none is given');
}

function tooLarge(segments: number): Failure {
  return new Failure({
    code: 'question.too-large',
    retry: 'no',
    message: `it may take ${segments} segments of the archive, which is more than are read for one answer`,
    mend: 'Ask for a shorter time: segments are chosen by the time of their events.',
  });
}

function unsettled(): Failure {
  return new Failure({
    code: 'question.unsettled',
    retry: 'later',
    message: 'days left the hot store each time that it was asked',
    mend: 'Ask again when the job that drops them has ended.',
  });
}
