// The API over a real ClickHouse: who may, what comes back, and what is recorded of it.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createKey, findKey, ROLES, revokeKey, SCOPES_OF } from '@cairn/access';
import { type Question, searchEvents } from '@cairn/query';
import type { RecordDraft } from '@cairn/recorder';
import { conditionOf, readSearch } from '@cairn/search';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readExport } from '../../../packages/cli/src/read-export.ts';
import { cairn } from '../../../packages/cli/src/testing/run-cairn.ts';
import { ApiProblem, openClient } from '../../../packages/client/src/index.ts';
import { type ApiRig, ORG, startApi } from '../test/api-rig.ts';
import { startCuttingProxy } from '../test/cutting-proxy.ts';
import { formulasIn, parseCsv, SEPARATORS } from '../test/formulas-in.ts';
import { hostileCells, insertHostile, naiveCsv } from '../test/hostile-cells.ts';
import { openApiOf } from './describe-api.ts';
import { PROBLEMS, problemSchema } from './problem.ts';
import type { Route } from './route.ts';
import { ROUTES } from './routes.ts';
import { REPORTS } from './run-report.ts';
import { tellRevocations } from './tell-revocations.ts';

const EVENTS = 12_000;
let api: ApiRig;
const keys: Record<string, string> = {};

beforeAll(async () => {
  api = await startApi({ events: EVENTS });
  for (const role of ROLES) keys[role] = await api.key(role);
  keys['stranger'] = await api.key('auditor', { orgId: 'org-2' });
}, 120_000);
afterAll(async () => {
  await api?.[Symbol.asyncDispose]();
});

async function json<T = Record<string, never>>(
  path: string,
  key = keys['auditor']!,
  options: Parameters<ApiRig['ask']>[1] = {},
): Promise<T> {
  return api.json<T>(path, { key, ...options });
}

async function one<T>(sql: string, parameters = {}): Promise<T> {
  const [row] = await api.clickhouse.query<T>(sql, parameters, {
    output_format_json_quote_64bit_integers: 0,
  });
  return row!;
}

const samplePath = (route: Route): string => {
  const values: Record<string, string> = {
    event_id: '018f0000-0000-7000-8000-000000000001',
    session_id: 'none',
    what: 'agents',
    report: 'slow-tools',
    topic: 'audit.events.standard',
    partition: '0',
    first: '0',
    size: '150',
    id: route.path.includes('keys') ? '0123456789abcdef' : '018f0000-0000-4000-8000-000000000001',
  };
  return route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name]!);
};
const sampleBody = (route: Route): unknown =>
  ({
    runSql: { query: 'SELECT 1' },
    createKey: { name: 'x', role: 'viewer' },
    createSavedSearch: { name: 'x', search: 'kind:alert' },
    unsealEvent: { reason: 'a test' },
    createHoldStatement: { note: 'none' },
    changeSavedSearch: { name: 'x', search: 'kind:alert' },
  })[route.id];

describe('who may', () => {
  const matrix = ROUTES.flatMap((route) =>
    ROLES.map((role) => [role, route.method, route.path, route] as const),
  );

  test.each(matrix)('%s %s %s is as the table of routes says', async (role, method, _path, route) => {
    const gone = new AbortController();
    const answer = await fetch(`${api.url}${samplePath(route)}`, {
      method: method.toUpperCase(),
      headers: { authorization: `Bearer ${keys[role]}`, 'content-type': 'application/json' },
      signal: gone.signal,
      ...(route.body && { body: JSON.stringify(sampleBody(route)) }),
    });
    const may = route.roles.includes(role) && SCOPES_OF[role].includes(route.scope);
    expect(answer.status === 403).toBe(!may);
    expect(answer.status).toBeLessThan(500);
    gone.abort();
  });

  test.each(ROUTES.map((route) => [route.method, route.path, route] as const))(
    'nobody may %s %s without a credential',
    async (method, _path, route) => {
      const answer = await api.ask(samplePath(route), {
        method: method.toUpperCase(),
        body: sampleBody(route),
      });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      expect(problemSchema.parse(await answer.json()).code).toBe('access.unauthenticated');
    },
  );

  test('a key with fewer scopes than its role does not do what they leave out', async () => {
    const key = await api.key('auditor', { scopes: ['trail'] });
    expect((await api.ask('/v1/events', { key })).status).toBe(200);
    expect((await api.ask('/v1/exports/count', { key })).status).toBe(403);
  });

  test('a key that is made is shown once, kept as a hash, and stops when it is revoked', async () => {
    const made = await json<{ key: { id: string }; text: string }>('/v1/keys', keys['admin'], {
      method: 'POST',
      body: { name: 'ci', role: 'viewer', days: 1 },
    });
    expect((await api.ask('/v1/me', { key: made.text })).status).toBe(200);
    const kept = JSON.stringify(await api.clickhouse.query('SELECT * FROM cairn.api_keys'));
    const secret = made.text.split('_')[2]!;
    expect(kept).not.toContain(secret);
    expect(api.lines.join('')).not.toContain(secret);
    expect(Buffer.concat(api.appended).includes(secret)).toBe(false);
    expect((await api.ask(`/v1/keys/${made.key.id}`, { key: keys['admin']!, method: 'DELETE' })).status).toBe(
      204,
    );
    await sleep(2_100);
    expect((await api.ask('/v1/me', { key: made.text })).status).toBe(401);
  });

  test('an organisation does not see, revoke or delete what is another’s', async () => {
    const admin = await api.key('admin', { orgId: 'org-2' });
    const { key } = await json<{ key: { id: string } }>('/v1/keys', keys['admin'], {
      method: 'POST',
      body: { name: 'mine', role: 'viewer' },
    });
    expect((await api.ask(`/v1/keys/${key.id}`, { key: admin, method: 'DELETE' })).status).toBe(404);
    const saved = await json<{ id: string }>('/v1/saved-searches', keys['viewer'], {
      method: 'POST',
      body: { name: 'mine', search: 'tool:x' },
    });
    expect((await api.ask(`/v1/saved-searches/${saved.id}`, { key: admin, method: 'DELETE' })).status).toBe(
      404,
    );
    expect(
      (await api.ask(`/v1/saved-searches/${saved.id}`, { key: keys['analyst']!, method: 'DELETE' })).status,
    ).toBe(403);
    expect(JSON.stringify(await json('/v1/keys', admin))).not.toContain(key.id);
    const event = await one<{ id: string }>(
      `SELECT toString(event_id) AS id FROM cairn.events WHERE org_id = 'org-2' LIMIT 1`,
    );
    expect((await api.ask(`/v1/events/${event.id}`, { key: keys['auditor']! })).status).toBe(404);
    expect((await api.ask(`/v1/events/${event.id}`, { key: keys['stranger']! })).status).toBe(200);
  });
});

