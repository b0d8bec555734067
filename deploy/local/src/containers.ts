// The parts as containers, for tests on a machine with a Docker engine.
//
// NOT RUN YET: written where there was no engine. It is type-checked, and its images are held to those of
// docker-compose.yml. parts.ts loads it when a test asks for parts; index.ts must not: testcontainers is not there in production.
import { Failure } from '@cairn/failure';
import {
  type ContainerRuntimeClient,
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';
import { PART_NAMES, type PartName, S3_ACCESS_KEY, S3_SECRET_KEY } from './config.ts';
import { IMAGES } from './images.ts';
import { type Parts, partsOf, type RunningPart } from './running-part.ts';
import { freePort } from './running-process.ts';

export interface ContainerOptions {
  /** Default all. */
  readonly parts?: readonly PartName[];
  readonly onProgress?: (line: string) => void;
}

/** One part as a container. */
interface ContainerPart {
  /** Where it listens inside. */
  readonly port: number;
  /** @param host address of the engine's machine, and the port there that leads to `port`. */
  describe(container: GenericContainer, host: string, hostPort: number): GenericContainer;
  address(host: string, hostPort: number): string;
}

const CONTAINER_PARTS: Readonly<Record<PartName, ContainerPart>> = {
  kafka: {
    port: 19_092,
    address: (host, port) => `${host}:${port}`,
    describe: (container, host, hostPort) =>
      container.withEnvironment(kafkaSettings(host, hostPort)).withWaitStrategy(
        // The port answers before the broker does.
        Wait.forLogMessage(/Kafka Server started/),
      ),
  },
  clickhouse: {
    port: 8_123,
    address: (host, port) => `http://${host}:${port}`,
    describe: (container) =>
      container
        // Without, the image lets its user without password in from inside alone.
        .withEnvironment({ CLICKHOUSE_SKIP_USER_SETUP: '1' })
        .withUlimits({ nofile: { soft: 262_144, hard: 262_144 } })
        .withWaitStrategy(Wait.forHttp('/ping', 8_123)),
  },
  redis: {
    port: 6_379,
    address: (host, port) => `redis://${host}:${port}`,
    describe: (container) =>
      container
        .withCommand(['redis-server', '--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''])
        .withWaitStrategy(Wait.forLogMessage('Ready to accept connections')),
  },
  s3: {
    port: 7_070,
    address: (host, port) => `http://${host}:${port}`,
    describe: (container) =>
      container
        .withEnvironment({ ROOT_ACCESS_KEY_ID: S3_ACCESS_KEY, ROOT_SECRET_ACCESS_KEY: S3_SECRET_KEY })
        // A file makes the folder that it lies in; versitygw wants both, and takes only folders for buckets.
        .withCopyContentToContainer([
          { content: '', target: '/objects/.keep' },
          { content: '', target: '/versions/.keep' },
        ])
        .withCommand([
          ...['--port', ':7070', '--health', '/health'],
          ...['posix', '--versioning-dir', '/versions', '/objects'],
        ])
        .withWaitStrategy(Wait.forHttp('/health', 7_070)),
  },
};

/** Whether a Docker engine answers. */
export async function hasEngine(): Promise<boolean> {
  return getContainerRuntimeClient().then(
    () => true,
    () => false,
  );
}

/**
 * Starts the parts as containers, at the same time, each on a free port of the engine's machine that it keeps over
 * restarts. The port is open on all interfaces of that machine: this is for tests. Dispose removes them with their data.
 *
 * @throws Failure `docker.unreachable`
 */
export async function startContainers(options: ContainerOptions = {}): Promise<Parts> {
  const { parts: names = PART_NAMES, onProgress = () => {} } = options;
  const engine = await openEngine();
  const containers: StartedTestContainer[] = [];
  const removeAll = async (): Promise<void> => {
    await Promise.all(containers.map((container) => container.stop()));
  };
  const startOne = async (name: PartName): Promise<RunningPart> => {
    const part = CONTAINER_PARTS[name];
    const { host } = engine.info.containerRuntime;
    const hostPort = await freePort();
    const container = await part
      .describe(new GenericContainer(IMAGES[name]), host, hostPort)
      .withExposedPorts({ container: part.port, host: hostPort })
      .withStartupTimeout(120_000)
      .start();
    containers.push(container);
    onProgress(`${name}: ${part.address(host, hostPort)} (container ${container.getId().slice(0, 12)})`);
    return runningPart(name, part.address(host, hostPort), container, engine);
  };

  const started = await Promise.allSettled(names.map(startOne));
  const failed = started.find((result) => result.status === 'rejected');
  if (failed) {
    await removeAll();
    throw failed.reason;
  }
  const running = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  return partsOf(running, removeAll);
}

function runningPart(
  name: PartName,
  address: string,
  container: StartedTestContainer,
  engine: ContainerRuntimeClient,
): RunningPart {
  // Past testcontainers' own `stop`, which is for good.
  const handle = engine.container.getById(container.getId());
  const isRunning = async (): Promise<boolean> => (await handle.inspect()).State.Running;
  return {
    name,
    address,
    pid: undefined,
    found: false,
    async kill9() {
      if (await isRunning()) await handle.kill({ signal: 'SIGKILL' });
    },
    async start() {
      // Starts what is stopped, and waits until it serves.
      if (!(await isRunning())) await container.restart();
    },
    async stop() {
      if (await isRunning()) await handle.stop({ t: 20 });
    },
  };
}

async function openEngine(): Promise<ContainerRuntimeClient> {
  try {
    return await getContainerRuntimeClient();
  } catch (error) {
    throw new Failure({
      code: 'docker.unreachable',
      retry: 'later',
      message: 'no Docker engine answers',
      mend: 'Start Docker, or use the local parts, which need none.',
      cause: error,
    });
  }
}

/** One node, broker and controller in one. Clients outside reach it under the address that it tells them. */
function kafkaSettings(host: string, hostPort: number): Record<string, string> {
  return {
    CLUSTER_ID: 'Y2Fpcm4tbG9jYWwta2Fma2E',
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@127.0.0.1:9093',
    KAFKA_LISTENERS: 'INSIDE://:9092,CONTROLLER://:9093,HOST://:19092',
    KAFKA_ADVERTISED_LISTENERS: `INSIDE://127.0.0.1:9092,HOST://${host}:${hostPort}`,
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'INSIDE:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT',
    KAFKA_INTER_BROKER_LISTENER_NAME: 'INSIDE',
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
    KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: '1',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: '1000',
  };
}
