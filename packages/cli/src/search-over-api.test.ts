// `cairn search --api` against a service that answers as docs/api.md says.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { conditionOf, readSearch } from '@cairn/search';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { SearchOptions } from './command-search.ts';
import { narrowed } from './search-over-api.ts';
import { cairn } from './testing/run-cairn.ts';

const NONE = { read: 0, from_copies: 0, ruled_out: 0, served_hot: 0, not_needed: 0, deleted: 0 };
const eventOf = (at: number) => ({
  timestamp: 1_795_000_000_000_000 - at,
  store: 'hot',
  org_id: 'acme',
  agent_id: 'ops\u001b[2J',
  service: 'files',
  tool_name: 'delete_file',
  phase: 'decision',
  decision: 'deny',
  result_status: '',
  session_id: 'abcdef',
});

let server: Server;
let url: string;
let asked: { readonly path: string; readonly query: URLSearchParams; readonly key: string | undefined }[];
/** Events that there are. */
let held: number;
let problem: { readonly status: number } | undefined;

beforeEach(async () => {
  [asked, held, problem] = [[], 2_500, undefined];
  server = createServer((request, response) => {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', 'http://api');
    asked.push({ path, query, key: request.headers.authorization });
    if (problem !== undefined)
      return void response
        .writeHead(problem.status, { 'content-type': 'application/problem+json', 'retry-after': '5' })
        .end(JSON.stringify(problem));
    const [from, limit] = [Number(query.get('cursor') ?? 0), Number(query.get('limit'))];
    const to = Math.min(held, from + limit);
    const events = Array.from({ length: to - from }, (_, at) => eventOf(from + at));
    response.end(
      JSON.stringify({
        events,
        next: to < held || events.length === limit ? String(to) : null,
        search: query.get('search'),
        until: 1_795_000_000_000_000,
        hot_from: '2026-10-01',
        rows: { hot: events.length, restored: 0, copy: 0, archive: 0 },
        segments: { ...NONE, read: 1, ruled_out: 3 },
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

/** ClickHouse is asked by none of these: whoever did would be told that it is not there. */
const run = (args: readonly string[], env: Record<string, string> = {}) =>
  cairn(['search', ...args], {
    env: { CAIRN_API_KEY: 'key', CLICKHOUSE_URL: 'http://127.0.0.1:1', ...env },
  });

describe('a search through the query API', () => {
  test('sends the search as it was written, with the key, and shows what the other road shows', async () => {
    const { code, stdout, stderr } = await run(['decision:deny  agent:ops*', '--over', 'hot', '--api', url]);
    expect(code).toBe(0);
    expect(asked.map(({ path, key }) => [path, key])).toEqual([['/v1/events', 'Bearer key']]);
    expect(Object.fromEntries(asked[0]!.query)).toEqual({
      search: 'decision:deny  agent:ops*',
      store: 'hot',
      order: 'newest',
      limit: '20',
    });
    expect(stdout).toMatch(/^TIME \(UTC\) +FROM +ORGANISATION +AGENT +WHAT/);
    expect(stdout).toContain('files/delete_file');
    expect(stdout).not.toContain('\u001b');
    expect(stderr).toContain('20 events: 20 hot (from 2026-10-01 on), 0 restored, 0 cold.');
    expect(stderr).toContain('Of 4 segments 1 were read; 3 ruled out by their manifests. There may be more.');
  });

  test('takes the address of the environment where none stands behind --api', async () => {
    expect(await run(['decision:deny', '--api'], { CAIRN_API_URL: url })).toMatchObject({ code: 0 });
    expect(asked).toHaveLength(1);
  });

  test('reads as many pages as it takes, and no event more than was asked for', async () => {
    const { stdout } = await run(['--json', 'decision:deny', '--limit', '2300', '--oldest', '--api', url]);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.slice(0, -1)).toEqual(Array.from({ length: 2_300 }, (_, at) => eventOf(at)));
    expect(lines.at(-1)).toMatchObject({
      answer: { rows: { hot: 2_300 }, segments: { read: 3, ruled_out: 3 } },
    });
    expect(asked.map(({ query }) => [query.get('limit'), query.get('cursor'), query.get('order')])).toEqual([
      ['1000', null, 'oldest'],
      ['1000', '1000', 'oldest'],
      ['300', '2000', 'oldest'],
    ]);
  });

  test('that finds nothing ends with 1, as the other road does', async () => {
    held = 0;
    expect(await run(['decision:deny', '--api', url])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('0 events'),
    });
  });

  test('is told a problem with its column, and what to do', async () => {
    problem = {
      ...{ status: 400, code: 'search.invalid', position: 4, length: 3, instead: 'Write tool_name.' },
      ...{ detail: 'column 5 of the search: there is no field tol\u001b[1m Write tool_name.', instance: 'r' },
    } as typeof problem;
    const said = await run(['tol:x', '--api', url]);
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toContain('(400 search.invalid): column 5 of the search: there is no field tol');
    expect(said.stderr).not.toContain('\u001b');
    problem = { status: 400, code: 'sql.refused', position: 4, detail: 'No such table.' } as typeof problem;
    expect((await run(['x', '--api', url])).stderr).toContain('column 5: No such table.');
    problem = { status: 503, code: 'unavailable', detail: 'Later.', instance: 'request-7' } as typeof problem;
    expect(await run(['x', '--api', url])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('Later. (request request-7) [api.refused] Ask again in 5 s.'),
    });
    problem = { status: 502 };
    expect((await run(['x', '--api', url])).stderr).toContain('Is this its address?');
  });

  test('is refused without a key, with what the service does itself, and with an address that is none', async () => {
    expect(await run(['x', '--api', url], { CAIRN_API_KEY: '' })).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('cairn access create'),
    });
    for (const more of [['--archive', 's3://a'], ['--copies', 's3://c'], ['--root', 'r'], ['--prove']])
      expect(await run(['x', '--api', url, ...more])).toMatchObject({ code: 64 });
    expect(await run(['--api', 'decision:deny'])).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('must be an address'),
    });
    expect(asked).toEqual([]);
  });
});

