// docker-compose.yml as Docker Compose itself reads it. No engine is needed for that, and none is used: nothing here
// starts a container.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { readCliConfig } from '../../packages/cli/src/config.ts';
import { readAlertingConfig } from '../../services/alerting/src/config.ts';
import { readAllConfig } from '../../services/all/src/config.ts';
import { readArchivalConfig } from '../../services/archival/src/config.ts';
import { readForwarderConfig } from '../../services/forwarder/src/config.ts';
import { readGatewayConfig } from '../../services/gateway/src/config.ts';
import { readImporterConfig } from '../../services/importer/src/config.ts';
import { readIngestConfig } from '../../services/ingest/src/config.ts';
import { readQueryConfig } from '../../services/query/src/config.ts';
import { readRegistryConfig } from '../../services/registry/src/config.ts';
import { IMAGES } from '../local/src/images.ts';
import { NODE_OPTIONS } from '../local/src/service-process.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const COMPOSE_VERSION = 'v2.40.3';
const SECRETS = { CAIRN_CLICKHOUSE_PASSWORD: 'planted-one', CAIRN_S3_SECRET_KEY: 'planted-two' };
const PARTS = ['clickhouse', 'kafka', 'redis', 's3'];
const OURS = [
  'alerting',
  'all',
  'archival',
  'forwarder',
  'gateway',
  'importer',
  'ingest',
  'migrate',
  'query',
  'registry',
];

