import { readConfig, shapes } from '@cairn/runtime';
import { z } from 'zod';

/** `name=url=what its answers are checked with`, separated by commas. */
const thirdParties = z
  .string()
  .default('')
  .transform(shapes.list)
  .pipe(z.array(z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}=https?:\/\/[^=]+=.+$/)));

const schema = z.object({
  deployment: shapes.deployment,
  instance: shapes.instance('archival'),
  /** Organisation that the installation's own events belong to: job runs, and what is found of a log as a whole. */
  org: shapes.ownOrg,
  environment: z.string().default(''),
  kafka: z.object({
    brokers: shapes.brokers,
    group: z.string().min(1).default('cairn-archival'),
    sessionMsMax: shapes.sessionMsMax,
  }),
  clickhouse: shapes.clickhouse,
  s3: z.object({
    endpoint: z.url(),
    bucket: z.string().min(3).max(63).default('cairn-archive'),
    region: z.string().default('us-east-1'),
    accessKey: z.string().min(1),
    secretKey: z.string().min(1),
  }),
  schemaRegistryUrl: shapes.schemaRegistryUrl,
  /** Retention classes whose topics are archived. */
  classes: shapes.classes,
  retentionFile: z.string().default('deploy/config/retention.yaml'),
  /** Keys and the spool of this service's own events. Local disk; the keys are the deployment's and must be backed up. */
  dataDirectory: z.string().min(1),
  /** Where the signing keys are, when instances share them; default `keys` in the data directory. */
  keyDirectory: z.string().optional(),
  /** Verifier key of the root, `<deployment>/root+…`. Without it signatures of gateways are not judged while archiving. */
  rootVkey: z.string().optional(),
  segment: z
    .object({
      /** Longest that an event is taken and not archived. */
      ageMsMax: z.coerce.number().int().min(100).max(86_400_000).default(900_000),
    })
    .prefault({}),
  chunk: z
    .object({
      recordsMax: z.coerce.number().int().min(1).max(1_000_000).default(20_000),
      bytesMax: shapes.bytes(16 * 1024 ** 2),
      ageMsMax: shapes.ms(1, 60_000, 500),
    })
    .prefault({}),
  bufferBytesMax: shapes.bytes(16 * 1024 ** 2),
  /** How long manifests, checkpoints, anchors and tombstones are locked at least; they outlive the segments. */
  notesLockDays: z.coerce.number().int().min(1).max(36_500).default(3_653),
  /** Longest time without an event of a stream that was not closed. */
  silenceMsMax: z.coerce.number().int().min(10_000).default(60_000),
  /** When the jobs run: cron expressions in UTC, with seconds in front where there are six fields; `off` runs it never. */
  jobs: z
    .object({
      anchor: z.string().default('*/10 * * * *'),
      verify: z.string().default('17 * * * *'),
      reconcile: z.string().default('37 * * * *'),
      hot: z.string().default('7 3 * * *'),
      expire: z.string().default('7 4 * * *'),
      holds: z.string().default('5-59/10 * * * *'),
      /** Only where there is a bucket of copies. */
      copy: z.string().default('27 * * * *'),
    })
    .prefault({}),
  /** Query copies of segments; none are made without a bucket for them. */
  copies: z
    .object({
      bucket: z.string().min(3).max(63).optional(),
      /** Name under which ClickHouse has that bucket, with keys that may write into it. */
      collection: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,62}$/)
        .default('cairn_copies'),
      /** Segments that one run copies. */
      segments: z.coerce.number().int().min(1).max(100_000).default(64),
    })
    .prefault({}),
  /** Segments that one run of `verify` reads back, oldest reading first. */
  verifySegments: z.coerce.number().int().min(1).max(100_000).default(16),
  /** Days back from now that `reconcile` compares; 0 compares all that ClickHouse holds. */
  reconcileDays: z.coerce.number().int().min(0).max(36_500).default(2),
  /** How old a segment must be to be compared: what came later may not be loaded yet. */
  reconcileGraceMs: z.coerce.number().int().min(0).default(300_000),
  /** Where timestamps are asked for: `name=url=file of trusted certificates`, separated by commas. */
  timestampAuthorities: thirdParties,
  /** Witnesses: `name=url=verifier key`, separated by commas. */
  witnesses: thirdParties,
  health: shapes.listening(18_221),
  logLevel: shapes.logLevel,
});

