export { awaitTopics, ensureTopicsSoon, type TopicMaker, type TopicsOf } from './await-topics.ts';
export { type Clock, realClock } from './clock.ts';
export * as shapes from './config-shapes.ts';
export {
  type AssignedPartition,
  type ConsumeOptions,
  type Consumption,
  consume,
  type PartitionWork,
  type RawSource,
} from './consume.ts';
export { type HealthOptions, type HealthServer, type Readiness, serveHealth } from './health.ts';
export { type HttpServer, listen, serveUntilDisposed } from './listen.ts';
export { createLog, type Logger, type LogOptions } from './log.ts';
export { type LogBatch, type LogRecord, recordOf, recordValue } from './log-record.ts';
export type { Chunk, ChunkLimits, ChunkMaking, Gathering } from './mailbox.ts';
export {
  type CounterMetric,
  createMetrics,
  type GaugeMetric,
  type HistogramMetric,
  type Labels,
  type Metrics,
} from './metrics.ts';
export { owning } from './owning.ts';
export { type KeptRecords, Pages, Shelf } from './pages.ts';
export { type EnvironmentNames, type ReadConfigOptions, readConfig } from './read-config.ts';
export { readRetention, readRetentionFile } from './read-retention.ts';
export { readSecret } from './read-secret.ts';
export { type RunOptions, runService, type ServiceContext } from './run-service.ts';
export { VERSION } from './version.ts';
