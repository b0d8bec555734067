import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client';

export type Labels = Readonly<Record<string, string>>;

export interface CounterMetric {
  add(count?: number, labels?: Labels): void;
}
export interface GaugeMetric {
  set(value: number, labels?: Labels): void;
}
export interface HistogramMetric {
  /** Seconds, as Prometheus wants durations. */
  observe(value: number, labels?: Labels): void;
}

/** The metrics of one service. Names come out as `cairn_<service>_<thing>_<unit>`; counters end in `_total`. */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): CounterMetric;
  /** With `collect` the value is read when the page is asked for. */
  gauge(
    name: string,
    help: string,
    labels?: readonly string[],
    collect?: (gauge: GaugeMetric) => void,
  ): GaugeMetric;
  histogram(
    name: string,
    help: string,
    labels?: readonly string[],
    buckets?: readonly number[],
  ): HistogramMetric;
  /** The page in Prometheus text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

const LATENCY_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/**
 * A registry of its own for each service, so that several services in one process do not mix.
 *
 * @param service lower-case name, the second word of every metric.
 */
export function createMetrics(service: string): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: `cairn_${service}_` });
  const full = (name: string) => `cairn_${service}_${name}`;
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    counter(name, help, labels = []) {
      const counter = new Counter({ name: full(name), help, labelNames: [...labels], registers: [registry] });
      return { add: (count = 1, values = {}) => counter.inc(values, count) };
    },
    gauge(name, help, labels = [], collect) {
      const metric: GaugeMetric = { set: (value, values = {}) => gauge.set(values, value) };
      const gauge = new Gauge({
        name: full(name),
        help,
        labelNames: [...labels],
        registers: [registry],
        ...(collect === undefined ? {} : { collect: () => collect(metric) }),
      });
      return metric;
    },
    histogram(name, help, labels = [], buckets = LATENCY_BUCKETS_SECONDS) {
      const histogram = new Histogram({
        name: full(name),
        help,
        labelNames: [...labels],
        buckets: [...buckets],
        registers: [registry],
      });
      return { observe: (value, values = {}) => histogram.observe(values, value) };
    },
  };
}
