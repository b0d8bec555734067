import { DECISION_SYMBOLS, KIND_SYMBOLS } from '@cairn/event';
import { readConfig, shapes } from '@cairn/runtime';
import { SYSLOG_BYTES_MIN } from '@cairn/siem';
import { refusalOfUrl } from '@cairn/webhook';
import { z } from 'zod';

const KIB = 1_024;
const MIB = 1_024 ** 2;

/** A batch is sent when it is full, or when its first record has waited so long. */
const batch = (itemsMax: number, bytesMax: number, bytesMost: number, itemsMost = 10_000) =>
  z
    .strictObject({
      itemsMax: z.int().min(1).max(itemsMost).default(itemsMax),
      bytesMax: z
        .int()
        .min(64 * KIB)
        .max(bytesMost)
        .default(bytesMax),
      ageMsMax: shapes.ms(1, 60_000, 1_000),
    })
    .prefault({});

const file = z.string().min(1);
const url = z.url({ protocol: /^https?$/ });

const common = {
  /** Names it in Kafka's group, in metrics, logs and parked records. Never changed: its place in the log is found by it. */
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  /** Which events go there. Without kinds, all but seals, which come every few seconds and say that nothing happened. */
  filter: z
    .strictObject({
      orgs: z.array(z.string().min(1)).min(1).optional(),
      kinds: z.array(z.enum(KIND_SYMBOLS)).min(1).optional(),
      decisions: z.array(z.enum(DECISION_SYMBOLS)).min(1).optional(),
      services: z.array(z.string().min(1)).min(1).optional(),
    })
    .prefault({}),
  /** Where it begins the very first time. */
  start: z.enum(['earliest', 'latest']).default('earliest'),
  /** PEM of the authorities that its certificate may be from, in place of the public ones. */
  caFile: file.optional(),
};

const splunk = z.strictObject({
  ...common,
  type: z.literal('splunk'),
  url,
  tokenFile: file,
  acknowledgement: z.enum(['indexer', 'off']).default('indexer'),
  index: z.string().min(1).max(80).optional(),
  sourcetype: z.string().min(1).max(80).optional(),
  batch: batch(500, MIB, 5 * MIB),
});

const datadog = z.strictObject({
  ...common,
  type: z.literal('datadog'),
  url,
  keyFile: file,
  tags: z.array(z.string().min(1).max(100)).max(20).default([]),
  // The intake takes 1,000 logs and 5 MB; what is more is cut there in silence.
  batch: batch(1_000, 4 * MIB, 4.25 * MIB, 1_000),
});

const elastic = z.strictObject({
  ...common,
  type: z.literal('elastic'),
  url,
  /** The whole `authorization` header, such as `ApiKey …`. */
  authorizationFile: file.optional(),
  index: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,200}$/)
    .default('logs-cairn.audit-default'),
  batch: batch(500, 4 * MIB, 8 * MIB),
});

const ocsf = z.strictObject({
  ...common,
  type: z.literal('ocsf'),
  url,
  authorizationFile: file.optional(),
  batch: batch(500, MIB, 8 * MIB),
});

const syslog = z.strictObject({
  ...common,
  type: z.literal('syslog'),
  host: z.string().min(1).max(253),
  port: z.int().min(1).max(65_535).default(6_514),
  /** Our own certificate and its key, for receivers that ask for one. */
  certFile: file.optional(),
  keyFile: file.optional(),
  enterprise: z.int().min(1).max(4_294_967_295).default(32_473),
  messageBytesMax: z.int().min(SYSLOG_BYTES_MIN).max(65_536).default(8_192),
  batch: batch(500, MIB, 8 * MIB),
});

const destinationSchema = z.discriminatedUnion('type', [splunk, datadog, elastic, ocsf, syslog]);

/** One receiver of events. */
export type DestinationConfig = z.infer<typeof destinationSchema>;

