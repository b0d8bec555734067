import { Worker } from 'node:worker_threads';

/** One clock for all threads and processes of the machine. */
export function monotonicMs(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1e3 + nanos / 1e6;
}

/**
 * Calls `onDue` with the index of each moment when it has come, and resolves when `done` is told. Open-loop: whoever is
 * slow is given the next one all the same.
 *
 * A thread of its own says what is due, as a socket would: a timer of the caller's thread is late by up to a millisecond,
 * and a loop that never sleeps takes the processor from others.
 *
 * @param startMs by `monotonicMs`.
 * @param dueMs milliseconds from the start, ascending.
 */
export async function arrive(
  startMs: number,
  dueMs: ArrayLike<number>,
  onDue: (index: number, done: () => void, fail: (error: unknown) => void) => void,
): Promise<void> {
  const arrivals = new Worker(ARRIVALS, { eval: true, workerData: { startMs, dueMs } });
  try {
    await new Promise<void>((resolve, reject) => {
      arrivals.on('error', reject);
      arrivals.on('message', (index: number) => onDue(index, resolve, reject));
    });
  } finally {
    await arrivals.terminate();
  }
}

/**
 * The same by the caller's own thread, which looks between any two turns of its event loop. For work that leaves one of two
 * cores free: with a thread of their own the arrivals take the core on which the work's writes end, and what is then measured
 * is the scheduler.
 *
 * A look waits for the next moment for a little, without a turn of the loop: each turn leaves some hundred bytes to the collector,
 * and 300,000 of them in a second made it run five times as often as the work alone did.
 */
export async function arriveHere(
  startMs: number,
  dueMs: ArrayLike<number>,
  onDue: (index: number, done: () => void, fail: (error: unknown) => void) => void,
): Promise<void> {
  // The same clock, read without an allocation.
  const start = performance.now() + startMs - monotonicMs();
  await new Promise<void>((resolve, reject) => {
    let next = 0;
    const look = (): void => {
      let now = performance.now() - start;
      const until = Math.min(now + LOOK_MS, dueMs[next]!);
      while (now < until) now = performance.now() - start;
      while (next < dueMs.length && dueMs[next]! <= now) onDue(next++, resolve, reject);
      if (next < dueMs.length) setImmediate(look);
    };
    look();
  });
}

/** A write that has ended is noticed later by so much at most. */
const LOOK_MS = 0.05;

/**
 * The same by timers of the caller's thread, so late by a millisecond or two, and nearly for nothing: for waits of hundreds.
 */
export async function arriveRoughly(
  startMs: number,
  dueMs: ArrayLike<number>,
  onDue: (index: number, done: () => void, fail: (error: unknown) => void) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let next = 0;
    const look = (): void => {
      const nowMs = monotonicMs() - startMs;
      while (next < dueMs.length && dueMs[next]! <= nowMs) onDue(next++, resolve, reject);
      if (next < dueMs.length) setTimeout(look, 1);
    };
    look();
  });
}

const ARRIVALS = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { startMs, dueMs } = workerData;
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let index = 0; index < dueMs.length; index += 1) {
    const [seconds, nanos] = process.hrtime();
    const waitMs = startMs + dueMs[index] - seconds * 1e3 - nanos / 1e6;
    if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
    parentPort.postMessage(index);
  }
`;
