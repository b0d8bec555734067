import { readConfig, shapes } from '@cairn/runtime';
import { z } from 'zod';

const schema = z.object({
  kafka: z.object({
    brokers: shapes.brokers,
    group: z.string().min(1).default('cairn-ingest'),
    sessionMsMax: shapes.sessionMsMax,
  }),
  clickhouse: shapes.clickhouse,
  schemaRegistryUrl: shapes.schemaRegistryUrl,
  /** Retention classes whose topics are read. */
  classes: shapes.classes,
  /** A chunk is loaded when it has so many records, holds so many bytes, or is so old. */
  chunk: z
    .object({
      recordsMax: z.coerce.number().int().min(1).max(1_000_000).default(100_000),
      /** Of its columns, which are about three quarters of its records; and of all chunks together that are loaded at a time. */
      bytesMax: shapes.bytes(32 * 1024 ** 2),
      ageMsMax: shapes.ms(1, 60_000, 250),
    })
    .prefault({}),
  /** Bytes of chunks that wait, of all partitions together, from which on one partition at a time is read. */
  bufferBytesMax: shapes.bytes(8 * 1024 ** 2),
  /** Chunks loaded at the same time, as far as `chunk.bytesMax` has room for them. */
  loadsAtOnce: z.coerce.number().int().min(1).max(64).default(16),
  verifyEveryMs: z.coerce.number().int().min(100).default(30_000),
  health: shapes.listening(18_211),
  logLevel: shapes.logLevel,
});

export type IngestConfig = z.infer<typeof schema>;

/** The configuration of ingest, from the environment. @throws Failure `config.invalid` with every mistake. */
export function readIngestConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): IngestConfig {
  return readConfig({
    name: 'ingest',
    schema,
    env,
    names: {
      KAFKA_BROKERS: 'kafka.brokers',
      CAIRN_INGEST_GROUP: 'kafka.group',
      CAIRN_INGEST_SESSION_MS_MAX: 'kafka.sessionMsMax',
      CLICKHOUSE_URL: 'clickhouse.url',
      CLICKHOUSE_USER: 'clickhouse.user',
      CLICKHOUSE_PASSWORD: 'clickhouse.password',
      SCHEMA_REGISTRY_URL: 'schemaRegistryUrl',
      CAIRN_CLASSES: 'classes',
      CAIRN_INGEST_CHUNK_RECORDS_MAX: 'chunk.recordsMax',
      CAIRN_INGEST_CHUNK_BYTES_MAX: 'chunk.bytesMax',
      CAIRN_INGEST_CHUNK_AGE_MS_MAX: 'chunk.ageMsMax',
      CAIRN_INGEST_BUFFER_BYTES_MAX: 'bufferBytesMax',
      CAIRN_INGEST_LOADS_AT_ONCE: 'loadsAtOnce',
      CAIRN_INGEST_VERIFY_EVERY_MS: 'verifyEveryMs',
      CAIRN_INGEST_HEALTH_HOST: 'health.host',
      CAIRN_INGEST_HEALTH_PORT: 'health.port',
      CAIRN_LOG_LEVEL: 'logLevel',
    },
  });
}
