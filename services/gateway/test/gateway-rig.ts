import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AuditEvent, decodeDatum, unframe } from '@cairn/event';
import type { EventLog } from '@cairn/recorder';
import { createLog, createMetrics } from '@cairn/runtime';
import { createGateway, type Gateway, readGatewayConfig } from '../src/index.ts';

/** A log in memory that keeps the promise of the real one. */
export class MemoryLog implements EventLog {
  readonly events: AuditEvent[] = [];
  async append(_topic: string, _partition: number, values: readonly Uint8Array[]): Promise<void> {
    for (const value of values) {
      const unframed = unframe(value);
      if (!unframed.ok) throw new Error(unframed.reason);
      this.events.push(decodeDatum(unframed.datum));
    }
  }
  /** Events about calls, once as many have arrived. */
  async calls(count: number): Promise<AuditEvent[]> {
    for (let wait = 0; wait < 200; wait += 1) {
      const calls = this.events.filter(
        ({ kind }) => !['seal', 'stream_open', 'stream_close', 'gap'].includes(kind),
      );
      if (calls.length >= count) return calls;
      await sleep(20);
    }
    throw new Error(`${count} events did not arrive`);
  }
}

export interface GatewayRig extends AsyncDisposable {
  readonly url: string;
  readonly log: MemoryLog;
  readonly gateway: Gateway;
  readonly directory: string;
  readonly configFile: string;
}

/** A gateway in this process over these upstreams; anyone may call. */
export async function startGateway(
  upstreams: Record<string, object>,
  options: { readonly policy?: string; readonly config?: object } = {},
): Promise<GatewayRig> {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-gateway-'));
  mkdirSync(join(directory, 'policies'));
  const policy = options.policy ?? '@id("all") permit (principal, action, resource);';
  writeFileSync(join(directory, 'policies', 'test.cedar'), policy);
  const configFile = join(directory, 'gateway.yaml');
  const config = {
    deployment: 'test',
    gateway_id: 'gw-test',
    listen: { port: 0 },
    health: { port: 0 },
    // Nobody listens there: what a stdio gateway records stays in its spool.
    kafka: { brokers: '127.0.0.1:1' },
    data_directory: 'data',
    policy: { directory: 'policies' },
    anonymous: { org: 'acme', agent: 'tester' },
    upstreams,
    ...options.config,
  };
  writeFileSync(configFile, JSON.stringify(config));
  const log = new MemoryLog();
  const context = {
    log: createLog({ name: 'gateway', destination: { write: () => {} } }),
    metrics: createMetrics('gateway'),
    onReload: () => {},
  };
  const gateway = await createGateway(readGatewayConfig({ CAIRN_GATEWAY_CONFIG: configFile }), context, {
    log,
  });
  return {
    url: `http://127.0.0.1:${gateway.port}/mcp`,
    log,
    gateway,
    directory,
    configFile,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const require = createRequire(import.meta.url);

/** The published test server of the protocol's own project. */
export const EVERYTHING = join(
  dirname(require.resolve('@modelcontextprotocol/server-everything/package.json')),
  'dist',
  'index.js',
);

/** What a stdio server is started with; the same directly and behind the gateway. */
export const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/nonexistent' };

export interface HttpServerProcess extends AsyncDisposable {
  readonly url: string;
}

/** Starts a server over streamable HTTP on a free port. */
export async function startHttpServer(args: readonly string[]): Promise<HttpServerProcess> {
  const port = await freePort();
  const child: ChildProcess = spawn(process.execPath, args, {
    stdio: 'ignore',
    env: { ...ENVIRONMENT, PORT: String(port) },
  });
  for (let wait = 0; wait < 200; wait += 1) {
    const answer = await fetch(`http://127.0.0.1:${port}/mcp`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer) break;
    await sleep(50);
  }
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    async [Symbol.asyncDispose]() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
