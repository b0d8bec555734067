import { join } from 'node:path';
import { migrate, openClickHouse } from '@cairn/adapters';
import { freePort, REPOSITORY, type ServiceProcess, startParts, startServiceProcess } from '@cairn/local';
import { type DemoArchive, startArchive } from './archive.ts';
import { type DemoGateway, writeGatewayConfig } from './gateway-config.ts';

export interface RoadOptions {
  /** Data of everything. Absolute. */
  readonly directory: string;
  /** `any` takes free ports, for tests; otherwise the usual ones. */
  readonly ports: 'usual' | 'any';
  readonly onProgress?: (line: string) => void;
  /** Variables for ingest beside the addresses. */
  readonly ingestEnv?: Readonly<Record<string, string>>;
  /** Whether the archive is written as well. */
  readonly archive?: boolean;
}

/** The whole road: parts, services as processes of their own, and a gateway over four MCP servers. */
export interface Road extends AsyncDisposable {
  readonly parts: Awaited<ReturnType<typeof startParts>>;
  readonly ingest: ServiceProcess;
  readonly gateway: ServiceProcess;
  readonly archive: DemoArchive | undefined;
  readonly demo: DemoGateway;
  readonly gatewayUrl: string;
  readonly clickhouseUrl: string;
  readonly logDirectory: string;
}

const USUAL = { gateway: 18_200, gatewayHealth: 18_201, ingestHealth: 18_211, archivalHealth: 18_221 };

/** Starts everything, in the order in which each needs the other; dispose stops what was started here. */
export async function startRoad(options: RoadOptions): Promise<Road> {
  const { directory, onProgress = () => {} } = options;
  const own = new AsyncDisposableStack();
  const port = async (usual: number): Promise<number> => (options.ports === 'usual' ? usual : freePort());
  try {
    const parts = own.use(
      await startParts({ directory, onProgress, ...(options.ports === 'any' ? { ports: 'any' } : {}) }),
    );
    const clickhouseUrl = parts.part('clickhouse').address;
    await using clickhouse = openClickHouse({ url: clickhouseUrl });
    const applied = await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    if (applied.length > 0) onProgress(`clickhouse: applied ${applied.map(({ name }) => name).join(', ')}`);

    const logDirectory = join(directory, 'log');
    const gatewayPort = await port(USUAL.gateway);
    const gatewayHealthPort = await port(USUAL.gatewayHealth);
    const demo = writeGatewayConfig({
      directory: join(directory, 'demo'),
      brokers: parts.part('kafka').address,
      port: gatewayPort,
      healthPort: gatewayHealthPort,
    });
    const gateway = own.use(
      await startServiceProcess({
        name: 'gateway',
        env: { CAIRN_GATEWAY_CONFIG: demo.configFile },
        healthPort: gatewayHealthPort,
        logDirectory,
      }),
    );
    onProgress(`gateway: http://127.0.0.1:${gatewayPort}/mcp/<server>`);
    const ingestHealthPort = await port(USUAL.ingestHealth);
    const ingest = own.use(
      await startServiceProcess({
        name: 'ingest',
        env: {
          ...parts.env(),
          CAIRN_INGEST_HEALTH_PORT: String(ingestHealthPort),
          CAIRN_INGEST_CHUNK_AGE_MS_MAX: '250',
          ...options.ingestEnv,
        },
        healthPort: ingestHealthPort,
        logDirectory,
      }),
    );
    onProgress('ingest: reading audit.events.standard');
    const archive = options.archive
      ? own.use(
          await startArchive({
            directory,
            deployment: demo.deployment,
            gatewayKeys: demo.keyDirectory,
            parts,
            healthPort: await port(USUAL.archivalHealth),
            logDirectory,
            onProgress,
          }),
        )
      : undefined;
    return {
      parts,
      ingest,
      gateway,
      archive,
      demo,
      gatewayUrl: `http://127.0.0.1:${gatewayPort}`,
      clickhouseUrl,
      logDirectory,
      [Symbol.asyncDispose]: () => own.disposeAsync(),
    };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}