interface Service {
  readonly image: string;
  readonly command: readonly string[] | null;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly {
    readonly host_ip?: string;
    readonly published: string;
    readonly target: number;
  }[];
  readonly volumes?: readonly { readonly type: string; readonly source: string; readonly target: string }[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly restart?: string;
  readonly mem_limit?: string;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly privileged?: boolean;
}
type Services = Readonly<Record<string, Service>>;

/** Docker Compose, built once from its source into the cache: the client alone can check a file. */
async function installCompose(): Promise<string> {
  const cache = join(root, '.local', 'cache');
  const binary = join(cache, `docker-compose-${COMPOSE_VERSION}`);
  if (existsSync(binary)) return binary;
  const work = mkdtempSync(join(tmpdir(), 'cairn-compose-'));
  const go = (...args: string[]) =>
    run('nice', ['go', ...args], { cwd: work, env: { ...process.env, GOFLAGS: '-mod=mod -trimpath' } });
  try {
    // `go install …@version` refuses it, since its module excludes versions; as a dependency of a module it builds.
    await go('mod', 'init', 'cairn.local/compose');
    await go('get', `github.com/docker/compose/v2/cmd@${COMPOSE_VERSION}`);
    await go('build', '-o', 'docker-compose', 'github.com/docker/compose/v2/cmd');
    mkdirSync(cache, { recursive: true });
    // Beside its place first: the two folders may be on different disks, and a half binary must not get the name.
    await run('cp', [join(work, 'docker-compose'), `${binary}.partial`]);
    renameSync(`${binary}.partial`, binary);
  } catch (error) {
    throw new Error(
      `Docker Compose ${COMPOSE_VERSION} could not be built, and without it docker-compose.yml is not checked. ` +
        'It needs Go (apt-get install -y golang) and its module proxy.',
      { cause: error },
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return binary;
}

let compose: string;
beforeAll(async () => {
  compose = await installCompose();
}, 900_000);

async function readServices(
  profile: string,
  env: Readonly<Record<string, string>> = SECRETS,
): Promise<Services> {
  const args = ['--env-file', '/dev/null', '-f', join(root, 'docker-compose.yml'), '--profile', profile];
  const { stdout } = await run(compose, [...args, 'config', '--format', 'json'], {
    cwd: root,
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/nonexistent', ...env },
  });
  return JSON.parse(stdout).services as Services;
}
const readAll = async (): Promise<Services> => ({
  ...(await readServices('parts')),
  ...(await readServices('services')),
  ...(await readServices('all')),
  ...(await readServices('forwarder')),
  ...(await readServices('importer')),
});

describe('docker-compose.yml', () => {
  test('each profile starts what it is for, and everything that it needs', async () => {
    expect(Object.keys(await readServices('parts')).sort()).toEqual(PARTS);
    expect(Object.keys(await readServices('services')).sort()).toEqual(
      [...PARTS, 'alerting', 'archival', 'gateway', 'ingest', 'migrate', 'query', 'registry'].sort(),
    );
    for (const name of ['forwarder', 'importer'])
      expect(Object.keys(await readServices(name))).toEqual([name]);
    expect(Object.keys(await readServices('all')).sort()).toEqual(['all', ...PARTS, 'migrate'].sort());
  });

  test.each(Object.keys(SECRETS))('without %s nothing starts, and the message names it', async (name) => {
    const others = Object.fromEntries(Object.entries(SECRETS).filter(([key]) => key !== name));
    await expect(readServices('parts', others)).rejects.toMatchObject({
      stderr: expect.stringContaining(name),
    });
  });

  test('every port is published on loopback alone', async () => {
    const ports = Object.values(await readAll()).flatMap((service) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(5);
    expect(ports.filter(({ host_ip }) => host_ip !== '127.0.0.1')).toEqual([]);
  });

  test('the command line on the host finds the parts without being told', async () => {
    const services = await readAll();
    const published = PARTS.map((name) => services[name]?.ports?.[0]?.published);
    const { clickhouse, kafkaBrokers, redisUrl, s3 } = readCliConfig({});
    const expected = [clickhouse.url, kafkaBrokers, redisUrl, s3.endpoint].map((address) =>
      address.split(':').at(-1),
    );
    expect(published).toEqual(expected);
  });

  test('images of others have a full version, and nobody is unlimited or privileged', async () => {
    const services = await readAll();
    for (const name of PARTS) expect(services[name]?.image).toMatch(/:v?\d+\.\d+\.\d+/);
    expect(Object.fromEntries(PARTS.map((name) => [name, services[name]?.image]))).toEqual(IMAGES);
    for (const [name, service] of Object.entries(services)) {
      expect([name, service.privileged ?? false]).toEqual([name, false]);
      expect([name, Number(service.mem_limit) > 0]).toEqual([name, true]);
      expect([name, service.security_opt]).toEqual([name, ['no-new-privileges:true']]);
    }
  });

  test('our services run as nobody special, on a file system that they cannot write', async () => {
    const services = await readAll();
    for (const name of OURS) {
      expect(services[name]).toMatchObject({
        image: 'cairn',
        user: 'node',
        read_only: true,
        cap_drop: ['ALL'],
      });
    }
  });

  test('whatever stays up has a healthcheck and comes back', async () => {
    for (const [name, service] of Object.entries(await readAll())) {
      if (name === 'migrate') continue;
      expect([name, service.healthcheck?.test[0]]).toEqual([name, expect.stringMatching(/^CMD/)]);
      expect([name, service.restart]).toEqual([name, 'unless-stopped']);
    }
  });

  test('ingest waits for the tables', async () => {
    const services = await readAll();
    for (const name of ['ingest', 'archival', 'all']) {
      expect(services[name]?.depends_on?.['migrate']?.condition).toBe('service_completed_successfully');
    }
  });

  test('each service has the options of Node with which it is tested and measured', async () => {
    for (const [name, { environment }] of Object.entries(await readAll()))
      expect([name, environment?.['NODE_OPTIONS']]).toEqual([name, NODE_OPTIONS[name]]);
  });

  test('every file that is run or mounted is in the repository', async () => {
    for (const service of Object.values(await readAll())) {
      for (const { source } of (service.volumes ?? []).filter(({ type }) => type === 'bind')) {
        expect([source, existsSync(source)]).toEqual([source, true]);
      }
      if (service.image !== 'cairn') continue;
      const ready = (service.healthcheck?.test ?? []).find((word) => word.endsWith('.mjs'));
      for (const file of [service.command?.[0], ready]) {
        if (file !== undefined) expect([file, existsSync(join(root, file))]).toEqual([file, true]);
      }
    }
  });

  test('each service accepts its environment as its whole configuration, and its healthcheck asks its own port', async () => {
    const services = await readAll();
    const environmentOf = (name: string): Record<string, string> => ({
      ...services[name]?.environment,
      CAIRN_GATEWAY_CONFIG: join(root, 'deploy', 'config', 'gateway.yaml'),
      CAIRN_ALERTING_CONFIG: join(root, 'deploy', 'config', 'alerting.yaml'),
      CAIRN_FORWARDER_CONFIG: join(root, 'deploy', 'config', 'forwarder.yaml'),
      CAIRN_IMPORTER_CONFIG: join(root, 'deploy', 'config', 'importer.yaml'),
    });
    const portOf = (name: string) => services[name]?.healthcheck?.test.at(-1);
    const gateway = readGatewayConfig(environmentOf('gateway'));
    expect(gateway).toMatchObject({
      kafka: { brokers: ['kafka:9092'] },
      listen: { host: '0.0.0.0', port: 18_200 },
      data_directory: '/var/lib/cairn',
    });
    const ingest = readIngestConfig(environmentOf('ingest'));
    expect(ingest).toMatchObject({
      kafka: { brokers: ['kafka:9092'] },
      clickhouse: { url: 'http://clickhouse:8123', user: 'cairn', password: 'planted-one' },
    });
    const registry = readRegistryConfig(environmentOf('registry'));
    expect(registry).toMatchObject({ host: '0.0.0.0', port: 18_081 });
    expect(portOf('gateway')).toBe(String(gateway.health.port));
    expect(portOf('ingest')).toBe(String(ingest.health.port));
    expect(portOf('registry')).toBe(String(registry.health.port));
    const archival = readArchivalConfig(environmentOf('archival'));
    expect(archival).toMatchObject({
      deployment: gateway.deployment,
      kafka: { brokers: ['kafka:9092'] },
      clickhouse: { url: 'http://clickhouse:8123', user: 'cairn', password: 'planted-one' },
      s3: { endpoint: 'http://s3:7070', secretKey: 'planted-two' },
      dataDirectory: '/var/lib/cairn/archival',
    });
    expect(portOf('archival')).toBe(String(archival.health.port));
    const alerting = readAlertingConfig(environmentOf('alerting'));
    expect(alerting).toMatchObject({
      deployment: gateway.deployment,
      redisUrl: 'redis://redis:6379',
      rulesDirectory: '/etc/cairn/rules',
      webhooks: { network: { ports: [443], plainHttp: false, allow: [] } },
    });
    expect(portOf('alerting')).toBe(String(alerting.health.port));
    const forwarder = readForwarderConfig(environmentOf('forwarder'));
    expect(forwarder).toMatchObject({
      kafka: { brokers: ['kafka:9092'] },
      dataDirectory: '/var/lib/cairn/forwarder',
      destinations: [{ type: 'splunk' }, { type: 'elastic' }],
    });
    const importer = readImporterConfig(environmentOf('importer'));
    expect(importer).toMatchObject({
      deployment: gateway.deployment,
      kafka: { brokers: ['kafka:9092'] },
      data_directory: '/var/lib/cairn/importer',
    });
    expect(portOf('importer')).toBe(String(importer.health.port));
    expect(portOf('forwarder')).toBe(String(forwarder.health.port));
    const query = readQueryConfig(environmentOf('query'));
    expect(query).toMatchObject({
      deployment: gateway.deployment,
      host: '0.0.0.0',
      port: 18_250,
      s3: { endpoint: archival.s3.endpoint, bucket: archival.s3.bucket, secretKey: 'planted-two' },
    });
    expect(portOf('query')).toBe(String(query.health.port));
    expect(readAllConfig(environmentOf('all'))).toEqual({
      gateway,
      ingest,
      registry,
      archival,
      alerting,
      query,
    });
    expect(portOf('all')).toBe(portOf('gateway'));
    expect(readCliConfig(environmentOf('migrate')).clickhouse).toEqual(ingest.clickhouse);
  });
});

describe('the image', () => {
  const dockerfile = readFileSync(join(root, 'deploy', 'docker', 'Dockerfile'), 'utf8');
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

  test('has the Node that the workspace pins, in every stage', () => {
    expect(/ARG NODE_VERSION=(.+)/.exec(dockerfile)?.[1]).toBe(manifest.devDependencies.node);
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the Dockerfile's own variable.
    expect(new Set(bases)).toEqual(new Set(['node:${NODE_VERSION}-bookworm-slim']));
  });

  test('is installed by the pnpm of the repository', () => {
    const setup = readFileSync(join(root, 'tools', 'setup', 'run.mjs'), 'utf8');
    const pnpm = /pnpm@[\d.]+/.exec(dockerfile)?.[0];
    expect(pnpm).toBeDefined();
    expect(setup).toContain(pnpm);
  });

  test('does not run as root', () => {
    const stage = dockerfile.slice(dockerfile.lastIndexOf('FROM '));
    expect([...stage.matchAll(/^USER (\S+)/gm)].map((match) => match[1])).toEqual(['node']);
  });
});
