import type { Chunk, Metrics } from '@cairn/runtime';
import type { LaneState } from './deliver-items.ts';
import type { Verdict } from './destination.ts';
import type { Forwarded } from './forward-chunk.ts';

/** What the forwarder counts, by destination. */
export interface ForwarderMetrics {
  sent(destination: string, verdict: Verdict): void;
  forwarded(destination: string, chunk: Chunk, forwarded: Forwarded): void;
  replayed(destination: string, taken: number, parked: number): void;
  lost(destination: string, count: number): void;
  stands(read: () => readonly { readonly destination: string; readonly state: LaneState }[]): void;
  parked(read: () => readonly { readonly destination: string; readonly count: number }[]): void;
}

export function createForwarderMetrics(metrics: Metrics, nowMs: () => number): ForwarderMetrics {
  const by = ['destination'];
  const requests = metrics.counter('requests_total', 'Batches sent, by what the destination did', [
    ...by,
    'verdict',
  ]);
  const events = metrics.counter('events_total', 'Events by their outcome at the destination', [
    ...by,
    'outcome',
  ]);
  const gone = metrics.counter(
    'lost_offsets_total',
    'Offsets that Kafka let go of before they were forwarded',
    by,
  );
  const lag = metrics.gauge(
    'lag_seconds',
    'Age of the oldest record of the last chunk that has its outcome',
    by,
  );
  return {
    sent: (destination, { kind }) => requests.add(1, { destination, verdict: kind }),
    forwarded(destination, chunk, { taken, parked, unwanted, others }) {
      events.add(taken, { destination, outcome: 'taken' });
      events.add(parked, { destination, outcome: 'parked' });
      events.add(unwanted, { destination, outcome: 'unwanted' });
      events.add(others, { destination, outcome: 'no_event' });
      if (chunk.oldestAppendedAtMs !== undefined)
        lag.set((nowMs() - chunk.oldestAppendedAtMs) / 1_000, { destination });
    },
    replayed(destination, taken, parked) {
      events.add(taken, { destination, outcome: 'taken' });
      events.add(parked, { destination, outcome: 'parked' });
    },
    lost: (destination, count) => gone.add(count, { destination }),
    stands(read) {
      metrics.gauge('state', '0 active, 1 retrying, 2 stopped until a person acts', by, (gauge) => {
        for (const { destination, state } of read())
          gauge.set({ active: 0, retrying: 1, stopped: 2 }[state], { destination });
      });
    },
    parked(read) {
      metrics.gauge(
        'parked_records',
        'Records that a destination refused and that wait for a person',
        by,
        (gauge) => {
          for (const { destination, count } of read()) gauge.set(count, { destination });
        },
      );
    },
  };
}
