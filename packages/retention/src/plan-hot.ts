import { type Millis, startOfDay } from './period.ts';
import type { RetentionPolicy } from './policy.ts';

/** A day of the hot store, by the day on which the broker appended (UTC); it is dropped as a whole. */
export interface HotDay {
  /** `YYYY-MM-DD` */
  readonly day: string;
  /** Classes of the rows in it. */
  readonly classes: readonly string[];
  /** Every row of it is in a segment whose checkpoint is published. */
  readonly archived: boolean;
  /** Those segments were read back from the store and proven to hold it. */
  readonly proven: boolean;
}

export type HotDayPlan =
  | { readonly day: string; readonly act: 'drop' }
  | {
      readonly day: string;
      readonly act: 'keep';
      readonly why: 'hot' | 'class-unknown' | 'not-archived' | 'not-proven';
      /** First instant at which it is old enough; undefined when its age does not matter. */
      readonly until: Millis | undefined;
    };

/**
 * Which days of the hot store may be dropped. A legal hold does not keep a day hot: it keeps the archive, which is the
 * evidence.
 *
 * @param now milliseconds.
 */
export function planHotDays(policy: RetentionPolicy, days: readonly HotDay[], now: Millis): HotDayPlan[] {
  return days.map(({ day, classes, archived, proven }) => {
    const known = classes.map((name) => policy.classes.get(name));
    if (known.length === 0 || known.includes(undefined)) {
      return { day, act: 'keep', why: 'class-unknown', until: undefined };
    }
    const until = hotUntil(day, Math.max(...known.map((found) => found?.hotDays ?? 0)));
    if (now < until) return { day, act: 'keep', why: 'hot', until };
    if (!archived) return { day, act: 'keep', why: 'not-archived', until: undefined };
    if (!proven) return { day, act: 'keep', why: 'not-proven', until: undefined };
    return { day, act: 'drop' };
  });
}

/** First instant at which a day is no longer among the latest `hotDays`, today's included. */
export function hotUntil(day: string, hotDays: number): Millis {
  return startOfDay(Temporal.PlainDate.from(day).add({ days: hotDays }), 'UTC');
}
