import { readConfig, shapes } from '@cairn/runtime';
import { z } from 'zod';

const collection = z.string().regex(/^[a-z][a-z0-9_]{0,62}$/);

const schema = z.object({
  host: z.string().default('127.0.0.1'),
  port: shapes.port.default(18_250),
  deployment: shapes.deployment,
  instance: shapes.instance('query'),
  /** Organisation of refusals that belong to none: a credential that nobody has. */
  org: shapes.ownOrg,
  environment: z.string().default(''),
  kafka: z.object({ brokers: shapes.brokers }),
  schemaRegistryUrl: shapes.schemaRegistryUrl,
  clickhouse: z.object({
    url: z.url({ protocol: /^https?$/ }),
    user: z.string().optional(),
    password: z.string().optional(),
  }),
  /** What several processes know together: counts of requests and claimed keys. Absent, each process has its own. */
  redisUrl: z.url({ protocol: /^rediss?$/ }).optional(),
  /** Who analysts' SQL runs as; default the user above. On a server, one that may read cairn.events and nothing else. */
  analyst: z.object({ user: z.string().optional(), password: z.string().optional() }).prefault({}),
  classes: shapes.classes,
  retentionFile: z.string().default('deploy/config/retention.yaml'),
  /** The spool of what is recorded here. Local disk; one process. */
  dataDirectory: z.string().min(1),
  /** People with a token of this issuer may ask as well; absent, only keys count. */
  oidc: z
    .object({
      issuer: z.url(),
      audience: z.string().min(1),
      /** Default `<issuer>/.well-known/jwks.json`. */
      jwksUrl: z.url().optional(),
      /** Claims that say what a person may. */
      orgClaim: z.string().default('org'),
      roleClaim: z.string().default('role'),
    })
    .optional(),
  limits: z
    .object({
      /** Requests of one key in a minute. */
      perKeyAMinute: z.coerce.number().int().min(1).default(300),
      /** Requests of one address in a minute, before anybody is known. */
      perAddressAMinute: z.coerce.number().int().min(1).default(1_200),
      /** Exports and live tails that run at the same time. */
      streamsMax: z.coerce.number().int().min(1).default(8),
    })
    .prefault({}),
  /** The archive: where both are named, cold events, proofs and bundles are served as well. */
  s3: z
    .object({
      endpoint: z.url(),
      bucket: z.string().min(3).max(63).default('cairn-archive'),
      /** Bucket of the query copies, where there is one. */
      copies: z.string().min(3).max(63).optional(),
      region: z.string().default('us-east-1'),
      accessKey: z.string().min(1),
      secretKey: z.string().min(1),
    })
    .optional(),
  /** Verifier key of the root, `<deployment>/root+…`: what of the archive is believed. */
  rootVkey: z.string().optional(),
  /** Names under which ClickHouse keeps the buckets (`cairn attach`). */
  collections: z
    .object({ archive: collection.default('cairn_archive'), copies: collection.default('cairn_copies') })
    .prefault({}),
  /** Private key of the archive, PEM: signs evidence bundles. Without it none is made. */
  bundleKeyFile: z.string().optional(),
  /** Keys of sealed values; without them nothing is unsealed. */
  unsealing: z
    .object({
      /** Directory of the keys of subjects: that of the gateway. */
      store: z.string().min(1),
      /** Files of the key-encryption keys. */
      keyEncryptionKeys: shapes.listed,
    })
    .optional(),
  /** How long a key that was looked up counts; so long a revocation may take. */
  keyAgeMsMax: z.coerce.number().int().min(0).max(60_000).default(2_000),
  health: shapes.listening(18_251),
  logLevel: shapes.logLevel,
});

export type QueryConfig = z.infer<typeof schema>;

/** The configuration of the query API: `CAIRN_QUERY_CONFIG` names a file, the environment wins. @throws Failure `config.invalid` */
export function readQueryConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): QueryConfig {
  return readConfig({
    name: 'query',
    schema,
    env,
    file: env['CAIRN_QUERY_CONFIG'],
    names: {
      CAIRN_QUERY_HOST: 'host',
      CAIRN_QUERY_PORT: 'port',
      CAIRN_DEPLOYMENT: 'deployment',
      CAIRN_QUERY_INSTANCE: 'instance',
      CAIRN_QUERY_ORG: 'org',
      CAIRN_ENVIRONMENT: 'environment',
      KAFKA_BROKERS: 'kafka.brokers',
      SCHEMA_REGISTRY_URL: 'schemaRegistryUrl',
      CLICKHOUSE_URL: 'clickhouse.url',
      CLICKHOUSE_USER: 'clickhouse.user',
      CLICKHOUSE_PASSWORD: 'clickhouse.password',
      CAIRN_QUERY_ANALYST_USER: 'analyst.user',
      CAIRN_QUERY_ANALYST_PASSWORD: 'analyst.password',
      CAIRN_QUERY_REDIS_URL: 'redisUrl',
      CAIRN_CLASSES: 'classes',
      CAIRN_RETENTION_CONFIG: 'retentionFile',
      CAIRN_QUERY_DATA_DIRECTORY: 'dataDirectory',
      CAIRN_QUERY_OIDC_ISSUER: 'oidc.issuer',
      CAIRN_QUERY_OIDC_AUDIENCE: 'oidc.audience',
      CAIRN_QUERY_OIDC_JWKS_URL: 'oidc.jwksUrl',
      CAIRN_QUERY_REQUESTS_PER_KEY: 'limits.perKeyAMinute',
      CAIRN_QUERY_REQUESTS_PER_ADDRESS: 'limits.perAddressAMinute',
      CAIRN_QUERY_STREAMS_MAX: 'limits.streamsMax',
      CAIRN_QUERY_KEY_AGE_MS_MAX: 'keyAgeMsMax',
      S3_ENDPOINT: 's3.endpoint',
      S3_BUCKET: 's3.bucket',
      S3_COPY_BUCKET: 's3.copies',
      S3_REGION: 's3.region',
      S3_ACCESS_KEY: 's3.accessKey',
      S3_SECRET_KEY: 's3.secretKey',
      CAIRN_ROOT_KEY: 'rootVkey',
      CAIRN_ARCHIVE_COLLECTION: 'collections.archive',
      CAIRN_COPIES_COLLECTION: 'collections.copies',
      CAIRN_QUERY_BUNDLE_KEY: 'bundleKeyFile',
      CAIRN_QUERY_SUBJECT_STORE: 'unsealing.store',
      CAIRN_QUERY_KEY_ENCRYPTION_KEYS: 'unsealing.keyEncryptionKeys',
      CAIRN_QUERY_HEALTH_HOST: 'health.host',
      CAIRN_QUERY_HEALTH_PORT: 'health.port',
      CAIRN_LOG_LEVEL: 'logLevel',
    },
  });
}
