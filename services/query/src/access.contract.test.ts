// Who may ask what over a real ClickHouse, what is kept for them, and what is recorded of it.
import { setTimeout as sleep } from 'node:timers/promises';
import { createKey, findKey, ROLES, revokeKey, SCOPES_OF } from '@cairn/access';
import type { RecordDraft } from '@cairn/recorder';
import { describe, expect, test } from '@jest/globals';
import { apiForTests } from '../test/api-for-tests.ts';
import { ORG } from '../test/api-rig.ts';
import { problemSchema } from './problem.ts';
import type { Route } from './route.ts';
import { ROUTES } from './routes.ts';
import { tellRevocations } from './tell-revocations.ts';

const world = apiForTests(12_000);
const { keys, json, one } = world;

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
    const answer = await fetch(`${world.api.url}${samplePath(route)}`, {
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
      const answer = await world.api.ask(samplePath(route), {
        method: method.toUpperCase(),
        body: sampleBody(route),
      });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      expect(problemSchema.parse(await answer.json()).code).toBe('access.unauthenticated');
    },
  );

  test('a key with fewer scopes than its role does not do what they leave out', async () => {
    const key = await world.api.key('auditor', { scopes: ['trail'] });
    expect((await world.api.ask('/v1/events', { key })).status).toBe(200);
    expect((await world.api.ask('/v1/exports/count', { key })).status).toBe(403);
  });

  test('a key that is made is shown once, kept as a hash, and stops when it is revoked', async () => {
    const made = await json<{ key: { id: string }; text: string }>('/v1/keys', keys['admin'], {
      method: 'POST',
      body: { name: 'ci', role: 'viewer', days: 1 },
    });
    expect((await world.api.ask('/v1/me', { key: made.text })).status).toBe(200);
    const kept = JSON.stringify(await world.api.clickhouse.query('SELECT * FROM cairn.api_keys'));
    const secret = made.text.split('_')[2]!;
    expect(kept).not.toContain(secret);
    expect(world.api.lines.join('')).not.toContain(secret);
    expect(Buffer.concat(world.api.appended).includes(secret)).toBe(false);
    expect(
      (await world.api.ask(`/v1/keys/${made.key.id}`, { key: keys['admin']!, method: 'DELETE' })).status,
    ).toBe(204);
    await sleep(2_100);
    expect((await world.api.ask('/v1/me', { key: made.text })).status).toBe(401);
  });

  test('an organisation does not see, revoke or delete what is another’s', async () => {
    const admin = await world.api.key('admin', { orgId: 'org-2' });
    const { key } = await json<{ key: { id: string } }>('/v1/keys', keys['admin'], {
      method: 'POST',
      body: { name: 'mine', role: 'viewer' },
    });
    expect((await world.api.ask(`/v1/keys/${key.id}`, { key: admin, method: 'DELETE' })).status).toBe(404);
    const saved = await json<{ id: string }>('/v1/saved-searches', keys['viewer'], {
      method: 'POST',
      body: { name: 'mine', search: 'tool:x' },
    });
    expect(
      (await world.api.ask(`/v1/saved-searches/${saved.id}`, { key: admin, method: 'DELETE' })).status,
    ).toBe(404);
    expect(
      (await world.api.ask(`/v1/saved-searches/${saved.id}`, { key: keys['analyst']!, method: 'DELETE' }))
        .status,
    ).toBe(403);
    expect(JSON.stringify(await json('/v1/keys', admin))).not.toContain(key.id);
    const event = await one<{ id: string }>(
      `SELECT toString(event_id) AS id FROM cairn.events WHERE org_id = 'org-2' LIMIT 1`,
    );
    expect((await world.api.ask(`/v1/events/${event.id}`, { key: keys['auditor']! })).status).toBe(404);
    expect((await world.api.ask(`/v1/events/${event.id}`, { key: keys['stranger']! })).status).toBe(200);
  });
});

