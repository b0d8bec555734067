import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, type Kafka, migrate, openClickHouse, openKafka } from '@cairn/adapters';
import { PARKED_TOPIC } from '@cairn/event';
import {
  freePort,
  type Parts,
  REPOSITORY,
  type ServiceProcess,
  startParts,
  startServiceProcess,
} from '@cairn/local';
import type { ProducerStats } from './chaos-producer.ts';
import { type HttpProxy, startHttpProxy } from './http-proxy.ts';
import { type Identity, type Judgement, judge } from './oracle.ts';
import { PARTITIONS, TOPIC } from './rig.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

/** A gateway's recorder as a process that never pauses: chaos-producer.ts. */
export interface Producer extends AsyncDisposable {
  readonly process: ServiceProcess;
  /** Its recorder's directory. */
  readonly directory: string;
  stats(): Promise<ProducerStats>;
  /** Ends the load and sends everything; returns when the process is gone. */
  finish(): Promise<void>;
}

/** Real Kafka and ClickHouse as local processes, whose signals and files tests may reach; a proxy before each. */
export interface ChaosRig extends AsyncDisposable {
  readonly directory: string;
  readonly parts: Parts;
  /** Before the broker. */
  readonly proxy: TcpProxy;
  /** Before ClickHouse. Ingest alone goes through it. */
  readonly tableProxy: HttpProxy;
  /** Past the proxies. */
  readonly kafka: Kafka;
  readonly clickhouse: ClickHouse;
  startIngest(name: string, env?: Readonly<Record<string, string>>): Promise<ServiceProcess>;
  /** The service that most teams would write, in the place of ingest: tools/bench/src/ingest/peers/usual.ts. */
  startUsual(name: string): Promise<ServiceProcess>;
  startProducer(name: string, options?: ProducerOptions): Promise<Producer>;
  /** Every event that a producer was told is recorded, as lines. */
  acknowledged(): string[];
  judge(msMax?: number, identity?: Identity): Promise<Judgement>;
}

export interface ProducerOptions {
  readonly orgs?: readonly string[];
  /** Between two calls of one organisation. */
  readonly pauseMs?: number;
  /** Bytes that make each event larger. */
  readonly filler?: number;
  /** Its recorder's directory; one of its own in the rig's when absent. */
  readonly directory?: string;
}

/** Short, so that a killed ingest's partitions are taken over while the test looks. */
const SESSION_MS_MAX = 2_000;

/**
 * @param directory is the caller's to remove, after the rig was disposed.
 * @param more parts beside Kafka and ClickHouse.
 */
