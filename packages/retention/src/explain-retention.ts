import { topicOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { type ClassChoice, classOf } from './choose-class.ts';
import { holdsOn } from './cover-hold.ts';
import { aboutClass, type Warning } from './find-warnings.ts';
import { type Claim, type EventTimes, keepUntil, lockUntil } from './keep-until.ts';
import { endOf, endOfDay, instantText, type Millis, periodText, startOfDay } from './period.ts';
import { hotUntil } from './plan-hot.ts';
import { type Basis, classNamed, type ObjectLockMode, type RetentionPolicy } from './policy.ts';

/** One regime's demand. Days are in the regime's time zone; a day or instant that is null has no end. */
export interface Reason {
  readonly regime: string;
  readonly title: string;
  readonly basis: Basis;
  readonly source: string;
  readonly says: string;
  /** `6 years from the event`, `while the system operates and 10 years after`. */
  readonly demand: string;
  readonly last_day: string | null;
  readonly until: string | null;
  readonly timezone: string;
}

/** What becomes of the events of an organisation and a day, as programs read it. Instants are RFC 3339, UTC. */
export interface Explanation {
  readonly org: string;
  /** UTC day of the events' own time. */
  readonly date: string;
  readonly policy_hash: string;
  readonly class: {
    readonly name: string;
    readonly why: ClassChoice['why'];
    readonly from: string | null;
    readonly topic: string;
  };
  /** They are kept until then, and longer while a hold stands. */
  readonly kept: { readonly last_day: string | null; readonly until: string | null };
  readonly decided_by: Reason;
  /** What else was asked for, longest first. */
  readonly runners_up: readonly Reason[];
  readonly maximums: readonly {
    readonly regime: string;
    readonly title: string;
    readonly source: string;
    readonly period: string;
    readonly last_day: string;
    readonly exceeded: boolean;
  }[];
  /** Holds that stand and cover them. While there is one, nothing is deleted. */
  readonly holds: readonly {
    readonly id: string;
    readonly reason: string;
    readonly placed_by: string;
    readonly placed_at: string | null;
    /** What it names; it covers more where that is a session or an agent. */
    readonly names: string;
  }[];
  readonly hot: { readonly days: number; readonly until: string | null };
  readonly lock: {
    readonly mode: ObjectLockMode;
    readonly until: string | null;
    /** The end is open, or a hold stands: the lock is carried on before it ends. */
    readonly carried_on: boolean;
  };
  readonly warnings: readonly Warning[];
}

/**
 * What is kept until when of the events that an organisation records on a day, and why.
 *
 * @param date UTC day, `YYYY-MM-DD`.
 * @param now milliseconds; decides which holds stand.
 * @throws Failure `organisation.unclassed`
 */
export function explainRetention(
  policy: RetentionPolicy,
  org: string,
  date: string,
  now: Millis,
): Explanation {
  const day = Temporal.PlainDate.from(date);
  const [first, last] = [startOfDay(day, 'UTC'), endOfDay(day, 'UTC') - 1];
  const times: EventTimes = {
    timestamps: { min: first * 1_000, max: last * 1_000 },
    received: { min: first, max: last },
  };
  const choice = classOf(policy, org, last);
  if (choice === undefined) throw unclassed(org);
  const retentionClass = classNamed(policy, choice.class);
  const keep = keepUntil(retentionClass, times);
  const [decided, ...others] = keep.claims.map(reasonOf);
  if (decided === undefined) throw new TypeError(`class ${choice.class} keeps nothing`);
  const holds = holdsOn(policy.holds, { orgs: [org], ...times }, now);
  return {
    org,
    date: day.toString(),
    policy_hash: policy.hash,
    class: {
      name: choice.class,
      why: choice.why,
      from: choice.from ?? null,
      topic: topicOf(choice.class),
    },
    kept: { last_day: keep.lastDay ?? null, until: instantText(keep.until) },
    decided_by: decided,
    runners_up: others,
    maximums: retentionClass.regimes.flatMap(({ id, title, source, keepAtMost, timezone }) => {
      if (keepAtMost === undefined) return [];
      const { lastDay, until } = endOf(keep.countedFrom, keepAtMost, timezone);
      const period = periodText(keepAtMost);
      return [{ regime: id, title, source, period, last_day: lastDay, exceeded: keep.until > until }];
    }),
    holds: holds.map(({ id, reason, placedBy, placedAt, org: whose, session, agent }) => ({
      id,
      reason,
      placed_by: placedBy,
      placed_at: instantText(placedAt),
      names: [
        whose === undefined ? 'every organisation' : `organisation ${whose}`,
        ...(session === undefined ? [] : [`session ${session}`]),
        ...(agent === undefined ? [] : [`agent ${agent}`]),
      ].join(', '),
    })),
    hot: {
      days: retentionClass.hotDays,
      until: instantText(hotUntil(day.toString(), retentionClass.hotDays)),
    },
    lock: {
      mode: retentionClass.objectLock,
      until: instantText(lockUntil(retentionClass, times, policy.lockRenewal)),
      carried_on: holds.length > 0 || !Number.isFinite(keep.until),
    },
    warnings: aboutClass(retentionClass, last),
  };
}

function reasonOf({ regime, demand, period, lastDay, until }: Claim): Reason {
  return {
    regime: regime.id,
    title: regime.title,
    basis: regime.basis,
    source: regime.source,
    says: regime.says,
    demand:
      demand === 'period'
        ? `${periodText(period)} from the event`
        : `while the system operates and ${periodText(period)} after`,
    last_day: lastDay ?? null,
    until: instantText(until),
    timezone: regime.timezone,
  };
}

function unclassed(org: string): Failure {
  return new Failure({
    code: 'organisation.unclassed',
    retry: 'no',
    message: `organisation ${JSON.stringify(org)} has no retention class`,
    mend: 'Give it one under `organisations` of the retention policy, or name a `default_class`.',
  });
}