describe('options beside a search', () => {
  const options = (more: Partial<SearchOptions>): SearchOptions => ({
    over: 'hot',
    limit: 20,
    oldest: false,
    ...more,
  });
  test.each([
    ['', {}, ''],
    ['a OR b', { tool: ['x'] }, '(a OR b) tool_name:x'],
    [
      '',
      { tool: ['delete_*', 'a b'], org: ['acme'] },
      'org_id:acme (tool_name:"delete_*" OR tool_name:"a b")',
    ],
    [
      'refund',
      { from: Date.UTC(2026, 0, 1), to: Date.UTC(2026, 1, 1) },
      'refund timestamp:>="2026-01-01T00:00:00.000Z" timestamp:<"2026-02-01T00:00:00.000Z"',
    ],
    ['', { outcome: ['failure'] }, 'result_status:failure'],
  ] as const)('narrow %j as conditions of it: %j', (text, more, written) => {
    const search = narrowed(text, options(more));
    expect(search).toBe(written);
    expect(() => conditionOf(readSearch(search), 0)).not.toThrow();
  });

  test('mean what they mean on the other road: exact values, and times to the microsecond', () => {
    const search = narrowed('', options({ tool: ['a*'], from: 1_000, to: 2_000 }));
    const { sql, parameters } = conditionOf(readSearch(search), 0);
    expect(Object.values(parameters)).toEqual(expect.arrayContaining(['a*', 1_000_000, 2_000_000]));
    expect(sql).not.toMatch(/LIKE/i);
  });

  test('keep a mistake in the search at its own column', async () => {
    const said = await run(['agent:x tol:y', '--tool', 'z', '--api', url]);
    expect(said.stderr).toContain('column 9 of the search');
    expect(asked).toEqual([]);
  });
});
