// The process of the API is told to stop while it answers, over a real ClickHouse: what becomes of each request, and of its event.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createKey } from '@cairn/access';
import { migrate, openClickHouse } from '@cairn/adapters';
import { REPOSITORY, startParts } from '@cairn/local';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { fillTable } from '../../../tools/bench/src/table/fill-table.ts';
import { type HttpProxy, startHttpProxy } from '../../../tools/e2e/src/http-proxy.ts';

const own = new AsyncDisposableStack();
let directory: string;
let proxy: HttpProxy;
let key: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-stop-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true }));
  const parts = own.use(await startParts({ directory, parts: ['clickhouse'], ports: 'any' }));
  const clickhouse = own.use(openClickHouse({ url: parts.part('clickhouse').address }));
  await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
  const traffic = { events: 30_000, rowsMax: 20_000, gateways: 8, partitions: 2, eventsPerSecond: 20 };
  await fillTable(clickhouse, traffic);
  proxy = own.use(await startHttpProxy(parts.part('clickhouse').address));
  const who = { orgId: 'org-1', role: 'auditor', name: 'test', createdBy: 'test', days: 1 } as const;
  key = (await createKey(clickhouse, who, Date.now())).text;
}, 120_000);
afterAll(() => own.disposeAsync());

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  readonly healthUrl: string;
  readonly port: number;
  /** Standard output up to now. */
  said(): string;
  readonly ended: Promise<number | null>;
}

async function start(drainMsMax: number): Promise<Running> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, '../test/stopped-service.ts'), String(drainMsMax)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        CLICKHOUSE_URL: proxy.url,
        KAFKA_BROKERS: 'none:1',
        CAIRN_DEPLOYMENT: 'stop',
        CAIRN_QUERY_INSTANCE: `query-${drainMsMax}`,
        CAIRN_QUERY_PORT: '0',
        CAIRN_QUERY_HEALTH_PORT: '0',
        CAIRN_QUERY_DATA_DIRECTORY: join(directory, `query-${drainMsMax}`),
        CAIRN_RETENTION_CONFIG: join(REPOSITORY, 'deploy', 'config', 'retention.yaml'),
      },
    },
  );
  own.defer(() => void child.kill('SIGKILL'));
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const found = await until(() => /^PORTS (.*)$/m.exec(text)?.[1]);
  const { port, healthPort } = JSON.parse(found) as { port: number; healthPort: number };
  const [url, healthUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${healthPort}`];
  return { child, url, healthUrl, port, said: () => text, ended };
}

async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await sleep(20);
  }
}

/** The statement of the search for this stands before ClickHouse until it is let go. */
function holding(word: string) {
  const released = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  proxy.decide = async ({ settings }) => {
    if (![...settings.values()].includes(word)) return { do: 'pass' };
    held.resolve();
    await released.promise;
    return { do: 'pass' };
  };
  return { held: held.promise, release: released.resolve };
}

/** A connection on which requests stand one behind the other. */
function connection(port: number) {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString()));
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return {
    ask: (path: string) =>
      void socket.write(`GET ${path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer ${key}\r\n\r\n`),
    ended,
    answers: () => text.split(/(?=HTTP\/1\.1 \d{3} )/),
  };
}

const recordedIn = (said: string): { method: string; status: string; detail: Record<string, unknown> }[] =>
  [...said.matchAll(/^RECORDED (.*)$/gm)].map(([, json]) => {
    const { detail, ...event } = JSON.parse(json!);
    return { ...event, detail: detail === '' ? {} : JSON.parse(detail) };
  });

const ask = ({ url }: Running, path: string) =>
  fetch(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } });

test('a stop answers what is being answered, takes nothing new, ends tails in order, breaks exports off, and records each', async () => {
  const service = await start(10_000);
  const { held, release } = holding('held-back');

  const standing = connection(service.port);
  standing.ask('/v1/events?search=task:held-back');
  await held;
  const tail = (await ask(service, '/v1/tail?search=task:tailed')).body!.getReader();
  const begun = Buffer.from((await tail.read()).value!).toString();
  // Nobody reads on, so most of it stands in the service.
  const exported = (await ask(service, '/v1/exports/events')).body!.getReader();
  let text = Buffer.from((await exported.read()).value!).toString();

  service.child.kill('SIGTERM');
  let tailed = begun;
  for (let next = await tail.read(); !next.done; next = await tail.read())
    tailed += Buffer.from(next.value).toString();
  expect(tailed).toMatch(/: it ends here, and goes on with Last-Event-ID\nid: [\w-]+\n\n$/);
  const cut = (async () => {
    for (let next = await exported.read(); !next.done; next = await exported.read())
      text += Buffer.from(next.value).toString();
  })();
  await expect(cut).rejects.toThrow();
  expect(text).not.toContain('"_end"');

  // The first is still being answered: its connection stands, and what comes on it is told to come again.
  expect((await fetch(`${service.healthUrl}/readyz`)).status).toBe(503);
  standing.ask('/v1/me');
  // Another one is not taken; on the tail's, while it stands for a last moment, the same is told.
  const other = await ask(service, '/v1/me').then(
    ({ status }) => status,
    () => 'no connection',
  );
  expect([503, 'no connection']).toContain(other);
  expect(service.child.exitCode).toBeNull();
  release();
  await standing.ended;
  const [answered, refused] = standing.answers().filter((one) => one !== '');
  expect(answered).toMatch(/^HTTP\/1\.1 200 [\s\S]*"events":\[\]/);
  expect(refused).toMatch(/^HTTP\/1\.1 503 /);
  expect(refused).toMatch(/^Retry-After: \d+\r$/m);
  expect(refused).toMatch(/^Connection: close\r$/m);
  expect(refused).toContain('"code":"unavailable"');

  expect(await service.ended).toBe(0);
  const recorded = recordedIn(service.said());
  const refusedId = /^X-Request-Id: (\S+)\r$/m.exec(refused!)![1];
  expect(recorded.map(({ detail }) => detail['request'])).not.toContain(refusedId);
  const of = (method: string) => recorded.filter((event) => event.method === method);
  expect(of('events/search')).toMatchObject([{ status: 'success', detail: { rows: 0 } }]);
  expect(of('events/tail')).toMatchObject([{ detail: {} }, { detail: { ended: true, rows: 0 } }]);
  const [began, ended] = of('export/events');
  // More than all buffers between there and here take.
  expect(began?.detail['rows']).toBeGreaterThan(8_000);
  expect(ended).toMatchObject({ detail: { ended: true, sent: expect.any(Number) } });
  expect(ended?.detail['sent']).toBeLessThan(Number(began?.detail['rows']));
}, 60_000);

test('a request that does not end is broken off when a stop has waited long enough, and the process ends with 0', async () => {
  const service = await start(300);
  const { held, release } = holding('never');
  const standing = connection(service.port);
  standing.ask('/v1/events?search=task:never');
  await held;
  service.child.kill('SIGTERM');
  await standing.ended;
  expect(standing.answers()).toEqual(['']);
  expect(await service.ended).toBe(0);
  release();
}, 60_000);
