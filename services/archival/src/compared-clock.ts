import type { LockReport } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import type { Finding } from './finding.ts';

/** How far this service's clock is from the store's, by whose clock locks end. */
export interface ComparedClock {
  /** Milliseconds that ours is ahead; negative when it is behind. */
  aheadMs(): number;
  /** Told while the two are far apart. @param origin under which it is told. */
  finding(origin: string): Finding | undefined;
  /** @throws Failure `clock.off` (later) while they are so far apart that nothing may be decided by ours. */
  check(): void;
}

/** Minutes are the store's rounding, a slow answer, or clocks that nobody keeps. */
const TOLD_MS = 60_000;
const BELIEVED_MS = 600_000;

/**
 * What the probe saw at the start, carried on: a clock that is stepped later differs from the monotonic one by as much.
 *
 * @param nowMs ours, milliseconds since 1970.
 * @param monotonicMs milliseconds since some moment, which nobody can set.
 */
export function comparedClock(
  { clockAheadMs }: Pick<LockReport, 'clockAheadMs'>,
  nowMs: () => number,
  monotonicMs: () => number = () => performance.now(),
): ComparedClock {
  const offset = nowMs() - monotonicMs();
  const aheadMs = (): number => nowMs() - monotonicMs() - offset - clockAheadMs;
  const said = (): string => {
    const seconds = Math.round(Math.abs(aheadMs()) / 1_000);
    return `the clock of archival is ${seconds} s ${aheadMs() > 0 ? 'ahead of' : 'behind'} the store's`;
  };
  return {
    aheadMs,
    finding: (origin) =>
      Math.abs(aheadMs()) < TOLD_MS ? undefined : { reason: 'clock-off', origin, at: -1, detail: said() },
    check() {
      if (Math.abs(aheadMs()) < BELIEVED_MS) return;
      throw new Failure({
        code: 'clock.off',
        retry: 'later',
        message: `${said()}, so nothing is deleted`,
        mend: 'Set the clock of this machine, or of the store: periods and locks end by them.',
      });
    },
  };
}