describe('a saved search', () => {
  interface Saved {
    readonly id: string;
    readonly name: string;
    readonly search: string;
  }
  const save = async (name: string) => {
    const answer = await world.api.ask('/v1/saved-searches', {
      key: keys['viewer']!,
      method: 'POST',
      body: { name, search: 'decision:deny' },
    });
    return { saved: (await answer.json()) as Saved, etag: answer.headers.get('etag')! };
  };
  const change = (id: string, etag: string | undefined, name: string, key = keys['viewer']!) =>
    world.api.ask(`/v1/saved-searches/${id}`, {
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
    const read = await world.api.ask(`/v1/saved-searches/${saved.id}`, { key: keys['analyst']! });
    expect(await read.json()).toMatchObject({ name: 'second', search: 'kind:alert' });
    expect(read.headers.get('etag')).toBe(changed.headers.get('etag'));
    const gone = { key: keys['viewer']!, method: 'DELETE' };
    const path = `/v1/saved-searches/${saved.id}`;
    expect((await world.api.ask(path, { ...gone, headers: { 'if-match': etag } })).status).toBe(412);
    expect((await world.api.ask(path, gone)).status).toBe(204);
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
    world.api.ask('/v1/keys', {
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
    expect((await world.api.ask('/v1/me', { key: made.text })).status).toBe(200);
    expect(await named('once')).toEqual({ n: 1 });
    const [event] = await world.api.recordedOf(again.headers.get('x-request-id')!);
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
    const answer = await world.api.ask('/v1/events?search=decision:deny&limit=5', { key: keys['viewer']! });
    const { events } = (await answer.json()) as { events: unknown[] };
    const [event] = await world.api.recordedOf(answer.headers.get('x-request-id')!);
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
    const forbidden = await world.api.ask('/v1/keys', { key: keys['viewer']! });
    expect((await world.api.recordedOf(forbidden.headers.get('x-request-id')!))[0]).toMatchObject({
      org_id: ORG,
      decision: 'deny',
      result_status: 'denied',
      error_code: 'access.forbidden',
    });
    const nobody = await world.api.ask('/v1/events', { key: 'cairn_guess' });
    expect((await world.api.recordedOf(nobody.headers.get('x-request-id')!))[0]).toMatchObject({
      org_id: 'cairn',
      decision: 'deny',
      user_id: '',
    });
  });

  test('what is done is recorded before it and behind it, under one call', async () => {
    const body = { name: 'recorded', role: 'viewer', days: 1 };
    const answer = await world.api.ask('/v1/keys', { key: keys['admin']!, method: 'POST', body });
    const { key } = (await answer.json()) as { key: { id: string } };
    await sleep(300);
    const events = await world.api.recordedOf(answer.headers.get('x-request-id')!);
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
      world.api.clickhouse,
      { orgId: ORG, role: 'viewer', name: 'owed', createdBy: 'test', days: 1 },
      Date.now(),
    );
    const by = {
      user_id: 'key:x',
      auth_method: 'api_key',
      principal_type: 'service',
      service: 'query',
    } as const;
    await revokeKey(world.api.clickhouse, ORG, key.id, Date.now(), { ...by, request: 'request-of-then' });
    expect((await findKey(world.api.clickhouse, key.id))?.revokedAtMs).toBeGreaterThan(0);
    const told: RecordDraft[] = [];
    const recorder = { record: async (draft: RecordDraft) => void told.push(draft) };
    expect([
      await tellRevocations(world.api.clickhouse, recorder),
      await tellRevocations(world.api.clickhouse, recorder),
    ]).toEqual([1, 0]);
    expect(told).toMatchObject([{ org_id: ORG, method: 'keys/revoke', user_id: 'key:x' }]);
    expect((await findKey(world.api.clickhouse, key.id))?.revokedAtMs).toBeGreaterThan(0);
  });

  test('an export is recorded before its first byte and again when it has ended', async () => {
    const answer = await world.api.ask('/v1/exports/events?search=decision:deny', { key: keys['auditor']! });
    await answer.text();
    await sleep(300);
    const events = await world.api.recordedOf(answer.headers.get('x-request-id')!);
    expect(events.map(({ kind, detail }) => [kind, JSON.parse(detail).ended ?? false])).toEqual([
      ['export', false],
      ['export', true],
    ]);
    expect(JSON.parse(events[1]!.detail).sent).toBe(JSON.parse(events[0]!.detail).rows);
  });
});