describe('a saved search', () => {
  interface Saved {
    readonly id: string;
    readonly name: string;
    readonly search: string;
  }
  const save = async (name: string) => {
    const answer = await api.ask('/v1/saved-searches', {
      key: keys['viewer']!,
      method: 'POST',
      body: { name, search: 'decision:deny' },
    });
    return { saved: (await answer.json()) as Saved, etag: answer.headers.get('etag')! };
  };
  const change = (id: string, etag: string | undefined, name: string, key = keys['viewer']!) =>
    api.ask(`/v1/saved-searches/${id}`, {
      key,
      method: 'PUT',
      body: { name, search: 'kind:alert' },
      ...(etag !== undefined && { headers: { 'if-match': etag } }),
    });

  test('is changed by who saw its latest version, and by nobody who saw an older one', async () => {
    const { saved, etag } = await save('first');
    expect((await change(saved.id, undefined, 'second')).status).toBe(428);
    const changed = await change(saved.id, etag, 'second');
    expect([changed.status, await changed.json()]).toMatchObject([200, { id: saved.id, name: 'second' }]);
    expect(changed.headers.get('etag')).not.toBe(etag);
    expect((await change(saved.id, etag, 'third')).status).toBe(412);
    const read = await api.ask(`/v1/saved-searches/${saved.id}`, { key: keys['analyst']! });
    expect(await read.json()).toMatchObject({ name: 'second', search: 'kind:alert' });
    expect(read.headers.get('etag')).toBe(changed.headers.get('etag'));
    const gone = { key: keys['viewer']!, method: 'DELETE' };
    const path = `/v1/saved-searches/${saved.id}`;
    expect((await api.ask(path, { ...gone, headers: { 'if-match': etag } })).status).toBe(412);
    expect((await api.ask(path, gone)).status).toBe(204);
    expect((await change(saved.id, changed.headers.get('etag')!, 'fourth')).status).toBe(404);
  });

  test('that many change at once from the same version is changed once', async () => {
    const { saved, etag } = await save('contended');
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, at) => change(saved.id, etag, `change ${at}`)),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(7).fill(412)]);
  });

  test('is changed by its owner or an admin alone', async () => {
    const { saved, etag } = await save('owned');
    expect((await change(saved.id, etag, 'mine', keys['analyst'])).status).toBe(403);
    expect((await change(saved.id, etag, 'mine', keys['stranger'])).status).toBe(404);
    expect((await change(saved.id, etag, 'mine', keys['admin'])).status).toBe(200);
  });
});

describe('a request with an Idempotency-Key', () => {
  const create = (name: string, header: string, key = keys['admin']!) =>
    api.ask('/v1/keys', {
      key,
      method: 'POST',
      body: { name, role: 'viewer', days: 1 },
      headers: { 'idempotency-key': header },
    });
  const named = async (name: string) =>
    one<{ n: number }>('SELECT count() AS n FROM cairn.api_keys WHERE name = {name:String}', { name });

  test('that is sent again gives the same key, which was made once, and is recorded as a repetition', async () => {
    const first = await create('once', '"11111111-1111-4111-8111-111111111111"');
    const again = await create('once', '"11111111-1111-4111-8111-111111111111"');
    expect([first.status, again.status]).toEqual([201, 201]);
    const made = (await first.json()) as { text: string };
    expect(await again.json()).toEqual(made);
    expect((await api.ask('/v1/me', { key: made.text })).status).toBe(200);
    expect(await named('once')).toEqual({ n: 1 });
    const [event] = await api.recordedOf(again.headers.get('x-request-id')!);
    expect(JSON.parse(event!.detail)).toMatchObject({ repeated: true });
  });

  test('of several at once creates one thing', async () => {
    const header = '22222222-2222-4222-8222-222222222222';
    const answers = await Promise.all(Array.from({ length: 6 }, () => create('raced', header)));
    for (const { status } of answers) expect([201, 409]).toContain(status);
    expect(answers.some(({ status }) => status === 201)).toBe(true);
    expect(await named('raced')).toEqual({ n: 1 });
  });

  test('that says something else than before is refused, and creates nothing', async () => {
    const header = '33333333-3333-4333-8333-333333333333';
    expect((await create('before', header)).status).toBe(201);
    const other = await create('after', header);
    expect([other.status, await other.json()]).toMatchObject([422, { code: 'idempotency.different' }]);
    expect((await create('before', 'no')).status).toBe(400);
    expect(await named('after')).toEqual({ n: 0 });
  });
});

describe('what is recorded', () => {
  test('each answer is an event of the asker’s organisation: who, what, how many', async () => {
    const answer = await api.ask('/v1/events?search=decision:deny&limit=5', { key: keys['viewer']! });
    const { events } = (await answer.json()) as { events: unknown[] };
    const [event] = await api.recordedOf(answer.headers.get('x-request-id')!);
    expect(event).toMatchObject({
      org_id: ORG,
      kind: 'audit_access',
      phase: 'single',
      service: 'query',
      method: 'events/search',
      decision: 'allow',
      result_status: 'success',
      auth_method: 'api_key',
    });
    expect(JSON.parse(event!.detail)).toMatchObject({
      search: 'decision:deny',
      rows: events.length,
      role: 'viewer',
    });
  });

  test('each refusal is one, too: of a role in its organisation, of nobody in the installation’s', async () => {
    const forbidden = await api.ask('/v1/keys', { key: keys['viewer']! });
    expect((await api.recordedOf(forbidden.headers.get('x-request-id')!))[0]).toMatchObject({
      org_id: ORG,
      decision: 'deny',
      result_status: 'denied',
      error_code: 'access.forbidden',
    });
    const nobody = await api.ask('/v1/events', { key: 'cairn_guess' });
    expect((await api.recordedOf(nobody.headers.get('x-request-id')!))[0]).toMatchObject({
      org_id: 'cairn',
      decision: 'deny',
      user_id: '',
    });
  });

  test('what is done is recorded before it and behind it, under one call', async () => {
    const body = { name: 'recorded', role: 'viewer', days: 1 };
    const answer = await api.ask('/v1/keys', { key: keys['admin']!, method: 'POST', body });
    const { key } = (await answer.json()) as { key: { id: string } };
    await sleep(300);
    const events = await api.recordedOf(answer.headers.get('x-request-id')!);
    expect(events.map(({ phase, result_status: status }) => [phase, status])).toEqual([
      ['decision', 'pending'],
      ['outcome', 'success'],
    ]);
    expect(events[0]!.call_id).toEqual(events[1]!.call_id);
    for (const { detail, kind, method } of events)
      expect([kind, method, JSON.parse(detail).key]).toEqual(['admin', 'keys/create', key.id]);
  });

  test('a revocation that could not be recorded is in the table, and is told to the trail once', async () => {
    const { key } = await createKey(
      api.clickhouse,
      { orgId: ORG, role: 'viewer', name: 'owed', createdBy: 'test', days: 1 },
      Date.now(),
    );
    const by = {
      user_id: 'key:x',
      auth_method: 'api_key',
      principal_type: 'service',
      service: 'query',
    } as const;
    await revokeKey(api.clickhouse, ORG, key.id, Date.now(), { ...by, request: 'request-of-then' });
    expect((await findKey(api.clickhouse, key.id))?.revokedAtMs).toBeGreaterThan(0);
    const told: RecordDraft[] = [];
    const recorder = { record: async (draft: RecordDraft) => void told.push(draft) };
    expect([
      await tellRevocations(api.clickhouse, recorder),
      await tellRevocations(api.clickhouse, recorder),
    ]).toEqual([1, 0]);
    expect(told).toMatchObject([{ org_id: ORG, method: 'keys/revoke', user_id: 'key:x' }]);
    expect((await findKey(api.clickhouse, key.id))?.revokedAtMs).toBeGreaterThan(0);
  });

  test('an export is recorded before its first byte and again when it has ended', async () => {
    const answer = await api.ask('/v1/exports/events?search=decision:deny', { key: keys['auditor']! });
    await answer.text();
    await sleep(300);
    const events = await api.recordedOf(answer.headers.get('x-request-id')!);
    expect(events.map(({ kind, detail }) => [kind, JSON.parse(detail).ended ?? false])).toEqual([
      ['export', false],
      ['export', true],
    ]);
    expect(JSON.parse(events[1]!.detail).sent).toBe(JSON.parse(events[0]!.detail).rows);
  });
});

