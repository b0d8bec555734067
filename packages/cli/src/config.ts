import { hostname } from 'node:os';
import { join } from 'node:path';
import { portsFrom, REPOSITORY, S3_ACCESS_KEY, S3_SECRET_KEY } from '@cairn/local';
import { readConfig, shapes } from '@cairn/runtime';
import { z } from 'zod';

export type Environment = Readonly<Record<string, string | undefined>>;

const schema = z.object({
  clickhouse: z.object({
    url: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }),
    user: z.string().optional(),
    password: z.string().optional(),
  }),
  kafkaBrokers: z.string().min(1),
  schemaRegistryUrl: shapes.schemaRegistryUrl,
  redisUrl: z.string().min(1),
  s3: z.object({
    endpoint: z.string().min(1),
    region: z.string().min(1).default('us-east-1'),
    /** Default those that the AWS libraries find. */
    accessKey: z.string().optional(),
    secretKey: z.string().optional(),
  }),
  /** Names under which ClickHouse keeps the buckets of the archive and of the copies. */
  collections: z
    .object({
      archive: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,62}$/)
        .default('cairn_archive'),
      copies: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,62}$/)
        .default('cairn_copies'),
    })
    .prefault({}),
  /** Name of the installation, as its services have it. */
  deployment: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/)
    .optional(),
  /** The recorder of what is done here. Its id must be another on each machine, as a gateway's is. */
  acts: z.object({
    id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower-case letters, digits and hyphens'),
    directory: z.string().min(1),
  }),
  /** Keys of subjects, as the gateway's configuration names them. */
  subjects: z
    .object({
      directory: z.string().optional(),
      keyEncryptionKeys: z
        .string()
        .default('')
        .transform((text) => text.split(',').filter((file) => file !== '')),
    })
    .prefault({}),
  /** Verifier key of the root, or the file that holds it. */
  rootKey: z.string().optional(),
  /** The query API, and the key with which it is asked. */
  api: z
    .object({
      url: z.url({ protocol: /^https?$/ }).default('http://127.0.0.1:18250'),
      key: z.string().trim().optional(),
    })
    .prefault({}),
  /** Retention classes whose topics are looked at. */
  classes: z
    .string()
    .default('standard')
    .transform((text) => text.split(',').map((name) => name.trim())),
  /** Directory of the local parts' data. */
  localDirectory: z.string().min(1),
  /** Retention policy. */
  retentionFile: z.string().min(1),
  /** Shows where an unexpected error came from. */
  debug: z.string().optional(),
});

/** Where the command line finds things; flags win over the environment, the environment over the local parts. */
export type CliConfig = z.infer<typeof schema>;

/** @throws Failure `config.invalid` with every mistake. */
export function readCliConfig(env: Environment): CliConfig {
  const ports = portsFrom(env);
  const local = {
    CLICKHOUSE_URL: `http://127.0.0.1:${ports.clickhouse}`,
    KAFKA_BROKERS: `127.0.0.1:${ports.kafka}`,
    REDIS_URL: `redis://127.0.0.1:${ports.redis}`,
    S3_ENDPOINT: `http://127.0.0.1:${ports.s3}`,
    // Those of the local store; another one's are told, or found by the AWS libraries.
    ...((env['S3_ENDPOINT'] ?? '') === '' ? { S3_ACCESS_KEY, S3_SECRET_KEY } : {}),
    CAIRN_LOCAL_DIRECTORY: join(REPOSITORY, '.local', 'data'),
    CAIRN_ACTS_ID: `cli-${hostname()
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')}`.slice(0, 63),
    CAIRN_ACTS_DIRECTORY: join(env['CAIRN_LOCAL_DIRECTORY'] || join(REPOSITORY, '.local', 'data'), 'acts'),
    CAIRN_RETENTION_CONFIG: join(REPOSITORY, 'deploy', 'config', 'retention.yaml'),
  };
  const named = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== '' && value !== undefined),
  );
  return readConfig({
    name: 'the command line',
    schema,
    env: { ...local, ...named },
    names: {
      CLICKHOUSE_URL: 'clickhouse.url',
      CLICKHOUSE_USER: 'clickhouse.user',
      CLICKHOUSE_PASSWORD: 'clickhouse.password',
      KAFKA_BROKERS: 'kafkaBrokers',
      SCHEMA_REGISTRY_URL: 'schemaRegistryUrl',
      REDIS_URL: 'redisUrl',
      S3_ENDPOINT: 's3.endpoint',
      S3_REGION: 's3.region',
      S3_ACCESS_KEY: 's3.accessKey',
      S3_SECRET_KEY: 's3.secretKey',
      CAIRN_ARCHIVE_COLLECTION: 'collections.archive',
      CAIRN_COPIES_COLLECTION: 'collections.copies',
      CAIRN_DEPLOYMENT: 'deployment',
      CAIRN_ACTS_ID: 'acts.id',
      CAIRN_ACTS_DIRECTORY: 'acts.directory',
      CAIRN_SUBJECTS_DIRECTORY: 'subjects.directory',
      CAIRN_KEY_ENCRYPTION_KEYS: 'subjects.keyEncryptionKeys',
      CAIRN_ROOT_KEY: 'rootKey',
      CAIRN_API_URL: 'api.url',
      CAIRN_API_KEY: 'api.key',
      CAIRN_CLASSES: 'classes',
      CAIRN_LOCAL_DIRECTORY: 'localDirectory',
      CAIRN_RETENTION_CONFIG: 'retentionFile',
      CAIRN_DEBUG: 'debug',
    },
  });
}

/** The environment of this process. */
export const environment = (): Environment => process.env;

/** Whether colours help: on a terminal that knows them, unless the person said no (no-color.org). */
export function wantsColor(isTerminal: boolean, env: Environment): boolean {
  return isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

/** Where the numbered migrations are. */
export const MIGRATIONS = join(REPOSITORY, 'deploy', 'clickhouse');

/** Where the rules of alerts are, and the events that show what each does. */
export const RULES = join(REPOSITORY, 'deploy', 'config', 'rules');
export const SAMPLES = join(REPOSITORY, 'schemas', 'samples');
/** The example configuration of alerting. */
export const ALERTING = join(REPOSITORY, 'deploy', 'config', 'alerting.yaml');
