import type { Micros } from './rule.ts';

/** Within which bounds an event's own time is believed. */
export interface BelievedTimes {
  /** How long before its arrival an event may say that it happened. */
  readonly lateness: Micros;
  /** How far its clock may be ahead. */
  readonly ahead: Micros;
}

/**
 * Whether an event counts at its own time, so that a backlog raises no storm. Beyond the bounds it counts when the broker had
 * it: no gateway can hide its deeds in the past or the future.
 *
 * @param arrived when the broker appended it.
 */
export const believedTime = (said: Micros, arrived: Micros, { lateness, ahead }: BelievedTimes): boolean =>
  said >= arrived - lateness && said <= arrived + ahead;
