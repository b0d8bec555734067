import { isAbsolute, join, resolve } from 'node:path';
import { rulesWithoutSealingSchema } from '@cairn/privacy';
import { readConfig, shapes } from '@cairn/runtime';
import { z } from 'zod';

const { name } = shapes;

const keySchema = z.strictObject({
  /** Names the key in events and logs. */
  name,
  /** SHA-256 of the key, hex: `printf %s "$key" | sha256sum`. The key itself stands nowhere here. */
  key_sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits'),
  /** Organisation whose events it may bring. */
  org: name,
  /** The one agent whose events it may bring; without it, the agent is what the telemetry says. */
  agent: z.string().min(1).max(128).optional(),
});

const schema = z
  .strictObject({
    deployment: name,
    /** Names the stream of what is imported here, as a gateway's name does. */
    importer_id: name,
    environment: z.string().max(64).default(''),
    listen: shapes.listening(18_240),
    health: shapes.listening(18_241),
    kafka: shapes.shipping,
    schema_registry_url: shapes.schemaRegistryUrl,
    /** Spool, keys and epoch. Local disk that survives restarts. */
    data_directory: z.string().min(1),
    retention: shapes.retention,
    /** Who may bring events. Without a key nobody may. */
    keys: z.array(keySchema).min(1).max(1_000),
    privacy: z.strictObject({ rules: rulesWithoutSealingSchema.default([]) }).prefault({}),
    limits: z
      .strictObject({
        /** As sent, and after decompression. */
        body_bytes_max: z
          .int()
          .min(1_024)
          .max(64 * 1_024 ** 2)
          .default(4 * 1_024 ** 2),
        inflated_bytes_max: z
          .int()
          .min(1_024)
          .max(64 * 1_024 ** 2)
          .default(8 * 1_024 ** 2),
        /** Spans, logs or events of one request. */
        records_max: z.int().min(1).max(100_000).default(10_000),
      })
      .prefault({}),
    log_level: shapes.logLevel,
  })
  .superRefine(({ keys, privacy }, context) => {
    if (privacy.rules.some((rule) => rule.do === 'seal'))
      context.addIssue({
        code: 'custom',
        path: ['privacy', 'rules'],
        message: 'a rule seals, which gateways do and an importer does not',
      });
    keys.forEach(({ key_sha256 }, index) => {
      if (keys.findIndex((other) => other.key_sha256 === key_sha256) !== index)
        context.addIssue({ code: 'custom', path: ['keys', index, 'key_sha256'], message: 'stands twice' });
    });
  });

export type ImporterConfig = z.infer<typeof schema>;
export type ImportKey = z.infer<typeof keySchema>;

/**
 * The configuration of an importer: `CAIRN_IMPORTER_CONFIG` names a YAML file, a few variables win over it. Paths in the file are
 * relative to it.
 *
 * @throws Failure `config.invalid` with every mistake.
 */
export function readImporterConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): ImporterConfig {
  const file = env['CAIRN_IMPORTER_CONFIG'];
  const config = readConfig({
    name: 'importer',
    schema,
    env,
    file,
    names: {
      KAFKA_BROKERS: 'kafka.brokers',
      SCHEMA_REGISTRY_URL: 'schema_registry_url',
      CAIRN_IMPORTER_HOST: 'listen.host',
      CAIRN_IMPORTER_PORT: 'listen.port',
      CAIRN_IMPORTER_HEALTH_HOST: 'health.host',
      CAIRN_IMPORTER_HEALTH_PORT: 'health.port',
      CAIRN_IMPORTER_DATA_DIRECTORY: 'data_directory',
      CAIRN_LOG_LEVEL: 'log_level',
    },
  });
  const from = (path: string) => (isAbsolute(path) || !file ? path : join(resolve(file, '..'), path));
  return { ...config, data_directory: from(config.data_directory) };
}
