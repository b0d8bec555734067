import type { AssignedPartition, Chunk, Metrics } from '@cairn/runtime';
import type { Alert, Attempt, Delivery, DeliveryCounts } from '@cairn/webhook';
import type { ReadRules } from './rule-book.ts';
import type { Watched } from './watch-chunk.ts';

/** What alerting counts. */
export interface AlertingMetrics {
  watched(partition: AssignedPartition, chunk: Chunk, watched: Watched): void;
  told(alert: Alert): void;
  attempted(delivery: Delivery, attempt: Attempt, next: string): void;
  ruled(rules: ReadRules): void;
  troubled(): void;
  rebuilt(): void;
  owed(read: () => readonly DeliveryCounts[]): void;
}

/** @param nowMs milliseconds since 1970. */
export function createAlertingMetrics(metrics: Metrics, nowMs: () => number): AlertingMetrics {
  const byPartition = ['topic', 'partition'];
  const events = metrics.counter('events_watched_total', 'Events that were held against the rules');
  const duplicates = metrics.counter(
    'events_duplicate_total',
    'Events that a gateway sent twice, counted once',
  );
  const skewed = metrics.counter(
    'events_skewed_total',
    'Events whose own time was too far from their arrival, counted at their arrival',
  );
  const firings = metrics.counter('firings_total', 'Windows and events for which a rule held');
  const alerts = metrics.counter('alerts_total', 'Alerts that were told', ['what', 'level']);
  const seconds = metrics.histogram(
    'event_watch_seconds',
    'From the arrival of the oldest record of a chunk at the broker until its alerts are on disk',
  );
  const lag = metrics.gauge('lag_records', 'Records appended and not yet watched', byPartition);
  const attempts = metrics.counter('webhook_attempts_total', 'Attempts to tell an endpoint', [
    'endpoint',
    'next',
  ]);
  const latency = metrics.histogram('webhook_delivery_seconds', 'From a promise to its delivery', [
    'endpoint',
  ]);
  const rules = metrics.gauge('rules', 'Rules in force', ['kind']);
  const mistakes = metrics.gauge('rules_mistaken', 'Rules that do not run because of a mistake');
  const reopened = metrics.counter(
    'partitions_reopened_total',
    'Times that a partition had to be taken up again',
  );
  const rebuilt = metrics.counter(
    'windows_rebuilt_total',
    'Times that lost windows were made again from the log',
  );
  return {
    watched({ topic, partition }, { oldestAppendedAtMs, behind }, watched) {
      events.add(watched.events);
      duplicates.add(watched.duplicates);
      skewed.add(watched.skewed);
      firings.add(watched.firings);
      if (oldestAppendedAtMs !== undefined) seconds.observe((nowMs() - oldestAppendedAtMs) / 1_000);
      lag.set(Math.max(0, behind), { topic, partition: String(partition) });
    },
    told: ({ what, level }) => alerts.add(1, { what, level }),
    attempted({ endpoint, addedMs }, _, next) {
      attempts.add(1, { endpoint, next });
      if (next === 'delivered') latency.observe((nowMs() - addedMs) / 1_000, { endpoint });
    },
    ruled({ rules: { detections, correlations }, mistakes: found }) {
      rules.set(detections.length, { kind: 'detection' });
      rules.set(correlations.length, { kind: 'correlation' });
      mistakes.set(found.length);
    },
    troubled: () => reopened.add(1),
    rebuilt: () => rebuilt.add(1),
    owed(read) {
      metrics.gauge('webhook_deliveries', 'Deliveries that wait', ['endpoint', 'state'], (gauge) => {
        for (const { endpoint, due, parked } of read()) {
          gauge.set(due, { endpoint, state: 'due' });
          gauge.set(parked, { endpoint, state: 'parked' });
        }
      });
    },
  };
}
