import { setTimeout as sleep } from 'node:timers/promises';

/** Time as the consume loop sees it; a simulation puts its own in the place. */
export interface Clock {
  /** Milliseconds that only go up. */
  nowMs(): number;
  /** Resolves after so long, or as soon as the signal is aborted. */
  pause(ms: number, over: AbortSignal): Promise<void>;
  /** Calls once after so long. @returns what calls it off. */
  after(ms: number, act: () => void): () => void;
  /** In [0, 1). */
  random(): number;
}

export const realClock: Clock = {
  nowMs: () => performance.now(),
  pause: (ms, over) => sleep(ms, undefined, { signal: over }).catch(() => {}),
  after(ms, act) {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};
