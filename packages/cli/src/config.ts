import { join } from 'node:path';

/** Where the command line finds things; flags win over the environment, the environment over the local parts. */
export interface CliConfig {
  readonly clickhouse: {
    readonly url: string;
    readonly user: string | undefined;
    readonly password: string | undefined;
  };
  readonly kafkaBrokers: string | undefined;
  readonly redisUrl: string | undefined;
  readonly s3Endpoint: string | undefined;
  readonly color: boolean;
  /** Directory of the local parts' data. */
  readonly localDirectory: string;
}

/** The root of the repository. */
export const REPOSITORY = join(import.meta.dirname, '..', '..', '..');

export function readCliConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
  isTerminal: boolean = process.stdout.isTTY === true,
): CliConfig {
  return {
    clickhouse: {
      url: env['CLICKHOUSE_URL'] ?? 'http://127.0.0.1:18123',
      user: env['CLICKHOUSE_USER'],
      password: env['CLICKHOUSE_PASSWORD'],
    },
    kafkaBrokers: env['KAFKA_BROKERS'],
    redisUrl: env['REDIS_URL'],
    s3Endpoint: env['S3_ENDPOINT'],
    color: isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
    localDirectory: env['CAIRN_LOCAL_DIRECTORY'] ?? join(REPOSITORY, '.local', 'data'),
  };
}
