import type { Day } from './day.ts';
import { daysWithin } from './day.ts';
import type { Segment } from './plan-cold.ts';
import type { Question } from './question.ts';

/** A day that was loaded back. */
export interface RestoredDay {
  readonly day: Day;
  /** Organisation whose events were loaded; empty when all were. */
  readonly org: string;
  /** Segments with events of this day that the archive had then, by their manifests. */
  readonly segments: number;
}

/** What the hot store holds at one moment. */
export interface HotDays {
  /** Days of cairn.events: they leave it as a whole. */
  readonly held: readonly Day[];
  readonly restored: readonly RestoredDay[];
}

/**
 * The days that the restored table answers for: those that the hot table has dropped, that were loaded back for all that is
 * asked, and of which the archive has come to know nothing since.
 *
 * @param segments all of the archive; undefined when the archive is not asked, and cannot add anything.
 */
export function restoredDaysFor(
  { filters }: Question,
  { held, restored }: HotDays,
  segments: readonly Segment[] | undefined,
): Set<Day> {
  const hot = new Set(held);
  const orgs = filters.org_id ?? [];
  const perDay = segments && segmentsPerDay(segments);
  const covered = Map.groupBy(
    restored.filter(({ day, segments: then }) => perDay === undefined || (perDay.get(day) ?? 0) === then),
    ({ day }) => day,
  );
  const days = new Set<Day>();
  for (const [day, marks] of covered) {
    if (hot.has(day)) continue;
    const loaded = new Set(marks.map(({ org }) => org));
    if (loaded.has('') || segments === undefined || (orgs.length > 0 && orgs.every((org) => loaded.has(org))))
      days.add(day);
  }
  return days;
}

/** How many segments hold events that were received on a day. */
export function segmentsPerDay(segments: readonly Segment[]): Map<Day, number> {
  const counts = new Map<Day, number>();
  for (const { manifest } of segments)
    for (const day of daysWithin(manifest.received.min, manifest.received.max))
      counts.set(day, (counts.get(day) ?? 0) + 1);
  return counts;
}
