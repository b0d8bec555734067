import type { ParkedRecord, ParkedRecords } from '@cairn/adapters';
import { KIND_SYMBOLS } from '@cairn/event';
import { type Clock, recordOf } from '@cairn/runtime';
import { type ForwardOptions, parkedOf } from './forward-chunk.ts';
import { readItems } from './read-items.ts';
import type { Replayed } from './record-forwarding.ts';

export interface ReplayOptions extends ForwardOptions {
  readonly store: Pick<ParkedRecords, 'due' | 'forget' | 'park'>;
  readonly clock: Clock;
  /** Resolves when it stands in the trail. */
  readonly onReplayed: (replayed: Replayed) => Promise<void>;
  readonly onTrouble: (error: unknown) => void;
}

const LOOK_EVERY_MS = 1_000;

/**
 * Sends again what a person has asked for, as today's code formats it, beside what the log brings: the lane lets one batch through at a
 * time.
 */
export function replayParked(options: ReplayOptions): AsyncDisposable {
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await replayDue(options, stopping.signal);
      } catch (error) {
        if (!stopping.signal.aborted) options.onTrouble(error);
      }
      await options.clock.pause(LOOK_EVERY_MS, stopping.signal);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await running;
    },
  };
}

async function replayDue(options: ReplayOptions, over: AbortSignal): Promise<void> {
  const { name, lane, store, limits, nowMs, onReplayed } = options;
  for (;;) {
    const due = store.due(name, Math.min(limits.itemsMax, 100));
    if (due.length === 0) return;
    let [taken, parked] = [0, 0];
    for (const record of due) {
      // Whatever filter there is now: it was wanted when it was parked.
      const { items } = readItems(
        [recordOf(record.offset, record.value, record.appendedAtMs)],
        placeOf(record),
        {
          ...options,
          filter: EVERY_KIND,
        },
      );
      if (items.length === 0) {
        // What a later release parked, and this one does not know.
        store.park([{ ...record, reason: 'it is no event that this release can read' }], nowMs());
        parked += 1;
        continue;
      }
      // 1. Acknowledged, or refused once more.
      const refusals = await lane.deliver(items, over);
      // 2. COMMIT POINT: it is forgotten or parked again; a crash before has it sent once more.
      if (refusals.length > 0)
        store.park(
          refusals.map((refusal) => parkedOf(name, refusal)),
          nowMs(),
        );
      else store.forget([record.number]);
      taken += items.length - refusals.length;
      parked += refusals.length;
    }
    const by = new Set(due.flatMap(({ replayedBy }) => replayedBy ?? []));
    await onReplayed({ taken, parked, by: [...by].sort() });
  }
}

const EVERY_KIND = { kinds: [...KIND_SYMBOLS] };
const placeOf = ({ topic, partition }: ParkedRecord) => ({ topic, partition });
