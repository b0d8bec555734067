import { dayOf, endOf, endOfDay, lastDayOf, type Millis, type Period } from './period.ts';
import type { LockRenewal, Regime, RetentionClass } from './policy.ts';

/** Times of the events that are kept together: of a segment, as its manifest says them, or of a day. */
export interface EventTimes {
  /** The least and the greatest that events say of themselves. Microseconds, as in the event. */
  readonly timestamps: { readonly min: number; readonly max: number };
  /** The least and the greatest at which the broker appended them. */
  readonly received: { readonly min: Millis; readonly max: Millis };
}

/** What one regime demands of these events. */
export interface Claim {
  readonly regime: Regime;
  readonly demand: 'period' | 'operation';
  readonly period: Period;
  /** Last day on which it demands them, in its time zone; undefined while there is no end. */
  readonly lastDay: string | undefined;
  /** First instant at which it no longer does; `Infinity` while there is no end. */
  readonly until: Millis;
}

/** How long events are kept: the longest claim wins. */
export interface Keep {
  readonly until: Millis;
  readonly lastDay: string | undefined;
  /** Longest first, so the first one decided. Never empty. */
  readonly claims: readonly Claim[];
  readonly countedFrom: Millis;
}

/** Clocks of gateways and broker differ; more than this is a wrong clock, and then the broker's holds. */
const AHEAD_MAX: Millis = 24 * 3_600_000;
/** A spool may wait for days; an event that arrives later than this counts from its arrival. */
const BEHIND_MAX: Millis = 7 * 24 * 3_600_000;

/**
 * The instant that periods are counted from: the latest event's own time, as far as it can be believed.
 *
 * A gateway's clock must neither shorten what is kept nor lock it into the next century, and such a lock could never be
 * taken back. So a time more than a day ahead of the broker's counts as a day ahead, and one more than a week behind it
 * counts as the broker's. Imported history is therefore kept from its import on.
 */
export function countedFrom({ timestamps, received }: EventTimes): Millis {
  const latest = Math.floor(timestamps.max / 1_000);
  if (latest < received.max - BEHIND_MAX) return received.max;
  return Math.min(latest, received.max + AHEAD_MAX);
}

/** How long a class keeps these events, and which regime decided. Every class has a regime that binds at all times. */
export function keepUntil(retentionClass: RetentionClass, times: EventTimes): Keep {
  const from = countedFrom(times);
  const first = Math.min(Math.floor(times.timestamps.min / 1_000), from);
  const claims = retentionClass.regimes
    .filter((regime) => binds(regime, first, from))
    .flatMap((regime) => claimsOf(regime, from))
    .toSorted((a, b) => descending(a.until, b.until));
  const longest = claims[0];
  if (longest === undefined) throw new TypeError(`class ${retentionClass.name} keeps nothing`);
  return { until: longest.until, lastDay: longest.lastDay, claims, countedFrom: from };
}

/**
 * Until when these events are locked in the archive: an explicit date, never the bucket's default. Where the end is open the
 * lock is finite all the same and `planExpiry` carries it on.
 */
export function lockUntil(retentionClass: RetentionClass, times: EventTimes, renewal: LockRenewal): Millis {
  const keep = keepUntil(retentionClass, times);
  if (retentionClass.lockFor !== undefined) {
    return endOf(keep.countedFrom, retentionClass.lockFor, 'UTC').until;
  }
  if (Number.isFinite(keep.until)) return keep.until;
  const ends = keep.claims.map(({ until }) => until).filter(Number.isFinite);
  return Math.max(endOf(times.received.max, renewal.by, 'UTC').until, ...ends);
}

function claimsOf(regime: Regime, from: Millis): Claim[] {
  const { keepAtLeast, operation, timezone } = regime;
  const claims: Claim[] = [];
  if (keepAtLeast !== undefined) {
    const end = endOf(from, keepAtLeast, timezone);
    claims.push({ regime, demand: 'period', period: keepAtLeast, ...end });
  }
  if (operation !== undefined) {
    const facts = { regime, demand: 'operation', period: operation.after } as const;
    if (operation.until === 'open') claims.push({ ...facts, lastDay: undefined, until: Infinity });
    else {
      const lastDay = lastDayOf(Temporal.PlainDate.from(operation.until), operation.after);
      claims.push({ ...facts, lastDay: lastDay.toString(), until: endOfDay(lastDay, timezone) });
    }
  }
  return claims;
}

/** Whether it binds any event of a stretch of time. */
export function binds({ appliesFrom, appliesUntil, timezone }: Regime, first: Millis, last: Millis): boolean {
  const begun = appliesFrom === undefined || appliesFrom <= dayOf(last, timezone).toString();
  return begun && (appliesUntil === undefined || dayOf(first, timezone).toString() < appliesUntil);
}

/** Two `Infinity` are equal, and their difference is no number. */
function descending(a: number, b: number): number {
  return a === b ? 0 : b > a ? 1 : -1;
}