describe('a search', () => {
  test('gives every event once, page after page, whatever arrives meanwhile', async () => {
    const wanted = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String} AND kind = 'tool_call'`,
      { org: ORG },
    );
    const seen = new Set<string>();
    let cursor = '';
    let rows = 0;
    for (let page = 0; ; page += 1) {
      const { events, next } = await json<{
        events: { event_id: string; org_id: string }[];
        next: string | null;
      }>(`/v1/events?search=kind:tool_call&limit=900${cursor}`);
      for (const event of events) {
        expect(event.org_id).toBe(ORG);
        seen.add(event.event_id);
      }
      rows += events.length;
      // Newer and older events arrive while it pages.
      await api.clickhouse.exec(
        `INSERT INTO cairn.events (topic, partition, offset, received_at, org_id, kind, timestamp, event_id_random, gateway_id)
         SELECT 'late', 9, ${page}, now64(3) + 1, '${ORG}', 'tool_call', timestamp + ${page % 2}, 'abcdefghij', 'late' FROM cairn.events WHERE org_id = '${ORG}' ORDER BY timestamp LIMIT 1`,
      );
      if (next === null) break;
      cursor = `&cursor=${next}`;
    }
    const { day } = await one<{ day: string }>(
      `SELECT toString(any(append_day)) AS day FROM cairn.events WHERE topic = 'late'`,
    );
    await api.clickhouse.exec(`ALTER TABLE cairn.events DROP PARTITION '${day}'`);
    expect(rows).toBe(wanted.n);
    expect(seen.size).toBe(wanted.n);
  }, 60_000);

  test('finds by narrow looks what one statement over everything finds', async () => {
    const { now, agent } = await one<{ now: number; agent: string }>(
      `SELECT toUnixTimestamp64Micro(max(timestamp)) AS now, toString(any(agent_id)) AS agent
       FROM cairn.events WHERE org_id = {org:String} AND agent_id != ''`,
      { org: ORG },
    );
    for (const text of ['', `agent:"${agent}"`, 'decision:deny', 'github', 'nowhere-at-all'])
      for (const order of ['newest', 'oldest'] as const)
        for (const limit of [1, 100]) {
          const { sql, parameters } = conditionOf(readSearch(text), now);
          const asked: Question = {
            over: 'hot',
            filters: { org_id: [ORG] },
            condition: { sql, parameters },
            from: order === 'oldest' ? 0 : undefined,
            order,
            limit,
          };
          const wanted = await searchEvents(api.clickhouse, undefined, asked);
          expect(wanted.events.length > 0).toBe(text !== 'nowhere-at-all');
          for (const at of [now, now + 60 * 86_400_000_000])
            expect(await searchEvents(api.clickhouse, undefined, { ...asked, now: at })).toEqual(wanted);
        }
  }, 60_000);

  test('with a mistake is refused with the column and what to write instead', async () => {
    const answer = await api.ask('/v1/events?search=agent_id:a%20decison:deny', { key: keys['viewer']! });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(problemSchema.parse(await answer.json())).toMatchObject({
      code: 'search.invalid',
      position: 11,
      length: 8,
      instead: expect.stringContaining('Did you mean decision?'),
    });
  });

  test('of what a role may not see is refused, for the answer would tell it', async () => {
    expect((await api.ask('/v1/events?search=parameters_kept:x', { key: keys['viewer']! })).status).toBe(403);
    expect(
      (await api.ask('/v1/facets?search=NOT%20parameters_kept:x', { key: keys['viewer']! })).status,
    ).toBe(403);
    expect((await api.ask('/v1/events?search=parameters_kept:x', { key: keys['auditor']! })).status).toBe(
      200,
    );
  });

  test('takes no cursor of another search or organisation', async () => {
    const { next } = await json<{ next: string }>('/v1/events?limit=1');
    expect(
      (await api.ask(`/v1/events?limit=1&search=kind:alert&cursor=${next}`, { key: keys['auditor']! }))
        .status,
    ).toBe(400);
    expect((await api.ask(`/v1/events?limit=1&cursor=${next}`, { key: keys['stranger']! })).status).toBe(400);
  });
});

describe('counts', () => {
  test('of facets and of a histogram are those of the table', async () => {
    const all = await one<{ n: number; denied: number }>(
      `SELECT count() AS n, countIf(decision = 'deny') AS denied FROM cairn.events WHERE org_id = {org:String}`,
      { org: ORG },
    );
    const { total, facets } = await json<{
      total: number;
      facets: { field: string; values: { value: string; count: number }[] }[];
    }>('/v1/facets?fields=decision,tool_name');
    expect(total).toBe(all.n);
    expect(facets[0]!.values.find(({ value }) => value === 'deny')!.count).toBe(all.denied);
    const { bars } = await json<{ bars: { count: number; counts: Record<string, number> }[] }>(
      '/v1/histogram?search=timestamp:%3E2026-01-01&by=decision&bars=100',
    );
    expect(bars.reduce((sum, { count }) => sum + count, 0)).toBe(all.n);
    expect(bars.reduce((sum, { counts }) => sum + (counts['deny'] ?? 0), 0)).toBe(all.denied);
    expect(bars.length).toBeLessThanOrEqual(101);
  });

  test('of inventory, completeness and each report are of one organisation', async () => {
    const { items } = await json<{ items: { agent_id: string; calls: number }[] }>('/v1/inventory/agents');
    const calls = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String} AND kind IN ('tool_call','resource_read','prompt_get') AND phase IN ('outcome','single')`,
      { org: ORG },
    );
    expect(items.reduce((sum, item) => sum + item.calls, 0)).toBe(calls.n);
    const { streams, complete } = await json<{
      streams: { gateway_id: string; stored: number }[];
      complete: boolean;
    }>('/v1/completeness');
    const all = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String}`,
      { org: ORG },
    );
    expect([complete, streams.reduce((sum, { stored }) => sum + stored, 0)]).toEqual([true, all.n]);
    for (const report of Object.keys(REPORTS)) {
      const { population, rows } = await json<{ population: number; rows: unknown[] }>(
        `/v1/reports/${report}?from=0`,
      );
      expect(population).toBe(calls.n);
      // Nothing was allowed before the beginning of time.
      if (report !== 'denial-clusters' && report !== 'unused-grants') expect(rows.length).toBeGreaterThan(0);
    }
  });
});

describe('what ClickHouse alone is asked for', () => {
  test('says since when ClickHouse holds events, in every answer that counts or holds them', async () => {
    const { day } = await one<{ day: string }>(`SELECT toString(min(append_day)) AS day FROM cairn.events`);
    for (const path of [
      '/v1/facets',
      '/v1/histogram?search=timestamp:%3E2026-01-01',
      '/v1/inventory/tools',
      '/v1/reports/slow-tools?from=0',
      '/v1/exports/count',
      '/v1/exports/events?format=json&search=decision:deny',
    ])
      expect([path, (await json<{ hot_from: string }>(path)).hot_from]).toEqual([path, day]);
    for (const format of ['ndjson', 'ocsf', 'csv', 'parquet']) {
      const path = `/v1/exports/events?search=decision:deny&format=${format}`;
      const answer = await api.ask(path, { key: keys['auditor']! });
      expect([format, answer.headers.get('cairn-hot-from')]).toEqual([format, day]);
      const last = (await answer.text()).trimEnd().split('\n').at(-1)!;
      if (last.startsWith('{"_end"')) expect(JSON.parse(last)._end.hot_from).toBe(day);
    }
  });

  test('a report with more rows than it may have says that there are more', async () => {
    await api.clickhouse.exec(
      `INSERT INTO cairn.events (topic, partition, offset, received_at, org_id, kind, phase, timestamp, event_id_random, service, tool_name, latency_ms)
       SELECT 'audit.events.standard', 9, number, '2026-11-22 00:00:00', 'many-tools', 'tool_call', 'outcome', '2026-11-22 00:00:00', 'abcdefghij', 's', toString(number), 5
       FROM numbers(1001)`,
    );
    const key = await api.key('auditor', { orgId: 'many-tools' });
    for (const [path, rows, more] of [
      ['/v1/reports/slow-tools?from=0', 1_000, true],
      ['/v1/reports/new-tools?from=0', 1_000, true],
      ['/v1/reports/failing-tools?from=0', 0, false],
    ] as const) {
      const report = await json<{ rows: unknown[]; more: boolean }>(path, key);
      expect([path, report.rows.length, report.more]).toEqual([path, rows, more]);
    }
  });
});

describe('an answer that holds no more than so much', () => {
  const day = '2026-11-22 00:00:00';
  /** Events of an organisation, one for each number from `from` on; `values` names what differs. */
  const insert = (org: string, partition: number, values: string, from: number, count: number) =>
    api.clickhouse.exec(
      `INSERT INTO cairn.events (topic, partition, offset, received_at, org_id, kind, phase, timestamp, event_id_random, gateway_id, epoch, seq, session_id, trace_id, agent_id)
       SELECT 'audit.events.standard', ${partition}, number, '${day}', '${org}', 'tool_call', 'single', '${day}', 'abcdefghij', ${values}
       FROM numbers(${from}, ${count})`,
    );

  test('gives keys page by page, each once, though they were made at the same time', async () => {
    const org = 'many-keys';
    const key = await api.key('admin', { orgId: org });
    const keep = (from: number, count: number) =>
      api.clickhouse.exec(
        `INSERT INTO cairn.api_keys (id, org_id, role, name, created_at, expires_at)
         SELECT lower(leftPad(hex(number), 16, '0')), '${org}', 'viewer', 'x', '${day}', '${day}' FROM numbers(${from}, ${count})`,
      );
    interface Page {
      readonly keys: { id: string }[];
      readonly next: string | null;
    }
    await keep(1, 999);
    const whole = await json<Page>('/v1/keys', key);
    expect([whole.keys.length, whole.next]).toEqual([1_000, null]);
    await keep(1_000, 1);
    const first = await json<Page>('/v1/keys', key);
    expect([first.keys.length, first.next]).toEqual([1_000, first.keys.at(-1)!.id]);
    const seen: string[] = [];
    for (let next: string | null = ''; next !== null; ) {
      const page: Page = await json(`/v1/keys?limit=300${next === '' ? '' : `&after=${next}`}`, key);
      seen.push(...page.keys.map(({ id }) => id));
      next = page.next;
    }
    expect([seen.length, new Set(seen).size]).toEqual([1_001, 1_001]);
    const foreign = await api.ask(`/v1/keys?after=${first.next}`, { key: keys['admin']! });
    expect([foreign.status, await foreign.json()]).toMatchObject([400, { code: 'cursor.invalid' }]);
  });

  test('says when there are more saved searches', async () => {
    const key = await api.key('viewer', { orgId: 'many-searches' });
    const save = (from: number, count: number) =>
      api.clickhouse.exec(
        `INSERT INTO cairn.saved_searches (org_id, id, name, version) SELECT 'many-searches', toUUID(concat('018f0000-0000-4000-8000-', leftPad(toString(number), 12, '0'))), 'x', 1 FROM numbers(${from}, ${count})`,
      );
    for (const [from, count, told, more] of [
      [0, 1_000, 1_000, false],
      [1_000, 1, 1_000, true],
    ] as const) {
      await save(from, count);
      const list = await json<{ saved: unknown[]; more: boolean }>('/v1/saved-searches', key);
      expect([list.saved.length, list.more]).toEqual([told, more]);
    }
  });

  interface Bounds {
    readonly gaps: unknown[];
    readonly more_gaps: boolean;
    readonly handoffs: unknown[];
    readonly more_handoffs: boolean;
  }
  const sessionOf = async (id: string, key: string) => {
    const { gaps, more_gaps, handoffs, more_handoffs } = await json<Bounds>(`/v1/sessions/${id}`, key);
    return [gaps.length, more_gaps, handoffs.length, more_handoffs];
  };

  test('says when a session has more gaps, and counts none that cannot hold its events', async () => {
    const org = 'many-gaps';
    const key = await api.key('viewer', { orgId: org });
    await insert(org, 11, "'gw', 1, number * 5000, 's', NULL, 'a'", 0, 2);
    const find = (from: number, count: number, missing: string, gateway = 'gw') =>
      api.clickhouse.exec(
        `INSERT INTO cairn.stream_findings (topic, partition, offset, org_id, gateway_id, epoch, finding, missing_from, missing_to)
         SELECT 'audit.events.standard', 11, number, '${org}', '${gateway}', 1, 'gap', ${missing}, ${missing} FROM numbers(${from}, ${count})`,
      );
    // Beside another stream, and behind what the session has: of neither it may have had events.
    await find(0, 5, 'number + 1', 'other');
    await find(10_000, 1_500, 'number');
    expect(await sessionOf('s', key)).toEqual([0, false, 0, false]);
    await find(1, 1_000, 'number');
    expect(await sessionOf('s', key)).toEqual([1_000, false, 0, false]);
    await find(1_001, 1, 'NULL');
    expect(await sessionOf('s', key)).toEqual([1_000, true, 0, false]);
  });

  test('says when a session has more hand-offs, or more traces than are followed', async () => {
    const org = 'many-handoffs';
    const key = await api.key('viewer', { orgId: org });
    const trace = "unhex('000102030405060708090a0b0c0d0e0f')";
    await insert(org, 12, `'gw', 1, number, 's', ${trace}, 'a'`, 0, 1);
    await insert(org, 12, `'gw', 1, number, toString(number), ${trace}, 'a'`, 1, 1_000);
    expect(await sessionOf('s', key)).toEqual([0, false, 1_000, false]);
    await insert(org, 12, `'gw', 1, number, toString(number), ${trace}, 'a'`, 1_001, 1);
    expect(await sessionOf('s', key)).toEqual([0, false, 1_000, true]);
    const own = "toFixedString(leftPad(toString(number), 16, '0'), 16)";
    await insert(org, 12, `'gw', 1, number, 't', ${own}, 'a'`, 2_000, 100);
    expect(await sessionOf('t', key)).toEqual([0, false, 0, false]);
    await insert(org, 12, `'gw', 1, number, 't', ${own}, 'a'`, 2_100, 1);
    expect(await sessionOf('t', key)).toEqual([0, false, 0, true]);
  });

  test('tells nothing to be complete of whose streams it does not tell all', async () => {
    const org = 'many-streams';
    const key = await api.key('viewer', { orgId: org });
    for (const [from, count, complete] of [
      [0, 10_000, true],
      [10_000, 1, false],
    ] as const) {
      await insert(org, 13, "'gw', number, 0, '', NULL, ''", from, count);
      const told = await json<{ streams: unknown[]; more: boolean; complete: boolean }>(
        '/v1/completeness',
        key,
      );
      expect([told.streams.length, told.more, told.complete]).toEqual([10_000, !complete, complete]);
    }
  });
});

describe('the reports of what is granted and not used', () => {
  const org = 'idle-org';
  const at = (day: number): string => `2026-10-${String(day).padStart(2, '0')} 12:00:00`;
  const micros = (day: number): number => Date.parse(`${at(day).replace(' ', 'T')}Z`) * 1_000;
  const decision = (day: number, agent: string, tool: string, more: object = {}) => ({
    topic: 'audit.events.standard',
    partition: 6,
    received_at: at(day),
    org_id: org,
    kind: 'tool_call',
    phase: 'decision',
    timestamp: at(day),
    event_id_random: 'abcdefghij',
    agent_id: agent,
    service: 'files',
    tool_name: tool,
    decision: 'allow',
    rules_evaluated: ['may-read', 'may-write', 'no-deletion'],
    rules_matched: ['may-read'],
    ...more,
  });
  let key: string;

  beforeAll(async () => {
    const rows = [
      decision(1, 'a', 'read'),
      decision(1, 'a', 'write'),
      decision(2, 'b', 'write'),
      decision(3, 'a', 'drop', { decision: 'deny', rules_matched: ['no-deletion'] }),
      // From here on in the time that is asked for.
      decision(20, 'a', 'read'),
      decision(20, 'a', 'new'),
      decision(21, 'a', 'drop', { decision: 'deny', rules_matched: ['no-deletion'] }),
      // Another organisation's use is none.
      decision(21, 'a', 'write', { org_id: 'org-2' }),
    ];
    await api.clickhouse.insertRows(
      'cairn.events',
      rows.map((row, offset) => ({ ...row, offset })),
    );
    key = await api.key('auditor', { orgId: org });
  });

  test('name tools that an agent was allowed before and did not ask for, and no others', async () => {
    const { rows } = await json<{ rows: Record<string, unknown>[] }>(
      `/v1/reports/unused-grants?from=${micros(10)}&to=${micros(30)}`,
      key,
    );
    expect(
      rows.map(({ agent_id: agent, tool_name: tool, last_allowed_at: last }) => [agent, tool, last]),
    ).toEqual([
      ['a', 'write', micros(1)],
      ['b', 'write', micros(2)],
    ]);
  });

  test('count what each policy decided, those that decided nothing first', async () => {
    const { rows } = await json<{ rows: Record<string, unknown>[] }>(
      `/v1/reports/unused-rules?from=${micros(10)}&to=${micros(30)}`,
      key,
    );
    expect(rows.map(({ rule, decisions, allowed, denied }) => [rule, decisions, allowed, denied])).toEqual([
      ['may-write', 3, 0, 0],
      ['no-deletion', 3, 0, 1],
      ['may-read', 3, 2, 0],
    ]);
  });

  test('name the scopes of keys that nobody used, from the events of their requests', async () => {
    const mine = await api.key('auditor', { orgId: org });
    const answer = await api.ask('/v1/events', { key: mine });
    const [recorded] = await api.recordedOf(answer.headers.get('x-request-id')!);
    const id = recorded!.user_id.slice('key:'.length);
    const { user_id, auth_method, detail, service, decision: allowed, kind } = recorded!;
    const now = new Date().toISOString().slice(0, 19).replace('T', ' ');
    const row = { user_id, auth_method, detail, service, decision: allowed, kind, phase: 'single' };
    await api.clickhouse.insertRows('cairn.events', [
      { ...decision(1, '', ''), ...row, timestamp: now, received_at: now, offset: 100 },
    ]);
    const { rows } = await json<{ rows: Record<string, unknown>[] }>('/v1/reports/unused-keys', key);
    expect(
      rows.filter((one) => one['key'] === id).map((one) => [one['role'], one['scope'], one['key_use']]),
    ).toEqual([
      ['auditor', 'export', 'used otherwise'],
      ['auditor', 'reports', 'used otherwise'],
      ['auditor', 'unseal', 'used otherwise'],
    ]);
    const other = rows.filter((one) => one['key'] !== id);
    expect(other.map((one) => [one['scope'], one['key_use']])).toEqual([
      ['export', 'never used'],
      ['reports', 'never used'],
      ['trail', 'never used'],
      ['unseal', 'never used'],
    ]);
  });
});

describe('one event and one session', () => {
  test('an event is answered with its leaf hash as ETag, and not sent again to who has it', async () => {
    const event = await one<{ id: string; leaf: string; tool: string }>(
      `SELECT toString(event_id) AS id, lower(hex(leaf_hash)) AS leaf, toString(tool_name) AS tool FROM cairn.events WHERE org_id = {org:String} AND tool_name != '' LIMIT 1`,
      { org: ORG },
    );
    const answer = await api.ask(`/v1/events/${event.id}`, { key: keys['auditor']! });
    expect(await answer.json()).toMatchObject({
      event_id: event.id,
      leaf_hash: event.leaf,
      tool_name: event.tool,
    });
    const etag = answer.headers.get('etag')!;
    expect(etag).toContain(event.leaf);
    const again = await api.ask(`/v1/events/${event.id}`, {
      key: keys['auditor']!,
      headers: { 'if-none-match': etag },
    });
    expect([again.status, await again.text()]).toEqual([304, '']);
    expect(await api.recordedOf(again.headers.get('x-request-id')!)).toHaveLength(1);
  });

  test('a session has its steps in order, each decision beside its outcome, and says what is signed', async () => {
    const { id } = await one<{ id: string }>(
      `SELECT session_id AS id FROM cairn.events WHERE org_id = {org:String} AND session_id != '' GROUP BY id ORDER BY count() DESC, id LIMIT 1`,
      { org: ORG },
    );
    const session = await json<{
      steps: {
        timestamp: number;
        signed: boolean;
        event_ids: string[];
        decision: string;
        result_status: string;
      }[];
      gaps: unknown[];
    }>(`/v1/sessions/${encodeURIComponent(id)}`);
    const times = session.steps.map(({ timestamp }) => timestamp);
    expect(times).toEqual(times.toSorted((left, right) => left - right));
    const { ids } = await one<{ ids: string[] }>(
      `SELECT arraySort(groupArray(toString(event_id))) AS ids FROM cairn.events
       WHERE session_id = {id:String} AND org_id = {org:String}`,
      { id, org: ORG },
    );
    expect(session.steps.flatMap(({ event_ids }) => event_ids).sort()).toEqual(ids);
    expect(session.steps.some(({ signed }) => signed)).toBe(true);
    expect(session.gaps).toEqual([]);
    expect((await api.ask(`/v1/sessions/${encodeURIComponent(id)}`, { key: keys['stranger']! })).status).toBe(
      404,
    );
  });

  test('a session has the holes of its streams, and is signed by a seal that came hours behind it', async () => {
    const { id, gateway, epoch, seq } = await one<{
      id: string;
      gateway: string;
      epoch: number;
      seq: number;
    }>(
      `SELECT session_id AS id, any(gateway_id) AS gateway, any(epoch) AS epoch, max(seq) AS seq FROM cairn.events
       WHERE org_id = {org:String} AND session_id != '' GROUP BY id HAVING uniqExact(gateway_id) = 1 ORDER BY count() DESC, id LIMIT 1`,
      { org: ORG },
    );
    const late = 'late';
    const copied = (changed: string, where: string) =>
      api.clickhouse.exec(
        `INSERT INTO cairn.events SELECT * REPLACE ('${late}' AS org_id, ${changed})
         FROM (SELECT * FROM cairn.events WHERE org_id = '${ORG}' AND session_id = '${id}' AND ${where})`,
      );
    await copied("'' AS signature", 'true');
    await api.clickhouse.insertRows('cairn.stream_findings', [
      {
        topic: 't',
        partition: 0,
        offset: 1,
        org_id: late,
        gateway_id: gateway,
        epoch,
        seq,
        finding: 'gap',
        missing_from: seq + 1,
        missing_to: seq + 2,
        received_at: 0,
      },
    ]);
    const key = await api.key('viewer', { orgId: late });
    const read = async () => {
      const answer = await api.ask(`/v1/sessions/${encodeURIComponent(id)}`, { key });
      return (await answer.json()) as { steps: { signed: boolean }[]; gaps: unknown[] };
    };
    const before = await read();
    expect(before.gaps).toEqual([
      { gateway_id: gateway, epoch, finding: 'gap', missing_from: seq + 1, missing_to: seq + 2 },
    ]);
    expect(before.steps.some(({ signed }) => signed)).toBe(false);
    await copied(
      `'' AS session_id, 'seal' AS kind, 'x' AS signature, ${seq + 3} AS seq,
       timestamp + toIntervalHour(30) AS timestamp, received_at + toIntervalHour(30) AS received_at`,
      `seq = ${seq}`,
    );
    expect((await read()).steps.every(({ signed }) => signed)).toBe(true);
  });

  test('a session names the other sessions of its traces within a day, and none of another organisation', async () => {
    const { trace } = await one<{ trace: string }>(
      `SELECT lower(hex(trace_id)) AS trace FROM cairn.events WHERE org_id = {org:String} AND trace_id IS NOT NULL
       GROUP BY trace ORDER BY count() DESC, trace LIMIT 1`,
      { org: ORG },
    );
    const [relay, hour] = ['relay', 3_600_000_000];
    const inTrace = `FROM cairn.events WHERE org_id = '${ORG}' AND trace_id = unhex('${trace}') AND kind = 'tool_call'`;
    for (const [session, later] of [
      ['handing', 0],
      ['taking', 23 * hour],
      ['long after', 72 * hour],
    ] as const)
      await api.clickhouse.exec(
        `INSERT INTO cairn.events SELECT * REPLACE ('${relay}' AS org_id, '${session}' AS session_id,
           timestamp + toIntervalMicrosecond(${later}) AS timestamp, received_at + toIntervalMicrosecond(${later}) AS received_at)
         FROM (SELECT * ${inTrace})`,
      );
    const { calls } = await one<{ calls: number }>(`SELECT toUInt32(uniqExact(call_id)) AS calls ${inTrace}`);
    expect(
      (await one<{ n: number }>(`SELECT count() AS n FROM cairn.events WHERE org_id = '${relay}'`)).n,
    ).toBeGreaterThan(0);
    const key = await api.key('viewer', { orgId: relay });
    const answer = await api.ask('/v1/sessions/handing', { key });
    expect(await answer.json()).toMatchObject({
      handoffs: [{ session_id: 'taking', trace_id: trace, calls }],
    });
    const plan = await api.clickhouse.query<{ explain: string }>(
      `EXPLAIN indexes = 1 SELECT count() ${inTrace}`,
    );
    expect(plan.map(({ explain }) => explain).join('\n')).toContain('by_trace_id');
  });
});

describe('an export', () => {
  test('holds every event once, with its place and leaf, and says so at its end', async () => {
    const wanted = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String}`,
      { org: ORG },
    );
    const text = await (await api.ask('/v1/exports/events', { key: keys['auditor']! })).text();
    const lines = text.trimEnd().split('\n');
    const { _end: end } = JSON.parse(lines.at(-1)!) as {
      _end: { count: number; sha256: string; next: string };
    };
    const rows = lines.slice(0, -1).map((line) => JSON.parse(line));
    expect([rows.length, end.count]).toEqual([wanted.n, wanted.n]);
    expect(new Set(rows.map(({ topic, partition, offset }) => `${topic}/${partition}/${offset}`)).size).toBe(
      wanted.n,
    );
    expect(rows.every(({ org_id: org, leaf_hash: leaf }) => org === ORG && /^[0-9a-f]{64}$/.test(leaf))).toBe(
      true,
    );
    expect(end.sha256).toBe(
      createHash('sha256')
        .update(text.slice(0, text.lastIndexOf('{"_end"')))
        .digest('hex'),
    );
  }, 60_000);

  test('that was cut off goes on behind its last whole row: together they are the whole', async () => {
    const whole = await api.ask('/v1/exports/events?search=decision:deny', { key: keys['auditor']! });
    const lines = (await whole.text()).trimEnd().split('\n');
    const { _end: end } = JSON.parse(lines.at(-1)!);
    const cut = JSON.parse(lines[20]!);
    expect(end.count).toBe(lines.length - 1);
    const cursor = JSON.parse(Buffer.from(whole.headers.get('cairn-start')!, 'base64url').toString());
    const after = Buffer.from(
      JSON.stringify({
        ...cursor,
        at: { timestamp: cut.timestamp, topic: cut.topic, partition: cut.partition, offset: cut.offset },
      }),
    ).toString('base64url');
    const rest = (
      await (
        await api.ask(`/v1/exports/events?search=decision:deny&after=${after}`, { key: keys['auditor']! })
      ).text()
    )
      .trimEnd()
      .split('\n');
    expect(rest.slice(0, -1)).toEqual(lines.slice(21, -1));
  });

  test.each(['ndjson', 'json', 'csv', 'ocsf', 'ecs', 'parquet'])(
    'as %s that is cut at any byte, as `cairn export` takes it, is byte for byte the one that was not',
    async (form) => {
      await using proxy = await startCuttingProxy(api.url);
      const directory = mkdtempSync(join(tmpdir(), 'cairn-cut-'));
      const file = join(directory, 'out');
      const path = `/v1/exports/events?search=decision:deny&format=${form}`;
      const { byteLength } = await (await api.ask(path, { key: keys['auditor']! })).arrayBuffer();
      for (const cuts of fc.sample(fc.array(fc.nat(byteLength - 1), { minLength: 1, maxLength: 3 }), {
        seed: 15,
        numRuns: 2,
      })) {
        [proxy.cuts, proxy.start] = [[...cuts], undefined];
        const said = await cairn(['export', form, file, '--search', 'decision:deny', '--api', proxy.url], {
          env: { CAIRN_API_KEY: keys['auditor']! },
          parts: { sleep: async () => {} },
        });
        expect(said).toMatchObject({ code: 0 });
        expect(proxy.cuts).toEqual([]);
        // As of the same time, whole and past the proxy.
        const whole = await api.ask(`${path}&after=${proxy.start}`, { key: keys['auditor']! });
        const bytes = Buffer.from(await whole.arrayBuffer());
        const end = bytes.lastIndexOf('{"_end":');
        const wanted = end === -1 || form === 'json' ? bytes : bytes.subarray(0, end);
        expect(wanted.length).toBeGreaterThan(10_000);
        expect([cuts, readFileSync(file).equals(wanted)]).toEqual([cuts, true]);
      }
      rmSync(directory, { recursive: true });
    },
    60_000,
  );

  test('says with how many rows it is whole, behind a row as well, and from its beginning the same again', async () => {
    const path = '/v1/exports/events?search=decision:deny&format=csv';
    const whole = await api.ask(path, { key: keys['auditor']! });
    const lines = (await whole.text()).trimEnd().split('\r\n');
    expect(whole.headers.get('cairn-count')).toBe(String(lines.length - 1));
    const start = whole.headers.get('cairn-start')!;
    const [timestamp, topic, partition, offset] = lines[7]!
      .split(',')
      .map((cell) => cell.replaceAll('"', ''));
    const at = {
      timestamp: Number(timestamp),
      topic,
      partition: Number(partition),
      offset: Number(offset),
    };
    const cursor = { ...JSON.parse(Buffer.from(start, 'base64url').toString()), at };
    const after = Buffer.from(JSON.stringify(cursor)).toString('base64url');
    const rest = await api.ask(`${path}&after=${after}`, { key: keys['auditor']! });
    expect(rest.headers.get('cairn-count')).toBe(String(lines.length - 8));
    expect((await rest.text()).trimEnd().split('\r\n')).toEqual(lines.slice(8));
    const again = await api.ask(`${path}&after=${start}`, { key: keys['auditor']! });
    expect((await again.text()).trimEnd().split('\r\n')).toEqual(lines);
  });

  test('as JSON, CSV and Parquet holds as many events', async () => {
    const { count } = await json<{ count: number }>('/v1/exports/count?search=decision:deny');
    const whole = await json<{ events: unknown[]; count: number }>(
      '/v1/exports/events?format=json&search=decision:deny',
    );
    expect([whole.events.length, whole.count]).toEqual([count, count]);
    const csv = await (
      await api.ask('/v1/exports/events?format=csv&search=decision:deny', { key: keys['auditor']! })
    ).text();
    expect(csv.trimEnd().split('\r\n')).toHaveLength(count + 1);
    const parquet = Buffer.from(
      await (
        await api.ask('/v1/exports/events?format=parquet&search=decision:deny', { key: keys['auditor']! })
      ).arrayBuffer(),
    );
    expect([parquet.subarray(0, 4).toString(), parquet.subarray(-4).toString()]).toEqual(['PAR1', 'PAR1']);
  });

  test('says of each row which leaf of its log it is, in every format, and of what is not archived that it is not known', async () => {
    const topic = 'audit.events.standard';
    const run = (partition: number, first: number, last: number, leaf: number) => ({
      topic,
      partition,
      offset_first: first,
      offset_last: last,
      leaf_first: leaf,
    });
    // Offsets 300 to 304 of partition 0 are no leaves; partition 1 begins at a leaf of its own.
    await api.clickhouse.insertRows('cairn.leaf_runs', [
      run(0, 0, 199, 0),
      run(0, 200, 299, 200),
      run(0, 305, 900, 300),
      run(1, 100, 400, 7),
    ]);
    const expected = (partition: number, offset: number): number | null => {
      if (partition === 0 && offset < 300) return offset;
      if (partition === 0 && offset >= 305 && offset <= 900) return offset - 5;
      return partition === 1 && offset >= 100 && offset <= 400 ? offset - 93 : null;
    };
    const ask = async (format: string) =>
      (
        await api.ask(`/v1/exports/events?search=kind:tool_call&format=${format}`, { key: keys['auditor']! })
      ).text();
    interface Row {
      readonly topic: string;
      readonly partition: number;
      readonly offset: number;
      readonly leaf_hash: string;
      readonly leaf_index?: number | null;
    }
    const rows = (await ask('ndjson'))
      .trimEnd()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Row);
    expect(rows.filter(({ leaf_index: index }) => index !== null).length).toBeGreaterThan(200);
    expect(rows.filter(({ leaf_index: index }) => index === null).length).toBeGreaterThan(200);
    expect(rows.map(({ leaf_index: index }) => index)).toEqual(
      rows.map(({ partition, offset }) => expected(partition, offset)),
    );

    const whole = JSON.parse(await ask('json')) as { events: Row[] };
    expect(whole.events).toEqual(rows);
    for (const [format, proofOf] of [
      ['ocsf', (line: { unmapped: { cairn: { proof: Row } } }) => line.unmapped.cairn.proof],
      ['ecs', (line: { cairn: { proof: Row } }) => line.cairn.proof],
    ] as const) {
      const lines = (await ask(format)).trimEnd().split('\n').slice(0, -1);
      expect(lines.map((line) => proofOf(JSON.parse(line)).leaf_index ?? null)).toEqual(
        rows.map(({ leaf_index: index }) => index),
      );
    }
    const [head = '', ...cells] = (await ask('csv')).trimEnd().split('\r\n');
    const names = head.split(',').map((name) => name.replaceAll('"', ''));
    expect(names.slice(0, 7)).toEqual([
      ...['timestamp', 'topic', 'partition', 'offset', 'received_at', 'leaf_hash', 'leaf_index'],
    ]);
    expect(cells.map((line) => line.split(',', 7)[6])).toEqual(
      rows.map(({ leaf_index: index }) => (index === null ? '' : String(index))),
    );

    // Read by a reader of Parquet that is not ours.
    const parquet = await api.ask('/v1/exports/events?search=kind:tool_call&format=parquet', {
      key: keys['auditor']!,
    });
    const directory = mkdtempSync(join(tmpdir(), 'cairn-parquet-'));
    const file = join(directory, 'events.parquet');
    writeFileSync(file, new Uint8Array(await parquet.arrayBuffer()));
    const read = [];
    for await (const { at, event } of readExport(file)) read.push({ ...event, row: at.number });
    rmSync(directory, { recursive: true });
    expect(read).toEqual(rows.map((row, at) => ({ ...row, store: 'archive', row: at + 1 })));
  }, 60_000);

  test('as OCSF and ECS holds as many events, each with its leaf and its place', async () => {
    const { count } = await json<{ count: number }>('/v1/exports/count?search=decision:deny');
    for (const format of ['ocsf', 'ecs']) {
      const text = await (
        await api.ask(`/v1/exports/events?format=${format}&search=decision:deny`, { key: keys['auditor']! })
      ).text();
      const lines = text.trimEnd().split('\n');
      const { _end: end } = JSON.parse(lines.at(-1)!) as { _end: { count: number; sha256: string } };
      expect([format, end.count, lines.length - 1]).toEqual([format, count, count]);
      expect(end.sha256).toBe(
        createHash('sha256')
          .update(text.slice(0, text.lastIndexOf('{"_end"')))
          .digest('hex'),
      );
      for (const line of lines.slice(0, -1)) {
        const leaf = /"leaf_hash":"([0-9a-f]{64})"/.exec(line)?.[1];
        expect(leaf).toBeDefined();
        expect(line).toContain('"partition":');
      }
    }
  });

  describe('as CSV', () => {
    const cells = hostileCells(300);
    let csv: string;
    beforeAll(async () => {
      await insertHostile(api.clickhouse, 'csv-org', cells);
      const key = await api.key('auditor', { orgId: 'csv-org' });
      csv = await (await api.ask('/v1/exports/events?format=csv', { key })).text();
    });

    test.each(SEPARATORS)(
      'has no cell that a spreadsheet computes, whatever names agents have, opened with %j between cells',
      (separator) => {
        expect(formulasIn(naiveCsv(cells), separator).length).toBeGreaterThan(10);
        expect(formulasIn(csv, separator)).toEqual([]);
      },
    );

    test('has no cell that begins with a sign that only some spreadsheets take for a formula', () => {
      const rows = parseCsv(csv);
      expect(rows).toHaveLength(cells.length + 1);
      expect(rows.flat().filter((cell) => /^[\s\p{Cf}"]*[=+\-@＝＋－＠]/u.test(cell))).toEqual([]);
      expect(rows.flat()).toEqual(
        expect.arrayContaining(["'=1+1", "'@SUM(1)", "'＝1+1", "x;'=1+1;y", 'x\t"\'=1+1"\ty', "x\n'=1+1"]),
      );
    });

    test('leaves alone what no spreadsheet computes', () => {
      expect(parseCsv(csv).flat()).toEqual(
        expect.arrayContaining(['x,=1+1,y', 'csv-org', 'audit.events.standard']),
      );
    });
  });
});

describe('SQL', () => {
  const ask = (query: string, key = keys['analyst']!) =>
    api.ask('/v1/sql', { key, method: 'POST', body: { query } });

  test('answers over the caller’s organisation', async () => {
    const { columns, rows } = (await (
      await ask('SELECT org_id, count() AS n FROM events GROUP BY org_id')
    ).json()) as { columns: unknown[]; rows: unknown[][] };
    const all = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String}`,
      { org: ORG },
    );
    expect(columns).toEqual([
      { name: 'org_id', type: 'LowCardinality(String)' },
      { name: 'n', type: 'UInt64' },
    ]);
    expect(rows).toEqual([[ORG, all.n]]);
  });

  test('that is refused says where and what to write; that fails says why without a value', async () => {
    const refused = await ask('SELECT * FROM system.tables');
    expect(problemSchema.parse(await refused.json())).toMatchObject({
      status: 400,
      code: 'sql.refused',
      position: 14,
    });
    const failed = await ask('SELECT nope FROM events');
    expect(problemSchema.parse(await failed.json())).toMatchObject({
      status: 400,
      code: 'sql.failed',
      detail: expect.stringContaining('nope'),
    });
    const large = await ask('SELECT e.agent_id FROM events AS e CROSS JOIN events AS f');
    expect(problemSchema.parse(await large.json())).toMatchObject({ status: 422, code: 'answer.too-large' });
    expect((await ask('SELECT 1')).status).toBe(200);
  });
});

describe('a live tail', () => {
  test('sends what is loaded from now on, and only of the caller’s organisation', async () => {
    const gone = new AbortController();
    const answer = await fetch(`${api.url}/v1/tail?search=task:tailed`, {
      headers: { authorization: `Bearer ${keys['viewer']}` },
      signal: gone.signal,
    });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    const row = (org: string, offset: number) => ({
      topic: 'audit.events.standard',
      partition: 8,
      offset,
      received_at: '2026-11-21 00:00:00.000',
      org_id: org,
      kind: 'tool_call',
      timestamp: '2026-11-21 00:00:00',
      event_id_random: 'abcdefghij',
      task: 'tailed',
    });
    await sleep(200);
    await api.clickhouse.insertRows('cairn.events', [row('org-2', 0), row(ORG, 1)]);
    let text = '';
    for await (const chunk of answer.body!) {
      text += Buffer.from(chunk).toString();
      if (text.includes('event: event')) break;
    }
    gone.abort();
    expect(text).toMatch(/^retry: 2000\nid: [\w-]+\n\n/);
    expect(text).toMatch(/\nid: [\w-]+\nevent: event\ndata: \{.*"partition":8,"offset":1,/);
    expect(text).not.toContain('org-2');
  });

  test('goes on behind its id: each event once, whatever came meanwhile and however much', async () => {
    const gone = new AbortController();
    const answer = await fetch(`${api.url}/v1/tail?search=task:resumed`, {
      headers: { authorization: `Bearer ${keys['viewer']}` },
      signal: gone.signal,
    });
    const first = Buffer.from((await answer.body!.getReader().read()).value!).toString();
    gone.abort();
    const begin = /^id: (.*)$/m.exec(first)![1]!;

    // Between them offsets of others, further apart than one statement looks.
    const row = (partition: number, at: number, offset: number) => ({
      topic: 'audit.events.standard',
      partition,
      offset,
      received_at: '2026-11-21 00:00:00.000',
      org_id: at % 4 === 3 ? 'org-2' : ORG,
      kind: 'tool_call',
      // Not in the order of the log.
      timestamp: `2026-11-21 00:00:${String(59 - (at % 60)).padStart(2, '0')}`,
      event_id_random: `${partition}${String(at).padStart(8, '0')}`,
      task: at % 4 === 2 ? 'other' : 'resumed',
    });
    const rows = [
      ...Array.from({ length: 1_600 }, (_, at) => row(11, at, at * 40)),
      ...Array.from({ length: 400 }, (_, at) => row(12, at, 9_000_000 + at)),
    ];
    await api.clickhouse.insertRows('cairn.events', rows);
    const wanted = rows.filter(({ org_id: org, task }) => org === ORG && task === 'resumed');

    const client = openClient({ url: api.url, key: keys['viewer']! });
    const seen: string[] = [];
    let after = begin;
    for (const until of [650, wanted.length])
      for await (const { id, event } of client.tail('task:resumed', { after })) {
        seen.push(`${event.partition}/${event.offset}`);
        after = id;
        if (seen.length === until) break;
      }
    expect(seen).toEqual(wanted.map(({ partition, offset }) => `${partition}/${offset}`));

    const asked = (id: string, search = 'task:resumed') =>
      api.ask(`/v1/tail?search=${search}`, { key: keys['viewer']!, headers: { 'last-event-id': id } });
    const old = { ...JSON.parse(Buffer.from(after, 'base64url').toString()), at: 1_000 };
    for (const [refused, status, code] of [
      [await asked(Buffer.from(JSON.stringify(old)).toString('base64url')), 410, 'cursor.expired'],
      [await asked(after, 'task:tailed'), 400, 'cursor.invalid'],
      [await asked('audit.events.standard/8/1'), 400, 'cursor.invalid'],
    ] as const)
      expect(problemSchema.parse(await refused.json())).toMatchObject({ status, code });
  }, 60_000);
});

describe('an answer', () => {
  test('that is a problem has no control character of whoever asked', async () => {
    const answer = await api.ask(`/v1/events?${encodeURIComponent('a\u001b[31m\u202e')}=1`, {
      key: keys['viewer']!,
    });
    expect(answer.status).toBe(400);
    expect(JSON.parse(await answer.text()).detail).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  });

  test('to a method that is not served names those that are', async () => {
    const answer = await api.ask('/v1/events', { key: keys['viewer']!, method: 'POST', body: {} });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET']);
    expect((await api.ask('/v1/nothing', { key: keys['viewer']! })).status).toBe(404);
  });

  test('carries the security headers, and is kept by no cache', async () => {
    const { headers } = await api.ask('/v1/me', { key: keys['viewer']! });
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('ratelimit')).toMatch(/"key"; r=\d+; t=\d+/);
  });

  test('is described: every route stands in the description, and the page for people holds no script', async () => {
    const described = Object.entries(openApiOf().paths ?? {}).flatMap(([path, item]) =>
      Object.keys(item ?? {}).map((method) => `${method} ${path}`),
    );
    expect(described.sort()).toEqual(ROUTES.map(({ method, path }) => `${method} ${path}`).sort());
    const page = await (await api.ask('/')).text();
    expect(page).not.toMatch(/<script|https?:\/\//);
    expect(page).toContain('/v1/exports/events');
  });
});

describe('docs/api.md', () => {
  const page = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'api.md'), 'utf8');
  const examples = [...page.matchAll(/^\| (\w+) +\| `GET ([^`]+)`/gm)].map(
    ([, role, path]) => [role!, path!] as const,
  );

  test.each(examples)('%s asks GET %s and is answered', async (role, path) => {
    const answer = await api.ask(path, { key: keys[role]! });
    expect([answer.status, (await answer.text()).slice(0, 0)]).toEqual([200, '']);
  });

  test('shows every route that is read, and every code of a problem', () => {
    expect(examples.length).toBeGreaterThan(12);
    for (const { path } of ROUTES)
      expect(page).toContain(
        path.split('/{')[0]!.replace('/v1/saved-searches', 'saved-searches').replace('/v1/keys', 'keys'),
      );
    for (const code of Object.keys(PROBLEMS)) expect(page).toContain(`| \`${code}\``);
  });
});

describe('cairn search --api', () => {
  test('shows the page of the API, with what the options narrow it to, and leaves an event', async () => {
    const search = 'decision:deny';
    const { events } = await json<{ events: { event_id: string; agent_id: string }[] }>(
      `/v1/events?search=${search}&limit=3`,
    );
    const agent = events[0]!.agent_id;
    const args = ['--json', 'search', search, '--over', 'hot', '--agent', agent, '--limit', '3'];
    const said = await cairn([...args, '--api', api.url], { env: { CAIRN_API_KEY: keys['viewer']! } });
    expect(said).toMatchObject({ code: 0 });
    const lines = said.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { event_id: string; agent_id: string; answer?: { search: string } });
    expect(lines.at(-1)?.answer?.search).toBe(`decision:deny agent_id:${agent}`);
    expect(lines[0]).toEqual(expect.objectContaining({ event_id: events[0]!.event_id, agent_id: agent }));
    const recorded = await api.recordedOf(`"search":"decision:deny agent_id:${agent}"`);
    expect(recorded).toMatchObject([{ method: 'events/search', result_status: 'success' }]);
    // A mistake has its column, as the service tells it.
    const wrong = await cairn(['search', 'agent:x tol:y', '--over', 'hot', '--api', api.url], {
      env: { CAIRN_API_KEY: keys['viewer']! },
    });
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('column 9 of the search') });
  });
});

describe('the client package', () => {
  test('finds each event once over all pages, and tells a problem as one', async () => {
    const client = openClient({ url: api.url, key: keys['auditor']! });
    const { count } = await client.ask('countExport', { query: { search: 'kind:tool_call' } });
    const seen = new Set<string>();
    for await (const event of client.events('kind:tool_call', 'oldest')) seen.add(event.event_id);
    expect(count).toBeGreaterThan(2_000);
    expect(seen.size).toBe(count);
    const refused = client.ask('listKeys', {});
    await expect(refused).rejects.toBeInstanceOf(ApiProblem);
    await expect(refused).rejects.toMatchObject({ problem: { code: 'access.forbidden', status: 403 } });
  });
});