export async function startChaosRig(directory: string, more: readonly 's3'[] = []): Promise<ChaosRig> {
  const own = new AsyncDisposableStack();
  mkdirSync(directory, { recursive: true });
  try {
    const parts = own.use(
      await startParts({ directory, parts: ['kafka', 'clickhouse', ...more], ports: 'any' }),
    );
    const broker = parts.part('kafka').address;
    const proxy = own.use(await startTcpProxy(broker));
    const tableProxy = own.use(await startHttpProxy(parts.part('clickhouse').address));
    const kafka = own.use(openKafka({ brokers: [broker], clientId: 'chaos' }));
    const clickhouse = own.use(openClickHouse({ url: parts.part('clickhouse').address }));
    await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    await kafka.ensureTopics([
      { name: TOPIC, partitions: PARTITIONS },
      { name: PARKED_TOPIC, partitions: 1 },
    ]);
    const acknowledgements: string[] = [];

    const startIngest = async (
      name: string,
      env: Readonly<Record<string, string>> = {},
    ): Promise<ServiceProcess> => {
      const healthPort = await freePort();
      const service = await startServiceProcess({
        name: 'ingest',
        healthPort,
        logDirectory: join(directory, 'log', name),
        env: {
          ...parts.env(),
          KAFKA_BROKERS: proxy.address,
          CLICKHOUSE_URL: tableProxy.url,
          CAIRN_INGEST_HEALTH_PORT: String(healthPort),
          CAIRN_INGEST_SESSION_MS_MAX: String(SESSION_MS_MAX),
          CAIRN_INGEST_CHUNK_AGE_MS_MAX: '200',
          ...env,
        },
      });
      return own.use(awake(service));
    };

    const startUsual = async (name: string): Promise<ServiceProcess> => {
      const healthPort = await freePort();
      const service = await startServiceProcess({
        name,
        main: join(import.meta.dirname, 'usual-service.ts'),
        healthPort,
        logDirectory: join(directory, 'log'),
        env: {
          KAFKA_BROKERS: proxy.address,
          CLICKHOUSE_URL: tableProxy.url,
          BENCH_TOPIC: TOPIC,
          BENCH_GROUP: 'usual',
          BENCH_SESSION_MS_MAX: String(SESSION_MS_MAX),
          CHAOS_PORT: String(healthPort),
        },
      });
      return own.use(awake(service));
    };

    const startProducer = async (name: string, options: ProducerOptions = {}): Promise<Producer> => {
      const healthPort = await freePort();
      const recorder = options.directory ?? join(directory, name);
      const acknowledged = join(directory, `${name}.acknowledged`);
      acknowledgements.push(acknowledged);
      const service = await startServiceProcess({
        name,
        main: join(import.meta.dirname, 'chaos-producer.ts'),
        healthPort,
        logDirectory: join(directory, 'log'),
        env: {
          KAFKA_BROKERS: proxy.address,
          CHAOS_GATEWAY: name,
          CHAOS_DIRECTORY: recorder,
          CHAOS_ACKNOWLEDGED: acknowledged,
          CHAOS_ORGS: (options.orgs ?? ORGS).join(','),
          CHAOS_PARTITIONS: String(PARTITIONS),
          CHAOS_PAUSE_MS: String(options.pauseMs ?? 10),
          CHAOS_FILLER: String(options.filler ?? 0),
          CHAOS_PORT: String(healthPort),
        },
      });
      own.use(awake(service));
      return {
        process: service,
        directory: recorder,
        stats: async () => (await (await fetch(`${service.healthUrl}/stats`)).json()) as ProducerStats,
        finish: () => service.stop(),
        [Symbol.asyncDispose]: () => awake(service)[Symbol.asyncDispose](),
      };
    };

    const acknowledged = (): string[] =>
      acknowledgements.filter((file) => existsSync(file)).flatMap(wholeLines);

    return {
      directory,
      parts,
      proxy,
      tableProxy,
      kafka,
      clickhouse,
      startIngest,
      startUsual,
      startProducer,
      acknowledged,
      judge: (msMax, identity) => judge({ kafka, clickhouse }, acknowledged(), msMax, identity),
      [Symbol.asyncDispose]: () => own.disposeAsync(),
    };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

export const ORGS = ['acme', 'borealis', 'cobalt', 'dune', 'ember', 'fjord'];

/** A process that was stopped does not hear that it should end. */
function awake(service: ServiceProcess): ServiceProcess {
  return {
    ...service,
    get pid() {
      return service.pid;
    },
    [Symbol.asyncDispose]: async () => {
      service.signal('SIGCONT');
      await service.kill9();
    },
  };
}

/** A line that a kill cut short was never whole, and its event is no worse for not being looked for. */
function wholeLines(file: string): string[] {
  return readFileSync(file, 'utf8').split('\n').slice(0, -1);
}

/** One number of a service's metrics; undefined when it is not there or the service does not answer. */
export async function metricOf(service: ServiceProcess, name: string): Promise<number | undefined> {
  const text = await fetch(`${service.healthUrl}/metrics`, { signal: AbortSignal.timeout(2_000) })
    .then((answer) => answer.text())
    .catch(() => '');
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length));
}

/** Waits until it is so. */
export async function until(
  what: string,
  isSo: () => Promise<boolean> | boolean,
  msMax = 30_000,
): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not after ${msMax} ms: ${what}`);
    await sleep(50);
  }
}
