import { isAbsolute, join, resolve } from 'node:path';
import { privacyRulesSchema, sealedResponsesSchema } from '@cairn/privacy';
import { readConfig, shapes } from '@cairn/runtime';
import { z } from 'zod';

const { name } = shapes;

const toolSchema = z.strictObject({
  action: z.enum(['read', 'create', 'update', 'delete', 'execute', 'communicate', 'pay', 'other']).optional(),
  sensitivity: z.enum(['public', 'internal', 'sensitive', 'restricted']).optional(),
  data_classes: z.array(z.string().min(1).max(64)).max(16).default([]),
  timeout_ms: z.int().min(1).max(3_600_000).optional(),
});

const upstreamSchema = z
  .strictObject({
    /** Streamable HTTP endpoint of the server. */
    url: z.url().optional(),
    /** Sent to the server with each request; the agent's own credential never is. */
    headers: z.record(z.string(), z.string()).default({}),
    /** Or a command that speaks MCP over stdio. */
    command: z.string().optional(),
    args: z.array(z.string()).default([]),
    env: z.record(z.string(), z.string()).default({}),
    timeout_ms: z.int().min(1).max(3_600_000).default(60_000),
    /** By name of the tool; `*` stands for any characters, and the first that matches holds. */
    tools: z.record(z.string(), toolSchema).default({}),
  })
  .refine((upstream) => (upstream.url === undefined) !== (upstream.command === undefined), {
    message: 'must have either url or command',
  });

const identitySchema = z.strictObject({
  /** SHA-256 of the credential, hex: `printf %s "$credential" | sha256sum`. */
  credential_sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits'),
  org: name,
  agent: z.string().min(1).max(128),
  agent_version: z.string().max(64).default(''),
  /** The person for whom the agent acts; recorded as a token. */
  user: z.string().max(256).default(''),
  principal_type: z.enum(['human', 'service', 'agent', 'device']).default('agent'),
  environment: z.string().max(64).optional(),
});

const schema = z.strictObject({
  deployment: name,
  gateway_id: name,
  environment: z.string().max(64).default(''),
  listen: z
    .strictObject({
      host: z.string().default('127.0.0.1'),
      port: shapes.port.default(18_200),
      /** Origins of browsers that may call; others are refused. */
      origins: z.array(z.string()).default([]),
    })
    .prefault({}),
  health: shapes.listening(18_201),
  kafka: shapes.shipping,
  schema_registry_url: shapes.schemaRegistryUrl,
  /** Spool, keys and epoch. Local disk that survives restarts. */
  data_directory: z.string().min(1),
  retention: shapes.retention,
  policy: z.strictObject({
    /** Holds `*.cedar`. */
    directory: z.string().min(1),
    mode: z.enum(['enforce', 'monitor']).default('enforce'),
  }),
  identities: z.array(identitySchema).default([]),
  /** Who calls without a credential are; only while listening on loopback. */
  anonymous: z.strictObject({ org: name, agent: z.string().min(1).max(128) }).optional(),
  upstreams: z
    .record(name, upstreamSchema)
    .refine((all) => Object.keys(all).length > 0, 'must name at least one'),
  privacy: z
    .strictObject({
      rules: privacyRulesSchema.default([]),
      /** What rules that seal need. */
      sealing: z
        .strictObject({
          /** Files of 32 bytes, in base64: the first wraps the keys of subjects, all of them unwrap. */
          key_encryption_keys: z.array(z.string().min(1)).min(1),
          /** Keys of subjects; default `subjects` in the data directory. Gateways may share it. */
          directory: z.string().min(1).optional(),
          /** Tools whose whole responses are sealed. */
          responses: sealedResponsesSchema.default([]),
        })
        .optional(),
    })
    .prefault({}),
  recorder: z
    .strictObject({
      spool_bytes_max: z
        .int()
        .min(4 * 1024 ** 2)
        .optional(),
      sign: z.enum(['seals', 'every']).default('seals'),
      on_full: z.enum(['refuse', 'gap']).default('refuse'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      request_bytes_max: z
        .int()
        .min(1_024)
        .default(4 * 1024 ** 2),
      response_bytes_max: z
        .int()
        .min(1_024)
        .default(64 * 1024 ** 2),
    })
    .prefault({}),
  log_level: shapes.logLevel,
});

const checked = schema.superRefine((config, context) => {
  const loopback = ['127.0.0.1', '::1', 'localhost'].includes(config.listen.host);
  if (config.anonymous && !loopback) {
    context.addIssue({
      code: 'custom',
      path: ['anonymous'],
      message: 'is only allowed while listening on loopback',
    });
  }
  const { rules, sealing } = config.privacy;
  if (sealing === undefined && rules.some((rule) => rule.do === 'seal')) {
    context.addIssue({
      code: 'custom',
      path: ['privacy', 'sealing'],
      message: 'must name a key-encryption key, since a rule seals',
    });
  }
});

export type GatewayConfig = z.infer<typeof schema>;
export type UpstreamConfig = z.infer<typeof upstreamSchema>;

/**
 * The configuration of a gateway: `CAIRN_GATEWAY_CONFIG` names a YAML file, a few variables win over it. Paths in the
 * file are relative to it.
 *
 * @throws Failure `config.invalid` with every mistake.
 */
export function readGatewayConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): GatewayConfig {
  const file = env['CAIRN_GATEWAY_CONFIG'];
  const config = readConfig({
    name: 'gateway',
    schema: checked,
    env,
    file,
    names: {
      KAFKA_BROKERS: 'kafka.brokers',
      SCHEMA_REGISTRY_URL: 'schema_registry_url',
      CAIRN_GATEWAY_HOST: 'listen.host',
      CAIRN_GATEWAY_PORT: 'listen.port',
      CAIRN_GATEWAY_HEALTH_HOST: 'health.host',
      CAIRN_GATEWAY_HEALTH_PORT: 'health.port',
      CAIRN_GATEWAY_DATA_DIRECTORY: 'data_directory',
      CAIRN_LOG_LEVEL: 'log_level',
    },
  });
  const from = (path: string) => (isAbsolute(path) || !file ? path : join(resolve(file, '..'), path));
  const { sealing } = config.privacy;
  return {
    ...config,
    data_directory: from(config.data_directory),
    policy: { ...config.policy, directory: from(config.policy.directory) },
    privacy: {
      ...config.privacy,
      sealing: sealing && {
        ...sealing,
        key_encryption_keys: sealing.key_encryption_keys.map(from),
        directory: from(sealing.directory ?? join(config.data_directory, 'subjects')),
      },
    },
  };
}

/** The credential of the agent that a stdio gateway serves; absent for an anonymous one. */
export function readStdioCredential(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  return env['CAIRN_CREDENTIAL'];
}
