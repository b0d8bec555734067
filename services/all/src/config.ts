import { type AlertingConfig, readAlertingConfig } from '@cairn/alerting';
import { type ArchivalConfig, readArchivalConfig } from '@cairn/archival';
import { Failure, isFailure } from '@cairn/failure';
import { type ForwarderConfig, readForwarderConfig } from '@cairn/forwarder';
import { type GatewayConfig, readGatewayConfig } from '@cairn/gateway';
import { type ImporterConfig, readImporterConfig } from '@cairn/importer';
import { type IngestConfig, readIngestConfig } from '@cairn/ingest';
import { type QueryConfig, readQueryConfig } from '@cairn/query-service';
import { type RegistryConfig, readRegistryConfig } from '@cairn/registry';
import { readConfig } from '@cairn/runtime';
import { z } from 'zod';

type Environment = Readonly<Record<string, string | undefined>>;

/** The configuration of each service that is to run here. */
export interface AllConfig {
  readonly gateway?: GatewayConfig;
  readonly ingest?: IngestConfig;
  readonly registry?: RegistryConfig;
  readonly archival?: ArchivalConfig;
  readonly alerting?: AlertingConfig;
  readonly forwarder?: ForwarderConfig;
  readonly importer?: ImporterConfig;
  readonly query?: QueryConfig;
}

const readers = {
  gateway: readGatewayConfig,
  ingest: readIngestConfig,
  registry: readRegistryConfig,
  archival: readArchivalConfig,
  alerting: readAlertingConfig,
  forwarder: readForwarderConfig,
  importer: readImporterConfig,
  query: readQueryConfig,
};
const NAMES = [
  'gateway',
  'ingest',
  'registry',
  'archival',
  'alerting',
  'query',
  'forwarder',
  'importer',
] as const;
/** What runs unless it is said: forwarder and importer have nothing to do before somebody has named destinations and keys. */
const USUAL = NAMES.filter((name) => name !== 'forwarder' && name !== 'importer');

const schema = z.object({
  services: z
    .string()
    .default(USUAL.join(','))
    .transform((text) => text.split(',').map((name) => name.trim()))
    .pipe(z.array(z.enum(NAMES)).min(1)),
});

/**
 * Which services, and the configuration of each as it reads it when it is alone.
 *
 * @throws Failure `config.invalid` with every mistake of every service.
 */
export function readAllConfig(env: Environment = process.env): AllConfig {
  const { services } = readConfig({ name: 'all', schema, env, names: { CAIRN_SERVICES: 'services' } });
  const failures: Failure[] = [];
  const read = <T>(reader: (env: Environment) => T): T | undefined => {
    try {
      return reader(env);
    } catch (error) {
      if (!isFailure(error, 'config.invalid')) throw error;
      failures.push(error);
      return undefined;
    }
  };
  const configs = Object.fromEntries(
    services.map((name) => [name, read<unknown>(readers[name])]),
  ) as AllConfig;
  if (failures.length === 0) return configs;
  throw new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: failures.map(({ message }) => message).join('; '),
    mend: [...new Set(failures.map(({ mend }) => mend))].join(' '),
  });
}
