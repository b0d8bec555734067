// The API as it is described, over a real ClickHouse: SQL, problems, headers, its documents, and who speaks to it for people and programs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { cairn } from '../../../packages/cli/src/testing/run-cairn.ts';
import { ApiProblem, openClient } from '../../../packages/client/src/index.ts';
import { apiForTests } from '../test/api-for-tests.ts';
import { ORG } from '../test/api-rig.ts';
import { openApiOf } from './describe-api.ts';
import { PROBLEMS, problemSchema } from './problem.ts';
import { ROUTES } from './routes.ts';

const world = apiForTests(12_000);
const { keys, json, one } = world;

describe('SQL', () => {
  const ask = (query: string, key = keys['analyst']!) =>
    world.api.ask('/v1/sql', { key, method: 'POST', body: { query } });

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

describe('an answer', () => {
  test('that is a problem has no control character of whoever asked', async () => {
    const answer = await world.api.ask(`/v1/events?${encodeURIComponent('a\u001b[31m\u202e')}=1`, {
      key: keys['viewer']!,
    });
    expect(answer.status).toBe(400);
    expect(JSON.parse(await answer.text()).detail).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  });

  test('to a method that is not served names those that are', async () => {
    const answer = await world.api.ask('/v1/events', { key: keys['viewer']!, method: 'POST', body: {} });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET']);
    expect((await world.api.ask('/v1/nothing', { key: keys['viewer']! })).status).toBe(404);
  });

  test('carries the security headers, and is kept by no cache', async () => {
    const { headers } = await world.api.ask('/v1/me', { key: keys['viewer']! });
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
    const page = await (await world.api.ask('/')).text();
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
    const answer = await world.api.ask(path, { key: keys[role]! });
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
    const said = await cairn([...args, '--api', world.api.url], { env: { CAIRN_API_KEY: keys['viewer']! } });
    expect(said).toMatchObject({ code: 0 });
    const lines = said.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { event_id: string; agent_id: string; answer?: { search: string } });
    expect(lines.at(-1)?.answer?.search).toBe(`decision:deny agent_id:${agent}`);
    expect(lines[0]).toEqual(expect.objectContaining({ event_id: events[0]!.event_id, agent_id: agent }));
    const recorded = await world.api.recordedOf(`"search":"decision:deny agent_id:${agent}"`);
    expect(recorded).toMatchObject([{ method: 'events/search', result_status: 'success' }]);
    // A mistake has its column, as the service tells it.
    const wrong = await cairn(['search', 'agent:x tol:y', '--over', 'hot', '--api', world.api.url], {
      env: { CAIRN_API_KEY: keys['viewer']! },
    });
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('column 9 of the search') });
  });
});

describe('the client package', () => {
  test('finds each event once over all pages, and tells a problem as one', async () => {
    const client = openClient({ url: world.api.url, key: keys['auditor']! });
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
