import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ClickHouse } from '@cairn/adapters';
import { createLog } from '@cairn/runtime';
import { afterEach, expect, test } from '@jest/globals';
import type { Caller } from './authenticate.ts';
import { RequestsInFlight } from './requests-in-flight.ts';
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
    config: {
      org: 'cairn',
      deployment: 'test',
      limits: { perKeyAMinute: 100, perAddressAMinute: 1_000, streamsMax: 1 },
    },
    clickhouse,
    analyst: clickhouse,
    archive: undefined,
    subjectKeys: undefined,
    authenticator: {
      callerOf: async (authorization) => (authorization === 'Bearer right' ? CALLER : undefined),
    },
    recorder: { record: async () => {} },
    claims: claimsInMemory(Date.now),
    log: createLog({ name: 'query', destination: { write: () => {} } }),
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
    config: {
      org: 'cairn',
      deployment: 'test',
      limits: { perKeyAMinute: 3, perAddressAMinute: 1_000, streamsMax: 1 },
    },
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
  const config = {
    org: 'cairn',
    deployment: 'test',
    limits: { perKeyAMinute: 3, perAddressAMinute: 1_000, streamsMax: 1 },
  };
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

test('what needs an archive or keys that are not configured says so, and what would name them', async () => {
  const url = await serving({});
  const id = '018f0000-0000-7000-8000-000000000001';
  for (const path of [
    '/v1/events?store=cold',
    '/v1/events?store=both',
    `/v1/events/${id}/proof`,
    '/v1/segments',
    '/v1/segments/audit.events.standard/0/0',
    '/v1/checkpoints',
    '/v1/checkpoints/audit.events.standard/0/1',
    '/v1/exports/bundle?from=0&to=1',
    '/v1/holds',
  ]) {
    const answer = await ask(url, path);
    expect([path, answer.status]).toEqual([path, 409]);
    expect(await answer.json()).toMatchObject({
      code: 'not-configured',
      detail: expect.stringContaining('S3_ENDPOINT'),
    });
  }
  const completeness = (await (await ask(url, '/v1/completeness')).json()) as {
    counts: Record<string, object>;
  };
  expect(completeness.counts['archived']).toMatchObject({ as_of: null });
});

test('no value is unsealed when that cannot be recorded', async () => {
  const opened: string[] = [];
  const url = await serving({
    authenticator: { callerOf: async () => ({ ...CALLER, scopes: ['unseal'] }) },
    recorder: { record: async () => Promise.reject(new Error('the disk is full')) },
    clickhouse: {
      query: async () => [{ parameters_sealed: '0100', response_sealed: '' }],
    } as unknown as ClickHouse,
    subjectKeys: {
      openKey: async (_, keyId) => {
        opened.push(keyId);
        return { state: 'unknown' };
      },
    },
  });
  const answer = await fetch(`${url}/v1/events/018f0000-0000-7000-8000-000000000001/unseal`, {
    method: 'POST',
    headers: { authorization: 'Bearer right', 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'Case 12' }),
  });
  expect(answer.status).toBe(503);
  expect(await answer.text()).not.toContain('parts');
});

test('a Parquet export that breaks off is not recorded as sent', async () => {
  const recorded: Record<string, unknown>[] = [];
  const url = await serving({
    recorder: { record: async ({ detail }) => void recorded.push(JSON.parse(detail as string)) },
    clickhouse: {
      query: async () => [{ hour: 1_795_000_000_000_000, rows: 5 }],
      stream: async () =>
        (async function* () {
          yield Buffer.from('PAR1');
          throw new Error('gone');
        })(),
    } as unknown as ClickHouse,
  });
  const answer = await ask(url, '/v1/exports/events?format=parquet');
  await expect(answer.arrayBuffer()).rejects.toThrow();
  while (recorded.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(recorded).toMatchObject([{ rows: 5 }, { rows: 5, sent: 0, ended: true }]);
});

test('an API that stops answers nothing new, says when to come again, and records none of it', async () => {
  const stopping = new AbortController();
  const recorded: unknown[] = [];
  const url = await serving({
    stopping: stopping.signal,
    recorder: { record: async (draft) => void recorded.push(draft) },
  });
  expect((await ask(url, '/v1/me')).status).toBe(200);
  stopping.abort();
  const answer = await ask(url, '/v1/me');
  expect([answer.status, answer.headers.get('connection'), await answer.json()]).toEqual([
    503,
    'close',
    expect.objectContaining({ code: 'unavailable' }),
  ]);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(recorded).toHaveLength(1);
});

test('an export that has not begun to be sent when the service stops is not taken for one without rows', async () => {
  const stopping = new AbortController();
  const url = await serving({
    stopping: stopping.signal,
    recorder: { record: async () => stopping.abort() },
  });
  await expect(ask(url, '/v1/exports/events?format=csv').then((answer) => answer.text())).rejects.toThrow();
});

test('whoever waits for requests waits for the refusal of one that failed, too', async () => {
  const inFlight = new RequestsInFlight();
  const steps: string[] = [];
  const refused = Promise.withResolvers<void>();
  inFlight
    .track(Promise.reject(new Error('refuse me')))
    .catch(() => inFlight.track(refused.promise))
    .then(() => steps.push('refused'));
  const ended = inFlight.ended().then(() => steps.push('ended'));
  setTimeout(refused.resolve, 20);
  await ended;
  expect(steps).toEqual(['refused', 'ended']);
});
