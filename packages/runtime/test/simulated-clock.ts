import type { Clock } from '../src/index.ts';

/** Time that stands still until it is told to go on; what is due at the same time happens in the order it was asked for. */
export class SimulatedClock implements Clock {
  private now = 0;
  private asked = 0;
  private readonly due: { at: number; order: number; act: () => void; off: boolean }[] = [];
  readonly random: () => number;

  constructor(random: () => number) {
    this.random = random;
  }

  nowMs(): number {
    return this.now;
  }

  after(ms: number, act: () => void): () => void {
    const entry = { at: this.now + Math.max(SHORTEST_MS, ms), order: this.asked++, act, off: false };
    push(this.due, entry);
    return () => {
      entry.off = true;
    };
  }

  pause(ms: number, over?: AbortSignal): Promise<void> {
    if (over?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const callOff = this.after(ms, resolve);
      over?.addEventListener(
        'abort',
        () => {
          callOff();
          resolve();
        },
        { once: true },
      );
    });
  }

  /** Lets time go on until the condition holds. @returns false when so much time passed without it. */
  async runUntil(holds: () => boolean, msMax: number): Promise<boolean> {
    const end = this.now + msMax;
    for (;;) {
      // Everything that follows from the last act without waiting happens first.
      await new Promise((resolve) => setImmediate(resolve));
      if (holds()) return true;
      const next = pop(this.due);
      if (!next) return false;
      if (next.at > end) {
        // It is still to come, for whoever lets time go on further.
        push(this.due, next);
        this.now = end;
        return false;
      }
      if (next.off) continue;
      this.now = next.at;
      next.act();
    }
  }
}

/** Time must go on even where a difference of two times is lost to rounding. */
const SHORTEST_MS = 0.001;

type Due = { at: number; order: number; act: () => void; off: boolean };
const before = (left: Due, right: Due): boolean =>
  left.at < right.at || (left.at === right.at && left.order < right.order);

/** A binary heap: the earliest stands first. */
function push(heap: Due[], entry: Due): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!before(heap[at]!, heap[parent]!)) break;
    [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
    at = parent;
  }
}

function pop(heap: Due[]): Due | undefined {
  const [first] = heap;
  const last = heap.pop();
  if (!first || !last || heap.length === 0) return first;
  heap[0] = last;
  for (let at = 0; ; ) {
    const left = at * 2 + 1;
    let least = at;
    if (left < heap.length && before(heap[left]!, heap[least]!)) least = left;
    if (left + 1 < heap.length && before(heap[left + 1]!, heap[least]!)) least = left + 1;
    if (least === at) return first;
    [heap[at], heap[least]] = [heap[least]!, heap[at]!];
    at = least;
  }
}
