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
  const spinFor = (nextMs: number): number => {
    let now = performance.now() - start;
    const until = Math.min(now + LOOK_MS, nextMs);
    while (now < until) now = performance.now() - start;
    return now;
  };
  await lookAgain(dueMs, onDue, spinFor, (look) => void setImmediate(look));
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
  const nowMs = (): number => monotonicMs() - startMs;
  await lookAgain(dueMs, onDue, nowMs, (look) => void setTimeout(look, 1));
}

/**
 * Looks what is due until nothing is left.
 *
 * @param nowMs from the start, asked once for each look with the next moment that is due.
 * @param rest has it look again later.
 */
async function lookAgain(
  dueMs: ArrayLike<number>,
  onDue: (index: number, done: () => void, fail: (error: unknown) => void) => void,
  nowMs: (nextMs: number) => number,
  rest: (look: () => void) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let next = 0;
    const look = (): void => {
      const now = nowMs(dueMs[next]!);
      while (next < dueMs.length && dueMs[next]! <= now) onDue(next++, resolve, reject);
      if (next < dueMs.length) rest(look);
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
