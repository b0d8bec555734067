import { type ChildProcess, fork, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openKafka } from '@cairn/adapters';
import { topicOf } from '@cairn/event';
import { freePort, type ServiceProcess, startServiceProcess, startTestParts } from '@cairn/local';
import type { Made, Target, Task } from './make-calls.ts';

/** A server, a gateway in front of it as in production, the peer in its place, Kafka for real, and who calls: each a process of its own. */
export interface Stage extends AsyncDisposable {
  readonly direct: Target;
  readonly through: Target;
  /** Through the least proxy that leaves a durable trace. */
  readonly plain: Target;
  readonly pids: Readonly<Record<'gateway' | 'plain' | 'server' | 'caller' | 'kafka', number>>;
  make(task: Task): Promise<Made>;
  /** Resolves when everything that was recorded is in Kafka, with how many events that are. */
  shipped(): Promise<number>;
}

const CREDENTIAL = 'agent-of-the-bench';

export interface StageOptions {
  /** Where the gateway leaves a profile of its CPU when it ends; undefined for none. */
  readonly profileDirectory: string | undefined;
  /** How long the plain proxy keeps its thread busy before each line that it writes, in microseconds. */
  readonly plainWorkUs: number;
}

export async function openStage({ profileDirectory, plainWorkUs }: StageOptions): Promise<Stage> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const parts = own.use(await startTestParts({ directory, parts: ['kafka'] }));
    const brokers = parts.part('kafka').address;
    const kafka = own.use(openKafka({ brokers: [brokers], clientId: 'bench' }));
    await kafka.ensureTopics([{ name: topicOf('standard'), partitions: 4 }]);
    const server = own.use(await startServer('echo-server.ts'));
    const plain = own.use(
      await startServer('plain-proxy.ts', {
        UPSTREAM: server.url,
        FILE: join(directory, 'plain'),
        WORK_US: String(plainWorkUs),
      }),
    );
    const [port, healthPort] = [await freePort(), await freePort()];
    const gateway = own.use(
      await startServiceProcess({
        name: 'gateway',
        healthPort,
        logDirectory: join(directory, 'log'),
        env: {
          CAIRN_GATEWAY_CONFIG: writeConfig(join(directory, 'gateway'), {
            port,
            healthPort,
            brokers,
            upstream: server.url,
          }),
          ...(profileDirectory === undefined
            ? {}
            : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profileDirectory}` }),
        },
      }),
    );
    const caller = own.use(startCaller());
    return {
      direct: { port: server.port, path: '/mcp', credential: undefined },
      through: { port, path: '/mcp/echo', credential: CREDENTIAL },
      plain: { port: plain.port, path: '/mcp', credential: undefined },
      pids: {
        gateway: gateway.pid,
        plain: plain.pid,
        server: server.pid,
        caller: caller.pid,
        kafka: parts.part('kafka').pid ?? NaN,
      },
      make: caller.make,
      shipped: () => shipped(gateway),
      [Symbol.asyncDispose]: () => own.disposeAsync(),
    };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

/** Policies as they are shipped, identity by credential, and a rule for the guard: nothing is turned off. */
function writeConfig(
  directory: string,
  at: {
    readonly port: number;
    readonly healthPort: number;
    readonly brokers: string;
    readonly upstream: string;
  },
): string {
  mkdirSync(directory);
  const file = join(directory, 'gateway.yaml');
  const config = {
    deployment: 'bench',
    gateway_id: 'gw-1',
    environment: 'production',
    listen: { port: at.port },
    health: { port: at.healthPort },
    kafka: { brokers: at.brokers, partitions: 4 },
    data_directory: 'data',
    policy: { directory: join(import.meta.dirname, '..', '..', '..', '..', 'deploy', 'config', 'policies') },
    identities: [
      {
        credential_sha256: createHash('sha256').update(CREDENTIAL).digest('hex'),
        org: 'acme',
        agent: 'caller',
        agent_version: '1.0.0',
        user: 'u-1',
      },
    ],
    upstreams: {
      echo: { url: at.upstream, tools: { 'e*': { action: 'read', sensitivity: 'internal' } } },
    },
    privacy: { rules: [{ service: 'echo', field: 'text', do: 'keep' }] },
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

async function startServer(
  script: string,
  env: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable & { readonly port: number; readonly url: string; readonly pid: number }> {
  const port = await freePort();
  const child = spawn(process.execPath, [join(import.meta.dirname, script)], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { PATH: process.env['PATH'] ?? '', PORT: String(port), ...env },
  });
  const url = `http://127.0.0.1:${port}/mcp`;
  const stop = (): Promise<void> => ended(child, () => child.kill('SIGTERM'));
  for (let wait = 0; ; wait += 1) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer) break;
    if (wait === 200) {
      await stop();
      throw new Error(`${script} did not start`);
    }
    await sleep(50);
  }
  return { port, url, pid: child.pid ?? NaN, [Symbol.asyncDispose]: stop };
}

function startCaller(): AsyncDisposable & { readonly pid: number; make(task: Task): Promise<Made> } {
  const child = fork(join(import.meta.dirname, 'make-calls.ts'), { stdio: 'inherit' });
  const gone = new Promise<never>((_, reject) => {
    child.once('exit', () => reject(new Error('the process that calls has ended')));
  });
  gone.catch(() => {});
  return {
    pid: child.pid ?? NaN,
    make(task) {
      const made = new Promise<Made>((resolve) => child.once('message', (said) => resolve(said as Made)));
      child.send(task);
      return Promise.race([made, gone]);
    },
    [Symbol.asyncDispose]: () => ended(child, () => child.disconnect()),
  };
}

async function ended(child: ChildProcess, end: () => void): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  end();
  await gone;
}

async function shipped(gateway: ServiceProcess): Promise<number> {
  for (let wait = 0; wait < 300; wait += 1) {
    const page = await (await fetch(`${gateway.healthUrl}/metrics`)).text();
    const read = (name: string): number =>
      Number(new RegExp(`^cairn_gateway_${name} (\\d+)`, 'm').exec(page)?.[1]);
    if (read('spool_records') === 0) return read('events_recorded');
    await sleep(100);
  }
  throw new Error('the gateway did not send what it recorded');
}
