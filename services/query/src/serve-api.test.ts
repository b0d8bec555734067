import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ClickHouse } from '@cairn/adapters';
import { createLog } from '@cairn/runtime';
import { afterEach, expect, test } from '@jest/globals';
import type { Caller } from './authenticate.ts';
import { type ApiParts, serveApi } from './serve-api.ts';
import { claimsInMemory } from './shared-claims.ts';

const CALLER: Caller = {
  orgId: 'acme',
  role: 'auditor',
  scopes: ['trail', 'export'],
  id: 'key:1',
  auth: 'api_key',
};
let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** The API with parts of a test; ClickHouse answers with nothing. */
async function serving(parts: Partial<ApiParts>): Promise<string> {
  const clickhouse = {
    query: async () => [],
    stream: async () => (async function* () {})(),
  } as unknown as ClickHouse;
  const app = serveApi({
    config: { org: 'cairn', limits: { perKeyAMinute: 100, perAddressAMinute: 1_000, streamsMax: 1 } },
    clickhouse,
    analyst: clickhouse,
    authenticator: {
      callerOf: async (authorization) => (authorization === 'Bearer right' ? CALLER : undefined),
    },
    recorder: { record: async () => {} },
    claims: claimsInMemory(Date.now),
    log: createLog({ name: 'query', level: 'silent' }),
    nowMs: () => 1_795_000_000_000,
    onAnswered: () => {},
    stopping: new AbortController().signal,
    ...parts,
  });
  server = createServer(app);
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const ask = (url: string, path: string, key = 'right') =>
  fetch(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } });

test('what cannot be recorded is not answered: not a page, not an export, not a refusal', async () => {
  const url = await serving({
    recorder: { record: async () => Promise.reject(new Error('the disk is full')) },
  });
  for (const [path, key] of [
    ['/v1/me', 'right'],
    ['/v1/events', 'right'],
    ['/v1/exports/events', 'right'],
    ['/v1/keys', 'right'],
    ['/v1/me', 'wrong'],
  ] as const) {
    const answer = await ask(url, path, key);
    const text = await answer.text();
    expect([path, answer.status]).toEqual([path, expect.any(Number)]);
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expect(text).not.toContain('acme');
    expect(text).not.toContain('_end');
    expect(text).not.toContain('disk');
  }
});

test('an answer waits until its event is on disk', async () => {
  let release = () => {};
  const durable = new Promise<void>((resolve) => (release = resolve));
  const url = await serving({ recorder: { record: () => durable } });
  let answered = false;
  const answer = ask(url, '/v1/me').then((response) => {
    answered = true;
    return response.status;
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(answered).toBe(false);
  release();
  expect(await answer).toBe(200);
});

test('a key that asks too often is told when to go on, and nothing of it is recorded', async () => {
  let recorded = 0;
  const url = await serving({
    config: { org: 'cairn', limits: { perKeyAMinute: 3, perAddressAMinute: 1_000, streamsMax: 1 } },
    recorder: { record: async () => void (recorded += 1) },
  });
  const statuses = [];
  let last: Response | undefined;
  for (let at = 0; at < 5; at += 1) {
    last = await ask(url, '/v1/me');
    statuses.push(last.status);
  }
  expect(statuses).toEqual([200, 200, 200, 429, 429]);
  expect(Number(last!.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(last!.headers.get('content-type')).toBe('application/problem+json');
  expect(recorded).toBe(3);
});

test('processes that share their counts let a key through as often as one process would', async () => {
  const claims = claimsInMemory(Date.now);
  const config = { org: 'cairn', limits: { perKeyAMinute: 3, perAddressAMinute: 1_000, streamsMax: 1 } };
  const one = await serving({ claims, config });
  const first = server!;
  const two = await serving({ claims, config });
  const statuses = [];
  for (const url of [one, two, one, two, one]) statuses.push((await ask(url, '/v1/me')).status);
  first.closeAllConnections();
  first.close();
  expect(statuses).toEqual([200, 200, 200, 429, 429]);
});

test('what a part says of its failure is not told, and its log has the id of the request', async () => {
  const lines: string[] = [];
  const url = await serving({
    log: createLog({
      name: 'query',
      level: 'info',
      destination: { write: (line: string) => void lines.push(line) },
    }),
    clickhouse: {
      query: async () => Promise.reject(new Error('secret-of-another')),
    } as unknown as ClickHouse,
  });
  const answer = await ask(url, '/v1/completeness');
  expect(answer.status).toBe(500);
  expect(await answer.text()).not.toContain('secret-of-another');
  expect(lines.join('')).toContain(answer.headers.get('x-request-id'));
});
