import { holdsOn } from './cover-hold.ts';
import { type EventTimes, keepUntil, lockUntil } from './keep-until.ts';
import { endOf, type Millis } from './period.ts';
import type { LegalHold, LockRenewal, ObjectLockMode, RetentionPolicy } from './policy.ts';

/** A segment of the archive, as its manifest and the store tell of it. */
export interface ArchivedSegment extends EventTimes {
  /** What the plan calls it by. */
  readonly name: string;
  /** The class of its topic; an organisation's class of today does not matter. */
  readonly class: string;
  readonly orgs: readonly string[];
  /** `retention.until` of its manifest; undefined when it promises nothing. */
  readonly promisedUntil: Millis | undefined;
  /** What the store answers about its lock; undefined when it has none. */
  readonly lockedUntil: Millis | undefined;
}

/** What is to be done with one segment. */
export type SegmentPlan = {
  readonly name: string;
  /** Set the lock to this date and mode. Always later than the lock that is there. */
  readonly extendLock: { readonly until: Millis; readonly mode: ObjectLockMode } | undefined;
} & (
  | {
      readonly act: 'keep';
      /** `Infinity` while there is no end; undefined when it cannot be told. */
      readonly until: Millis | undefined;
      /**
       * - `period`: a regime still demands it.
       * - `promised`: none does any more, and its manifest has said so long.
       * - `locked`: the store will not let it go yet.
       * - `class-unknown`: the policy does not know its class, so nobody can say that it may go.
       */
      readonly why: 'period' | 'promised' | 'locked' | 'class-unknown';
    }
  | { readonly act: 'held'; readonly holds: readonly string[] }
  | {
      readonly act: 'expire';
      /** Since when no regime demands it and no manifest promises it. */
      readonly since: Millis;
      /** What the tombstone names: the regime that demanded it longest, and the policy. */
      readonly regime: string;
      readonly policyHash: string;
    }
);

/**
 * What is to be done with each segment now. It decides and touches nothing; asked twice with the same, it answers the same.
 *
 * The order of the questions is the order of what must never go wrong: an unknown class and a hold keep whatever the dates
 * say, then the longest regime, then what was promised under an earlier policy, then the store's own lock. Only what passes
 * all of them expires.
 *
 * @param now milliseconds.
 */
export function planExpiry(
  policy: RetentionPolicy,
  segments: readonly ArchivedSegment[],
  now: Millis,
): SegmentPlan[] {
  return segments.map((segment) => planSegment(policy, segment, now));
}

function planSegment(policy: RetentionPolicy, segment: ArchivedSegment, now: Millis): SegmentPlan {
  const { name, promisedUntil = -Infinity, lockedUntil = -Infinity } = segment;
  const retentionClass = policy.classes.get(segment.class);
  const mode = retentionClass?.objectLock ?? 'COMPLIANCE';
  // A store refuses dates that have passed, and a lock that is there is never shortened.
  const later = (until: Millis) => (until > Math.max(lockedUntil, now) ? { until, mode } : undefined);
  const carriedOn = Math.max(promisedUntil, carryOn(lockedUntil, policy.lockRenewal, now));
  const holds = holdsOn(policy.holds, segment, now);

  if (retentionClass === undefined) {
    if (holds.length > 0) return { name, act: 'held', holds: idsOf(holds), extendLock: later(carriedOn) };
    return { name, act: 'keep', why: 'class-unknown', until: undefined, extendLock: later(carriedOn) };
  }
  const keep = keepUntil(retentionClass, segment);
  const due = Math.max(promisedUntil, lockUntil(retentionClass, segment, policy.lockRenewal));
  if (holds.length > 0) {
    return { name, act: 'held', holds: idsOf(holds), extendLock: later(Math.max(due, carriedOn)) };
  }
  if (keep.until > now) {
    const wanted = Number.isFinite(keep.until) ? due : Math.max(due, carriedOn);
    return { name, act: 'keep', why: 'period', until: keep.until, extendLock: later(wanted) };
  }
  if (promisedUntil > now) {
    return { name, act: 'keep', why: 'promised', until: promisedUntil, extendLock: later(due) };
  }
  if (lockedUntil > now) {
    return { name, act: 'keep', why: 'locked', until: lockedUntil, extendLock: undefined };
  }
  return {
    name,
    act: 'expire',
    since: Math.max(keep.until, promisedUntil),
    regime: keep.claims[0]?.regime.id ?? '',
    policyHash: policy.hash,
    extendLock: undefined,
  };
}

/** Where a lock without a known end is set to: a step on from now, or where it is while enough of it is left. */
function carryOn(lockedUntil: Millis, { by, whenUnder }: LockRenewal, now: Millis): Millis {
  return lockedUntil < endOf(now, whenUnder, 'UTC').until ? endOf(now, by, 'UTC').until : lockedUntil;
}

const idsOf = (holds: readonly LegalHold[]): string[] => holds.map(({ id }) => id);