const schema = z
  .object({
    deployment: shapes.deployment,
    instance: shapes.instance('forwarder'),
    /** Organisation that the installation's own events belong to. */
    org: shapes.ownOrg,
    environment: z.string().default(''),
    retentionFile: z.string().default('deploy/config/retention.yaml'),
    kafka: z.object({
      brokers: shapes.brokers,
      /** Each destination's group is this name, a dash and its own. */
      group: z.string().min(1).default('cairn-forwarder'),
      sessionMsMax: shapes.sessionMsMax,
    }),
    schemaRegistryUrl: shapes.schemaRegistryUrl,
    /** Retention classes whose topics are forwarded. */
    classes: shapes.classes,
    /** What destinations refused, and the spool of what is recorded here. Local disk; one process. */
    dataDirectory: z.string().min(1),
    /** Which networks that are not public may be connected to, and whether without TLS. */
    network: z
      .strictObject({
        plainHttp: z.boolean().default(false),
        allow: z.array(z.union([z.cidrv4(), z.cidrv6()])).default([]),
      })
      .prefault({}),
    destinations: z.array(destinationSchema).min(1).max(32),
    /** Bytes of records that wait in memory, for each destination. */
    bufferBytesMax: shapes.bytes(8 * MIB),
    /** How long a destination that fails is left alone: at first, and at most. */
    restMs: z
      .object({ first: shapes.ms(10, 60_000, 1_000), most: shapes.ms(10, 600_000, 60_000) })
      .prefault({}),
    health: shapes.listening(18_233),
    logLevel: shapes.logLevel,
  })
  .superRefine(({ destinations, network }, context) => {
    destinations.forEach((destination, index) => {
      const wrong = (name: string, message: string): void =>
        void context.addIssue({ code: 'custom', path: ['destinations', index, name], message });
      if (destinations.findIndex(({ name }) => name === destination.name) !== index)
        wrong('name', 'stands twice');
      if (destination.type === 'syslog') {
        if ((destination.certFile === undefined) !== (destination.keyFile === undefined))
          wrong('certFile', 'a certificate and its key go together');
        return;
      }
      if (!URL.canParse(destination.url)) return;
      const target = new URL(destination.url);
      const port = target.port === '' ? (target.protocol === 'https:' ? 443 : 80) : Number(target.port);
      const refusal = refusalOfUrl(target, { ...network, ports: [port] });
      if (refusal !== undefined) wrong('url', refusal);
    });
  });

export type ForwarderConfig = z.infer<typeof schema>;

/**
 * The configuration of the forwarder: the file that `CAIRN_FORWARDER_CONFIG` names, and the environment, which wins.
 *
 * @throws Failure `config.invalid` with every mistake.
 */
export function readForwarderConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): ForwarderConfig {
  return readConfig({
    name: 'forwarder',
    schema,
    env,
    file: env['CAIRN_FORWARDER_CONFIG'],
    names: {
      CAIRN_DEPLOYMENT: 'deployment',
      CAIRN_FORWARDER_INSTANCE: 'instance',
      CAIRN_FORWARDER_ORG: 'org',
      CAIRN_ENVIRONMENT: 'environment',
      CAIRN_RETENTION_CONFIG: 'retentionFile',
      KAFKA_BROKERS: 'kafka.brokers',
      CAIRN_FORWARDER_GROUP: 'kafka.group',
      CAIRN_FORWARDER_SESSION_MS_MAX: 'kafka.sessionMsMax',
      SCHEMA_REGISTRY_URL: 'schemaRegistryUrl',
      CAIRN_CLASSES: 'classes',
      CAIRN_FORWARDER_DATA_DIRECTORY: 'dataDirectory',
      CAIRN_FORWARDER_BUFFER_BYTES_MAX: 'bufferBytesMax',
      CAIRN_FORWARDER_HEALTH_HOST: 'health.host',
      CAIRN_FORWARDER_HEALTH_PORT: 'health.port',
      CAIRN_LOG_LEVEL: 'logLevel',
    },
  });
}
