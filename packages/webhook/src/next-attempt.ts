const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Waits before the attempts, the first one's included: the schedule of Standard Webhooks 1.0.0, three days in all. */
export const RETRY_SCHEDULE_MS: readonly number[] = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];

/** Longest that a receiver may have us wait by `Retry-After`. */
const RETRY_AFTER_MS_MAX = 24 * HOUR;

/** What an attempt came to. Anything but 2xx is a failure; a redirect is one as well, and is not followed. */
export type AttemptOutcome =
  | { readonly next: 'delivered' }
  /** The receiver wants nothing more from us (410): its endpoint is disabled. */
  | { readonly next: 'disable' }
  /** The schedule is at its end. */
  | { readonly next: 'park' }
  | { readonly next: 'retry'; readonly afterMs: number };

/**
 * What follows an attempt.
 *
 * @param status of the answer; undefined when there was none.
 * @param retryAfter the answer's header, seconds or a date (RFC 9110, section 10.2.3).
 * @param attempts made so far, this one included.
 * @param random in [0, 1): up to a fifth is added, so that what failed together does not come again together.
 */
export function nextAttempt(
  status: number | undefined,
  retryAfter: string | undefined,
  attempts: number,
  nowMs: number,
  random: number,
  schedule: readonly number[] = RETRY_SCHEDULE_MS,
): AttemptOutcome {
  if (status !== undefined && status >= 200 && status <= 299) return { next: 'delivered' };
  if (status === 410) return { next: 'disable' };
  const waitMs = schedule[attempts];
  if (waitMs === undefined) return { next: 'park' };
  const afterMs = Math.max(waitMs * (1 + random / 5), retryAfterMs(retryAfter, nowMs) ?? 0);
  return { next: 'retry', afterMs: Math.round(afterMs) };
}

/** How long a receiver asks to be left alone, at most a day; undefined when it does not or cannot be understood. */
export function retryAfterMs(retryAfter: string | undefined, nowMs: number): number | undefined {
  if (retryAfter === undefined) return undefined;
  const text = retryAfter.trim();
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * SECOND : Date.parse(text) - nowMs;
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), RETRY_AFTER_MS_MAX) : undefined;
}
