import type { AssignedPartition, Chunk, Metrics } from '@cairn/runtime';
import type { Loaded } from './load-chunk.ts';
import type { LedgerState } from './verify-ledger.ts';

/** What ingest counts. */
export interface IngestMetrics {
  loaded(partition: AssignedPartition, chunk: Chunk, loaded: Loaded): void;
  troubled(): void;
  rewound(offsets: number): void;
  verified(states: readonly LedgerState[]): void;
  buffered(read: () => { readonly bytes: number; readonly partitions: number }): void;
}

export function createIngestMetrics(metrics: Metrics): IngestMetrics {
  const byPartition = ['topic', 'partition'];
  const events = metrics.counter('events_loaded_total', 'Events that became rows');
  const duplicates = metrics.counter(
    'events_duplicate',
    'Events that a gateway sent twice, dropped and declared',
  );
  const parked = metrics.counter('records_parked_total', 'Records that cannot become rows', ['reason']);
  const findings = metrics.counter('stream_findings_total', 'Gaps, forks and stale epochs seen in streams');
  const reopened = metrics.counter(
    'partitions_reopened_total',
    'Times that a chunk had to be taken up again',
  );
  const lost = metrics.counter(
    'offsets_rewound_total',
    'Offsets that Kafka had as loaded and the table did not',
  );
  const chunkRows = metrics.histogram(
    'chunk_rows',
    'Rows of a chunk',
    [],
    [1, 10, 100, 1e3, 1e4, 5e4, 1e5, 2e5],
  );
  const chunkSeconds = metrics.histogram('chunk_load_seconds', 'Time to load a chunk');
  const chunkAge = metrics.gauge(
    'chunk_age_seconds',
    'Age of the oldest record of the last chunk when it was loaded',
    byPartition,
  );
  const lag = metrics.gauge('lag_records', 'Records appended and not yet loaded', byPartition);
  const missing = metrics.gauge('ledger_missing', 'Offsets that are neither a row nor a gap', byPartition);
  const doubled = metrics.gauge('ledger_doubled', 'Rows beyond the first of their offset', byPartition);

  return {
    loaded({ topic, partition }, chunk, loaded) {
      const labels = { topic, partition: String(partition) };
      events.add(loaded.rows);
      duplicates.add(loaded.duplicates);
      for (const { reason } of loaded.parked) parked.add(1, { reason });
      findings.add(loaded.findings);
      chunkRows.observe(loaded.rows);
      chunkSeconds.observe(loaded.tookMs / 1_000);
      const { oldestAppendedAtMs: oldestMs } = chunk;
      if (oldestMs !== undefined) chunkAge.set((Date.now() - oldestMs) / 1_000, labels);
      lag.set(Math.max(0, chunk.behind), labels);
    },
    troubled: () => reopened.add(1),
    rewound: (offsets) => lost.add(offsets),
    verified(states) {
      for (const state of states) {
        const labels = { topic: state.topic, partition: String(state.partition) };
        missing.set(state.missing, labels);
        doubled.set(state.doubled, labels);
      }
    },
    buffered(read) {
      metrics.gauge('buffer_bytes', 'Records fetched and not yet loaded', [], (gauge) =>
        gauge.set(read().bytes),
      );
      metrics.gauge('partitions_owned', 'Partitions that this process loads', [], (gauge) =>
        gauge.set(read().partitions),
      );
    },
  };
}
