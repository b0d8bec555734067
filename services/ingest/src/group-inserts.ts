import { isFailure } from '@cairn/failure';
import type { Clock } from '@cairn/runtime';
import { type EventTable, goTogether, type Insertion } from './event-table.ts';

export interface GroupingOptions {
  readonly table: Pick<EventTable, 'insert'>;
  readonly clock: Pick<Clock, 'after'>;
  /** How long the first of a group waits for others. */
  readonly waitMs?: number;
  /** Bytes from which on a group takes no more. One insertion that has more goes alone. */
  readonly bytesMax?: number;
  /** Inserts that run at the same time. */
  readonly insertsAtOnce?: number;
}

const WAIT_MS = 10;
const BYTES_MAX = 8 * 1024 ** 2;
const INSERTS_AT_ONCE = 2;

/**
 * Puts the rows of several partitions into one insert. An insert costs the table some 60 ms of CPU and a part to be merged
 * before its first row, so with many partitions and little traffic a part for each of them would be most of the work.
 *
 * What an insertion comes to is told to whoever asked for it: a failure to all of the insert, since nobody knows how far it
 * came. When the table could not read a row the insert left nothing behind; then each goes alone, so that one partition's
 * bad row stops no other.
 */
export function groupInserts(options: GroupingOptions): (insertion: Insertion) => Promise<void> {
  const { table, clock, waitMs = WAIT_MS, bytesMax = BYTES_MAX, insertsAtOnce = INSERTS_AT_ONCE } = options;
  let waiting: Waiting[] = [];
  let running = 0;
  let isGathering = false;

  const nextGroup = (): Waiting[] => {
    const group: Waiting[] = [];
    let bytes = 0;
    for (const one of waiting) {
      const others = group.length === 0 || group.every((other) => goTogether(other, one));
      if (!others || (group.length > 0 && bytes + one.bytes > bytesMax)) continue;
      group.push(one);
      bytes += one.bytes;
    }
    waiting = waiting.filter((one) => !group.includes(one));
    return group;
  };

  const runGroup = async (group: readonly Waiting[]): Promise<void> => {
    try {
      await table.insert(group);
      for (const { done } of group) done();
    } catch (error) {
      if (group.length === 1 || !isFailure(error, 'clickhouse.bad-rows')) {
        for (const { fail } of group) fail(error);
        return;
      }
      for (const one of group) await table.insert([one]).then(one.done, one.fail);
    }
  };

  const runWaiting = (): void => {
    while (waiting.length > 0 && running < insertsAtOnce && !isGathering) {
      running += 1;
      void runGroup(nextGroup()).then(() => {
        running -= 1;
        runWaiting();
      });
    }
  };

  return (insertion) =>
    new Promise((done, fail) => {
      const bytes = insertion.body.pieces.reduce((sum, { length }) => sum + length, 0);
      waiting.push({ ...insertion, bytes, done, fail });
      if (isGathering) return;
      isGathering = true;
      clock.after(waitMs, () => {
        isGathering = false;
        runWaiting();
      });
    });
}

interface Waiting extends Insertion {
  readonly bytes: number;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}
