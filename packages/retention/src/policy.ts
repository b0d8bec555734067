import { Failure } from '@cairn/failure';
import type { Millis, Period } from './period.ts';

/** What kind of authority a regime has: a law, an industry's standard that contracts make binding, or practice. */
export type Basis = 'law' | 'standard' | 'practice';

/**
 * A regime as a class takes it on: what it demands, and where that is written. A regime is data of the file; nothing here
 * knows one by name.
 */
export interface Regime {
  readonly id: string;
  readonly title: string;
  readonly basis: Basis;
  /** Where it is written, to the paragraph. */
  readonly source: string;
  /** What it says, near its own words. */
  readonly says: string;
  /** Events are kept at least so long, counted from the event. */
  readonly keepAtLeast: Period | undefined;
  /** The latest events are in the hot store at least so long. */
  readonly hotAtLeast: Period | undefined;
  /** Events are kept no longer. Never obeyed against a minimum or a hold: it warns. */
  readonly keepAtMost: Period | undefined;
  /** Events are kept while the system operates, and so long after it. */
  readonly operation: { readonly until: string | 'open'; readonly after: Period } | undefined;
  /** It binds events from this day on, and before `appliesUntil`; `YYYY-MM-DD`. */
  readonly appliesFrom: string | undefined;
  readonly appliesUntil: string | undefined;
  /** IANA name of the time zone in which its days are counted. */
  readonly timezone: string;
}

/** As S3 names it. */
export type ObjectLockMode = 'COMPLIANCE' | 'GOVERNANCE';

/** A retention class: its regimes decide, and the longest wins. */
export interface RetentionClass {
  readonly name: string;
  readonly regimes: readonly Regime[];
  /** Days that the hot store keeps, today's included. */
  readonly hotDays: number;
  readonly objectLock: ObjectLockMode;
  /** A lock of another length than the regimes ask for. Undefined as a rule. */
  readonly lockFor: Period | undefined;
}

/** An organisation has this class from a day (UTC) on; the first may have no day and then holds from ever. */
export interface Assignment {
  readonly class: string;
  readonly from: string | undefined;
}

/**
 * Something that must not be deleted, whatever its class says. It covers what fits every part that it names; a part that it
 * does not name fits everything.
 */
export interface LegalHold {
  readonly id: string;
  readonly org: string | undefined;
  readonly session: string | undefined;
  readonly agent: string | undefined;
  /** Of the events' own time, the end not included. */
  readonly from: Millis | undefined;
  readonly to: Millis | undefined;
  readonly reason: string;
  readonly placedBy: string;
  readonly placedAt: Millis;
  readonly release: HoldRelease | undefined;
}

export interface HoldRelease {
  readonly by: readonly string[];
  readonly at: Millis;
  readonly reason: string;
}

/** How a lock without a known end is carried on: when less than `whenUnder` is left, it is set to `by` from now. */
export interface LockRenewal {
  readonly by: Period;
  readonly whenUnder: Period;
}

/** `retention.yaml`, checked. */
export interface RetentionPolicy {
  /** SHA-256 of the file, hex: what a deletion names as the policy that it followed. */
  readonly hash: string;
  readonly defaultClass: string | undefined;
  readonly organisations: ReadonlyMap<string, readonly Assignment[]>;
  readonly classes: ReadonlyMap<string, RetentionClass>;
  readonly holds: readonly LegalHold[];
  readonly lockRenewal: LockRenewal;
}

/** @throws Failure `class.unknown` */
export function classNamed(policy: RetentionPolicy, name: string): RetentionClass {
  const found = policy.classes.get(name);
  if (found !== undefined) return found;
  throw new Failure({
    code: 'class.unknown',
    retry: 'no',
    message: `the retention policy has no class ${JSON.stringify(name)}`,
    mend: 'Add it to the retention policy; until then nothing of it is deleted.',
  });
}
