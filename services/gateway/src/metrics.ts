import type { RecorderStats } from '@cairn/recorder';
import type { Metrics } from '@cairn/runtime';

/** What a gateway counts. */
export function createGatewayMetrics(metrics: Metrics) {
  const calls = metrics.counter('calls_total', 'Calls by how they ended', ['service', 'result_status']);
  const refused = metrics.counter('refused_total', 'Messages refused before any call was opened', ['reason']);
  const withheld = metrics.counter(
    'withheld_total',
    'Calls refused or answers withheld because they could not be recorded',
  );
  const seconds = metrics.histogram('call_seconds', 'Time of a call through the gateway', ['service']);
  const overhead = metrics.histogram(
    'overhead_seconds',
    'Time of a call that was not spent in the upstream',
    ['service'],
  );
  return {
    ended(service: string, result_status: string, latencyMs: number, upstreamMs: number): void {
      calls.add(1, { service, result_status });
      seconds.observe(latencyMs / 1_000, { service });
      overhead.observe(Math.max(0, latencyMs - upstreamMs) / 1_000, { service });
    },
    refused: (reason: string): void => refused.add(1, { reason }),
    withheld: (): void => withheld.add(1),
    recorder(stats: () => RecorderStats): void {
      const gauge = (name: string, help: string, read: (stats: RecorderStats) => number): void => {
        metrics.gauge(name, help, [], (metric) => metric.set(read(stats())));
      };
      gauge('spool_bytes', 'Bytes of the spool', ({ spoolBytes }) => spoolBytes);
      gauge('spool_records', 'Events recorded and not yet in the log', ({ spoolRecords }) => spoolRecords);
      gauge(
        'spool_oldest_seconds',
        'Age of the oldest event not yet in the log',
        ({ oldestUnshippedMs }) => oldestUnshippedMs / 1_000,
      );
      gauge('events_recorded', 'Events recorded since the start', ({ recorded }) => recorded);
      gauge('events_shipped', 'Events that the log acknowledged since the start', ({ shipped }) => shipped);
      gauge('findings', 'What the recorder found wrong with its own past', ({ findings }) => findings);
    },
  };
}
