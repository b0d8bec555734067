import type { Metrics } from '@cairn/runtime';
import type { Imported } from './record-drafts.ts';

export interface ImporterMetrics {
  answered(route: string, status: number): void;
  imported(route: string, imported: Imported): void;
}

export function createImporterMetrics(metrics: Metrics): ImporterMetrics {
  const requests = metrics.counter('requests_total', 'Requests by route and status', ['route', 'status']);
  const records = metrics.counter('records_total', 'Spans, logs and events by their outcome', [
    'route',
    'outcome',
  ]);
  return {
    answered: (route, status) => requests.add(1, { route, status: String(status) }),
    imported(route, { recorded, others, rejected }) {
      records.add(recorded, { route, outcome: 'recorded' });
      records.add(others, { route, outcome: 'other' });
      records.add(rejected.length, { route, outcome: 'rejected' });
    },
  };
}
