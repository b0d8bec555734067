import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { migrate, openClickHouse, openObjectStore } from '@cairn/adapters';
import { freePort, type Parts, REPOSITORY, S3_ACCESS_KEY, S3_SECRET_KEY, startParts } from '@cairn/local';
import { createLog, createMetrics, type ServiceContext } from '@cairn/runtime';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createKey } from '../../../packages/access/src/index.ts';
import { createAll } from './all.ts';
import { readAllConfig } from './config.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-all-'));
let parts: Parts;
let upstream: Server;
let env: Record<string, string>;

const context: ServiceContext = {
  log: createLog({ name: 'all', destination: { write: () => {} } }),
  metrics: createMetrics('all'),
  onReload: () => {},
};

beforeAll(async () => {
  parts = await startParts({ directory, parts: ['kafka', 'clickhouse', 'redis', 's3'], ports: 'any' });
  upstream = await echoServer();
  const file = join(directory, 'gateway.yaml');
  mkdirSync(join(directory, 'policies'));
  writeFileSync(join(directory, 'policies', 'all.cedar'), '@id("all") permit (principal, action, resource);');
  const gateway = {
    deployment: 'test',
    gateway_id: 'gw-1',
    listen: { port: 0 },
    health: { port: 0 },
    kafka: { partitions: 2 },
    data_directory: 'gateway',
    policy: { directory: 'policies' },
    anonymous: { org: 'acme', agent: 'tester' },
    upstreams: { echo: { url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/mcp` } },
  };
  writeFileSync(file, JSON.stringify(gateway));
  env = {
    ...parts.env(),
    CAIRN_GATEWAY_CONFIG: file,
    CAIRN_INGEST_HEALTH_PORT: '0',
    CAIRN_INGEST_CHUNK_AGE_MS_MAX: '100',
    CAIRN_REGISTRY_PORT: '0',
    CAIRN_REGISTRY_HEALTH_PORT: '0',
    CAIRN_DEPLOYMENT: 'test',
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
    CAIRN_ARCHIVAL_DATA_DIRECTORY: join(directory, 'archival'),
    CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX: '500',
    CAIRN_ARCHIVAL_HEALTH_PORT: '0',
    CAIRN_ALERTING_DATA_DIRECTORY: join(directory, 'alerting'),
    CAIRN_ALERTING_HEALTH_PORT: '0',
    CAIRN_QUERY_PORT: '0',
    CAIRN_QUERY_HEALTH_PORT: '0',
    CAIRN_QUERY_DATA_DIRECTORY: join(directory, 'query'),
    CAIRN_LOG_LEVEL: 'error',
  };
}, 120_000);
afterAll(async () => {
  upstream?.close();
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

describe('all services in one process', () => {
  test('a call through the gateway is found in the table, and the registry knows its schema', async () => {
    await using clickhouse = openClickHouse({ url: env['CLICKHOUSE_URL'] ?? '' });
    await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    await using all = await createAll(readAllConfig(env), context);

    const answer = await callTool(all.gateway?.port);
    expect(answer).toMatchObject({ result: { content: [{ type: 'text', text: 'hello' }] } });

    const found = await untilFound(async () => {
      const rows = await clickhouse.query<{ phase: string; result_status: string }>(
        `SELECT phase, result_status FROM cairn.events WHERE tool_name = 'say' ORDER BY seq`,
      );
      return rows.length < 2 ? undefined : rows;
    });
    expect(found.map(({ phase }) => phase)).toEqual(['decision', 'outcome']);
    expect(found[1]?.result_status).toBe('success');

    const schemas = `http://127.0.0.1:${all.registry?.port}/subjects/audit.events.standard-value/versions`;
    expect(await (await fetch(schemas)).json()).toEqual([1]);
    const bucket = { bucket: 'cairn-archive', accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY };
    await using store = await openObjectStore({ endpoint: env['S3_ENDPOINT'] ?? '', ...bucket });
    const checkpoints = () => Array.fromAsync(store.list('checkpoint/audit.events.standard/'));
    await untilFound(async () => ((await checkpoints()).length > 0 ? true : undefined));
    for (const service of [all.gateway, all.ingest, all.registry, all.archival, all.alerting]) {
      const page = await (await fetch(`http://127.0.0.1:${service?.healthPort}/metrics`)).text();
      expect(page).toMatch(/^# HELP cairn_/m);
    }
  }, 60_000);

  test('the API finds that call, and that it was looked for is an event of the same trail', async () => {
    await using clickhouse = openClickHouse({ url: env['CLICKHOUSE_URL'] ?? '' });
    await using all = await createAll(readAllConfig(env), context);
    const request = { orgId: 'acme', role: 'viewer', name: 'test', createdBy: 'test', days: 1 } as const;
    const { key, text } = await createKey(clickhouse, request, Date.now());
    const answer = await fetch(`http://127.0.0.1:${all.query?.port}/v1/events?search=tool:say`, {
      headers: { authorization: `Bearer ${text}` },
    });
    const { events } = (await answer.json()) as { events: { phase: string; org_id: string }[] };
    expect(events.map(({ phase }) => phase).sort()).toEqual(['decision', 'outcome']);
    const found = await untilFound(async () => {
      const rows = await clickhouse.query<{ org_id: string; user_id: string; detail: string }>(
        `SELECT org_id, user_id, detail FROM cairn.events WHERE kind = 'audit_access' AND method = 'events/search'`,
      );
      return rows[0];
    });
    expect(found).toMatchObject({ org_id: 'acme', user_id: `key:${key.id}` });
    expect(JSON.parse(found.detail)).toMatchObject({ search: 'tool_name:say', rows: 2 });
  }, 60_000);

  test('the gateway serves while ClickHouse is away, and ingest begins once it is back', async () => {
    const gatewayPort = await freePort();
    await parts.part('clickhouse').kill9();
    const starting = createAll(readAllConfig({ ...env, CAIRN_GATEWAY_PORT: String(gatewayPort) }), context);
    const answer = await untilFound(() => callTool(gatewayPort).catch(() => undefined));
    expect(answer).toHaveProperty('result');
    await parts.part('clickhouse').start();
    await using all = await starting;
    await using clickhouse = openClickHouse({ url: env['CLICKHOUSE_URL'] ?? '' });
    expect(all.ingest?.healthPort).toBeGreaterThan(0);
    const count = async () =>
      clickhouse.query<{ n: number }>(
        `SELECT toUInt32(count()) AS n FROM cairn.events WHERE tool_name = 'say' AND phase = 'outcome'`,
      );
    await untilFound(async () => ((await count())[0]?.n === 2 ? true : undefined));
  }, 60_000);
});

async function untilFound<T>(look: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error('it did not come within 30 s');
    await sleep(100);
  }
}

async function callTool(port: number | undefined): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${port}/mcp/echo`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'say', arguments: { text: 'hello' } },
    }),
  });
  return answer.json();
}

/** Answers every call with its text. */
async function echoServer(): Promise<Server> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const { id, params } = JSON.parse(Buffer.concat(chunks).toString());
    const result = { content: [{ type: 'text', text: params.arguments.text }] };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
