import { readConfig, shapes } from '@cairn/runtime';
import { webhooksSchema } from '@cairn/webhook';
import { z } from 'zod';

const schema = z.object({
  deployment: shapes.deployment,
  instance: shapes.instance('alerting'),
  /** Organisation that the installation's own events belong to: rule changes. */
  org: shapes.ownOrg,
  environment: z.string().default(''),
  kafka: z.object({
    brokers: shapes.brokers,
    group: z.string().min(1).default('cairn-alerting'),
    sessionMsMax: shapes.sessionMsMax,
  }),
  redisUrl: z.url({ protocol: /^rediss?$/ }),
  /** Where the weeks before are asked for when alerting starts anew; without it, baselines begin empty. */
  clickhouse: shapes.clickhouse.optional(),
  schemaRegistryUrl: shapes.schemaRegistryUrl,
  /** Retention classes whose topics are watched. */
  classes: shapes.classes,
  retentionFile: z.string().default('deploy/config/retention.yaml'),
  /** Directory of Sigma rules. Looked at again all the time. */
  rulesDirectory: z.string().default('deploy/config/rules'),
  rulesEveryMs: shapes.ms(100, 3_600_000, 2_000),
  /** The spool of this service's own events, and what is owed to endpoints. Local disk; one process. */
  dataDirectory: z.string().min(1),
  /** Where alerts are told. */
  webhooks: webhooksSchema.prefault({}),
  /** How long before its arrival an event may say that it happened, and still counts at that time. */
  latenessMsMax: shapes.ms(0, 86_400_000, 900_000),
  /** How far a gateway's clock may be ahead of the broker's. */
  aheadMsMax: shapes.ms(0, 86_400_000, 120_000),
  /** How long an alert of single events lasts after its last one. */
  quietMs: shapes.ms(1_000, 86_400_000, 3_600_000),
  /** How long after its end a window is judged that waits for something. */
  closeGraceMs: shapes.ms(0, 3_600_000, 5_000),
  endEveryMs: shapes.ms(10, 60_000, 1_000),
  /** How far back the very first start reads. */
  backlogMsMax: shapes.ms(0, 31 * 86_400_000, 3_600_000),
  chunk: z
    .object({
      /**
       * A call that begins in one chunk and ends in the next is a window in Redis, so a chunk holds more time than calls take, also when
       * there is much to read.
       */
      recordsMax: z.coerce.number().int().min(1).max(1_000_000).default(100_000),
      bytesMax: shapes.bytes(32 * 1024 ** 2),
      ageMsMax: shapes.ms(1, 60_000, 100),
    })
    .prefault({}),
  bufferBytesMax: shapes.bytes(64 * 1024 ** 2),
  health: shapes.listening(18_231),
  logLevel: shapes.logLevel,
});

export type AlertingConfig = z.infer<typeof schema>;

/**
 * The configuration of alerting: the file that `CAIRN_ALERTING_CONFIG` names, and the environment, which wins.
 *
 * @throws Failure `config.invalid` with every mistake.
 */
export function readAlertingConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): AlertingConfig {
  return readConfig({
    name: 'alerting',
    schema,
    env,
    file: env['CAIRN_ALERTING_CONFIG'],
    names: {
      CAIRN_DEPLOYMENT: 'deployment',
      CAIRN_ALERTING_INSTANCE: 'instance',
      CAIRN_ALERTING_ORG: 'org',
      CAIRN_ENVIRONMENT: 'environment',
      KAFKA_BROKERS: 'kafka.brokers',
      CAIRN_ALERTING_GROUP: 'kafka.group',
      CAIRN_ALERTING_SESSION_MS_MAX: 'kafka.sessionMsMax',
      REDIS_URL: 'redisUrl',
      CLICKHOUSE_URL: 'clickhouse.url',
      CLICKHOUSE_USER: 'clickhouse.user',
      CLICKHOUSE_PASSWORD: 'clickhouse.password',
      SCHEMA_REGISTRY_URL: 'schemaRegistryUrl',
      CAIRN_CLASSES: 'classes',
      CAIRN_RETENTION_CONFIG: 'retentionFile',
      CAIRN_RULES: 'rulesDirectory',
      CAIRN_ALERTING_RULES_EVERY_MS: 'rulesEveryMs',
      CAIRN_ALERTING_DATA_DIRECTORY: 'dataDirectory',
      CAIRN_ALERTING_LATENESS_MS_MAX: 'latenessMsMax',
      CAIRN_ALERTING_AHEAD_MS_MAX: 'aheadMsMax',
      CAIRN_ALERTING_QUIET_MS: 'quietMs',
      CAIRN_ALERTING_CLOSE_GRACE_MS: 'closeGraceMs',
      CAIRN_ALERTING_END_EVERY_MS: 'endEveryMs',
      CAIRN_ALERTING_BACKLOG_MS_MAX: 'backlogMsMax',
      CAIRN_ALERTING_CHUNK_RECORDS_MAX: 'chunk.recordsMax',
      CAIRN_ALERTING_CHUNK_BYTES_MAX: 'chunk.bytesMax',
      CAIRN_ALERTING_CHUNK_AGE_MS_MAX: 'chunk.ageMsMax',
      CAIRN_ALERTING_BUFFER_BYTES_MAX: 'bufferBytesMax',
      CAIRN_ALERTING_HEALTH_HOST: 'health.host',
      CAIRN_ALERTING_HEALTH_PORT: 'health.port',
      CAIRN_LOG_LEVEL: 'logLevel',
    },
  });
}
