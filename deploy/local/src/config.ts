import { delimiter, join } from 'node:path';
import { REPOSITORY } from './service-process.ts';

export const PART_NAMES = ['kafka', 'clickhouse', 'redis', 's3'] as const;
export type PartName = (typeof PART_NAMES)[number];

export type Ports = Readonly<Record<PartName, number>>;

/** Unusual on purpose: beside a broker or a database that already runs here. */
const DEFAULT_PORTS: Ports = { kafka: 19_092, clickhouse: 18_123, redis: 16_379, s3: 17_070 };

/** The variable that names a part which runs elsewhere; then nothing is started for it. */
export const ADDRESS_VARIABLES: Readonly<Record<PartName, string>> = {
  kafka: 'KAFKA_BROKERS',
  clickhouse: 'CLICKHOUSE_URL',
  redis: 'REDIS_URL',
  s3: 'S3_ENDPOINT',
};

/** The variable that chooses another port for a part that is started here. */
export const PORT_VARIABLES: Readonly<Record<PartName, string>> = {
  kafka: 'CAIRN_KAFKA_PORT',
  clickhouse: 'CAIRN_CLICKHOUSE_PORT',
  redis: 'CAIRN_REDIS_PORT',
  s3: 'CAIRN_S3_PORT',
};

/** Where downloads are kept, and where the parts that a person starts keep their data. */
export const CACHE_DIRECTORY = join(REPOSITORY, '.local', 'cache');
export const DATA_DIRECTORY = join(REPOSITORY, '.local', 'data');

export type Environment = Readonly<Record<string, string | undefined>>;

export function portsFrom(env: Environment = process.env): Ports {
  const port = (part: PartName) => Number(env[PORT_VARIABLES[part]] ?? DEFAULT_PORTS[part]);
  return { kafka: port('kafka'), clickhouse: port('clickhouse'), redis: port('redis'), s3: port('s3') };
}

/** Addresses of parts that the environment names. */
export function addressesFrom(env: Environment = process.env): Partial<Record<PartName, string>> {
  const named = PART_NAMES.flatMap((part) => {
    const address = env[ADDRESS_VARIABLES[part]];
    return address ? [[part, address] as const] : [];
  });
  return Object.fromEntries(named);
}

/** Keys of the local S3; it listens on loopback only and holds nothing of value. */
export const S3_ACCESS_KEY = 'cairn-local';
export const S3_SECRET_KEY = 'cairn-local-secret';

/** Where modules of Go come from: the first proxy that GOPROXY names, else the public one. */
export function goProxyFrom(env: Environment = process.env): string {
  const proxies = (env['GOPROXY'] ?? '').split(/[,|]/).filter((one) => /^https?:\/\//.test(one));
  return (proxies[0] ?? 'https://proxy.golang.org').replace(/\/$/, '');
}

/** What tools are started with. It is read then, since a tool that was installed meanwhile is on its PATH. */
export const toolEnvironment = (): NodeJS.ProcessEnv => process.env;

/** Commands of a directory come first from now on, in this process and in what it starts. */
export function putFirstOnPath(directory: string): void {
  process.env['PATH'] = `${directory}${delimiter}${process.env['PATH'] ?? ''}`;
}