export type ArchivalConfig = z.infer<typeof schema>;

/** The configuration of archival, from the environment. @throws Failure `config.invalid` with every mistake. */
export function readArchivalConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): ArchivalConfig {
  return readConfig({
    name: 'archival',
    schema,
    env,
    names: {
      CAIRN_DEPLOYMENT: 'deployment',
      CAIRN_ARCHIVAL_INSTANCE: 'instance',
      CAIRN_ARCHIVAL_ORG: 'org',
      CAIRN_ENVIRONMENT: 'environment',
      KAFKA_BROKERS: 'kafka.brokers',
      CAIRN_ARCHIVAL_GROUP: 'kafka.group',
      CAIRN_ARCHIVAL_SESSION_MS_MAX: 'kafka.sessionMsMax',
      CLICKHOUSE_URL: 'clickhouse.url',
      CLICKHOUSE_USER: 'clickhouse.user',
      CLICKHOUSE_PASSWORD: 'clickhouse.password',
      S3_ENDPOINT: 's3.endpoint',
      S3_BUCKET: 's3.bucket',
      S3_REGION: 's3.region',
      S3_ACCESS_KEY: 's3.accessKey',
      S3_SECRET_KEY: 's3.secretKey',
      SCHEMA_REGISTRY_URL: 'schemaRegistryUrl',
      CAIRN_CLASSES: 'classes',
      CAIRN_RETENTION_CONFIG: 'retentionFile',
      CAIRN_ARCHIVAL_DATA_DIRECTORY: 'dataDirectory',
      CAIRN_ARCHIVAL_KEY_DIRECTORY: 'keyDirectory',
      CAIRN_ROOT_KEY: 'rootVkey',
      CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX: 'segment.ageMsMax',
      CAIRN_ARCHIVAL_CHUNK_RECORDS_MAX: 'chunk.recordsMax',
      CAIRN_ARCHIVAL_CHUNK_BYTES_MAX: 'chunk.bytesMax',
      CAIRN_ARCHIVAL_CHUNK_AGE_MS_MAX: 'chunk.ageMsMax',
      CAIRN_ARCHIVAL_BUFFER_BYTES_MAX: 'bufferBytesMax',
      CAIRN_ARCHIVAL_NOTES_LOCK_DAYS: 'notesLockDays',
      CAIRN_ARCHIVAL_SILENCE_MS_MAX: 'silenceMsMax',
      CAIRN_ARCHIVAL_JOB_ANCHOR: 'jobs.anchor',
      CAIRN_ARCHIVAL_JOB_VERIFY: 'jobs.verify',
      CAIRN_ARCHIVAL_JOB_RECONCILE: 'jobs.reconcile',
      CAIRN_ARCHIVAL_JOB_HOT: 'jobs.hot',
      CAIRN_ARCHIVAL_JOB_EXPIRE: 'jobs.expire',
      CAIRN_ARCHIVAL_JOB_HOLDS: 'jobs.holds',
      CAIRN_ARCHIVAL_JOB_COPY: 'jobs.copy',
      S3_COPY_BUCKET: 'copies.bucket',
      CAIRN_COPIES_COLLECTION: 'copies.collection',
      CAIRN_ARCHIVAL_COPY_SEGMENTS: 'copies.segments',
      CAIRN_ARCHIVAL_VERIFY_SEGMENTS: 'verifySegments',
      CAIRN_ARCHIVAL_RECONCILE_DAYS: 'reconcileDays',
      CAIRN_ARCHIVAL_RECONCILE_GRACE_MS: 'reconcileGraceMs',
      CAIRN_TIMESTAMP_AUTHORITIES: 'timestampAuthorities',
      CAIRN_WITNESSES: 'witnesses',
      CAIRN_ARCHIVAL_HEALTH_HOST: 'health.host',
      CAIRN_ARCHIVAL_HEALTH_PORT: 'health.port',
      CAIRN_LOG_LEVEL: 'logLevel',
    },
  });
}
