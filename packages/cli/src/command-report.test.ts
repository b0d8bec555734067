// `cairn report` against a service that answers as docs/api.md says, with names of hostile agents in it.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { cairn } from './testing/run-cairn.ts';

const REPORT = {
  report: 'permission-gaps',
  says: 'What agents asked for and were denied.',
  from: 1_795_000_000_000_000,
  to: 1_795_600_000_000_000,
  population: 41,
  rows: [
    { agent_id: 'ops\u001b[2J', tool_name: 'delete_entities', denials: 7, last_at: 1_795_500_000_000_000 },
  ],
};

let server: Server;
let asked: URL[];
let report: object;

beforeEach(async () => {
  [asked, report] = [[], REPORT];
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://api');
    asked.push(url);
    const isKnown = url.pathname === '/v1/reports/permission-gaps';
    response
      .writeHead(isKnown ? 200 : 400)
      .end(
        JSON.stringify(
          isKnown ? report : { code: 'request.invalid', detail: '/path/report: one of permission-gaps' },
        ),
      );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

const run = (...args: string[]) =>
  cairn(['report', ...args], {
    env: {
      CAIRN_API_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      CAIRN_API_KEY: 'key',
    },
  });

test('a report is a table with its population, and a name in it moves no cursor', async () => {
  const { code, stdout } = await run('permission-gaps');
  expect(code).toBe(0);
  expect(stdout).toContain('2026-11-18T11:06:40Z to 2026-11-25T09:46:40Z, 41 calls');
  expect(stdout).toMatch(/AGENT ID +TOOL NAME +DENIALS +LAST\n/);
  expect(stdout).toContain('delete_entities  7        2026-11-24T06:00:00Z');
  expect(stdout).not.toContain('\u001b');
});

test('a report covers the span that was asked for, and ends when it was told to', async () => {
  await run('permission-gaps', '--since', '7d', '--to', '2026-11-25');
  const to = Date.parse('2026-11-25') * 1_000;
  expect(asked[0]?.search).toBe(`?from=${to - 7 * 86_400_000_000}&to=${to}`);
});

test('to programs a report is the answer of the API', async () => {
  const { stdout } = await run('permission-gaps', '--json');
  expect(JSON.parse(stdout)).toEqual(REPORT);
});

test('a report that found nothing says so', async () => {
  report = { ...REPORT, rows: [] };
  expect(await run('permission-gaps')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Nothing.'),
  });
});

test('a report that is none is refused with what the service said', async () => {
  expect(await run('moods')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('one of permission-gaps'),
  });
});

test('without a key it says where to get one', async () => {
  expect(await cairn(['report', 'slow-tools'])).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('cairn access create'),
  });
});
