import { EVENTS_TOPIC_PREFIX } from '@cairn/event';
import { messageOf } from '@cairn/failure';
import { planHotDays, type RetentionPolicy } from '@cairn/retention';
import { compareRows, damageOf } from './compare-rows.ts';
import { isDeleted } from './expire-segments.ts';
import type { Finding } from './finding.ts';
import type { DayOfPlace, HotTable, Place } from './hot-table.ts';
import type { KnownKeys } from './known-keys.ts';
import { committedSize, readManifests } from './read-manifests.ts';
import type { ArchiveStore } from './store-object.ts';

export interface DropOptions {
  readonly store: ArchiveStore;
  readonly keys: KnownKeys;
  readonly table: HotTable;
  readonly originOf: (place: Place) => string;
  readonly policy: RetentionPolicy;
  readonly nowMs: () => number;
  /** First offset that Kafka still holds: ingest takes rows above it for lost when they are dropped, and loads them again. */
  readonly logFirst: (place: Place) => Promise<number>;
  readonly onFinding: (finding: Finding) => void;
}

export interface Dropped {
  readonly dropped: readonly string[];
  /** Days that are old enough and were kept, and why. */
  readonly kept: Readonly<Record<string, string>>;
}

/**
 * Drops the days of the hot store that its classes need there no longer, each only after every row of it was found, value by
 * value, in segments that were read back from the archive just now. What differs keeps the day and is a finding.
 */
export async function dropHotDays(options: DropOptions): Promise<Dropped> {
  const { table, policy, nowMs } = options;
  const byDay = Map.groupBy(await table.days(), ({ day }) => day);
  const dropped: string[] = [];
  const kept: Record<string, string> = {};
  for (const [day, places] of byDay) {
    const classes = [...new Set(places.map(({ topic }) => topic.slice(EVENTS_TOPIC_PREFIX.length)))];
    const plan = (archived: boolean, proven: boolean) =>
      planHotDays(policy, [{ day, classes, archived, proven }], nowMs())[0]!;
    // Most days are kept by their age alone; only those that may go are read back.
    const young = plan(true, true);
    if (young.act === 'keep') continue;
    const why = await whyKept(options, day, places);
    const decided = plan(why !== 'not-archived', why === undefined);
    if (decided.act === 'keep' || why !== undefined) {
      kept[day] = why ?? (decided.act === 'keep' ? decided.why : '');
      continue;
    }
    await table.dropDay(day);
    dropped.push(day);
  }
  return { dropped, kept };
}

const DAY_MS = 86_400_000;

/** Undefined when the archive was read back and holds every row of the day. */
async function whyKept(
  { store, keys, table, originOf, logFirst, onFinding }: DropOptions,
  day: string,
  places: readonly DayOfPlace[],
): Promise<'in-kafka' | 'not-archived' | 'not-proven' | undefined> {
  const from = Date.parse(`${day}T00:00:00Z`);
  const isOfDay = (receivedAtMs: number): boolean => receivedAtMs >= from && receivedAtMs < from + DAY_MS;
  for (const place of places) {
    if ((await logFirst(place)) <= place.lastOffset) return 'in-kafka';
    const origin = originOf(place);
    let rows = 0;
    let archivedTo = -1;
    let after = -1;
    const size = await committedSize(store, origin);
    for await (const { manifest, note } of readManifests(store, keys, origin, size)) {
      const { offsets, received } = manifest;
      archivedTo = offsets.last;
      const isOfThis = received.max >= from && received.min < from + DAY_MS;
      if (isOfThis && (await isDeleted(store, keys, manifest, note))) {
        // What the archive has let go under policy is not kept hot for want of it.
        const left = await table.rows(place, after + 1, offsets.last);
        rows += left.filter(({ receivedAtMs }) => isOfDay(receivedAtMs)).length;
      } else if (isOfThis) {
        const compared = await compareRows(store, table, place, manifest, after, isOfDay).catch(
          (error: unknown) => {
            const reason = damageOf(error);
            if (reason === undefined) throw error;
            onFinding({
              reason,
              origin,
              at: manifest.first,
              detail: `${day} is kept hot: ${messageOf(error)}`,
            });
          },
        );
        if (compared === undefined) return 'not-proven';
        rows += compared.rows;
        // What the table refused is not there to be dropped.
        const differences = compared.differences.filter(({ what }) => what !== 'refused');
        for (const { offset, what, columns } of differences.slice(0, 20)) {
          const detail = `${day} is kept hot: offset ${offset} is ${what} ${columns.join(', ')}`.trim();
          onFinding({ reason: 'row-differs', origin, at: offset, detail });
        }
        if (differences.length > 0) return 'not-proven';
      }
      after = offsets.last;
    }
    if (archivedTo < place.lastOffset) return 'not-archived';
    if (rows !== place.rows) return 'not-proven';
  }
  return undefined;
}
