// `cairn export` against a service that breaks off, changes what it sends, or refuses.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Surroundings } from './cairn.ts';
import { cairn } from './testing/run-cairn.ts';

const EVENTS = Array.from({ length: 500 }, (_, at) => ({
  timestamp: 1_000 + at,
  topic: 't',
  partition: 0,
  offset: at,
  task: 'x'.repeat(200),
}));
const START = Buffer.from(
  JSON.stringify({ of: 'abc', now: 9, at: { timestamp: 0, topic: '', partition: 0, offset: 0 } }),
).toString('base64url');

let directory: string;
let server: Server;
let asked: URL[];
/** How the service behaves: bytes after which it breaks off, once for each. */
let breaks: number[];
let change: (text: string) => string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-export-'));
  [asked, breaks, change] = [[], [], (text) => text];
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://api');
    asked.push(url);
    if (request.headers.authorization !== 'Bearer right') {
      response
        .writeHead(401)
        .end(JSON.stringify({ code: 'access.unauthenticated', detail: 'Send a key.\u001b[31m' }));
    } else if (url.pathname.endsWith('count'))
      response.end(JSON.stringify({ count: EVENTS.length, hot_from: '2026-10-01' }));
    else sendEvents(url, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
  rmSync(directory, { recursive: true, force: true });
});

function sendEvents(url: URL, response: ServerResponse): void {
  const after = url.searchParams.get('after');
  const cursor = after === null ? undefined : JSON.parse(Buffer.from(after, 'base64url').toString());
  if (cursor !== undefined) expect(cursor).toMatchObject({ of: 'abc', now: 9 });
  const lines = EVENTS.filter(({ offset }) => offset > (cursor?.at.offset ?? -1)).map(
    (event) => `${JSON.stringify(event)}\n`,
  );
  const body = lines.join('');
  const end = { count: lines.length, sha256: createHash('sha256').update(body).digest('hex'), next: null };
  const text = change(`${body}${JSON.stringify({ _end: end })}\n`);
  response.setHeader('Cairn-Start', START);
  const bytes = breaks.shift();
  if (bytes === undefined) response.end(text);
  else response.write(text.slice(0, bytes), () => setTimeout(() => response.destroy(), 20));
}

const run = (form: string, key = 'right', around: Partial<Surroundings> = {}) =>
  cairn(['export', form, join(directory, 'out'), '--search', 'decision:deny'], {
    ...around,
    env: { CAIRN_API_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, CAIRN_API_KEY: key },
  });
const written = (): unknown[] =>
  readFileSync(join(directory, 'out'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('an export that is cut off three times, in the midst of lines too, is written whole and each event once', async () => {
  breaks = [10_000, 33_333, 0];
  expect(await run('ndjson')).toMatchObject({ code: 0, stdout: expect.stringContaining('500 events') });
  expect(written()).toEqual(EVENTS);
  expect(asked.filter(({ pathname }) => pathname.endsWith('events'))).toHaveLength(4);
  expect(asked.every(({ searchParams }) => searchParams.get('search') === 'decision:deny')).toBe(true);
});

test('an export says since when the service has events, so that nobody takes it for one over all time', async () => {
  expect((await run('csv')).stderr).toContain('events received from 2026-10-01 on');
});

test('an export whose bytes were changed on the way is told of, and leaves no file', async () => {
  change = (text) => text.replace('"offset":7,', '"offset":8,');
  expect(await run('ndjson')).toMatchObject({ code: 1, stderr: expect.stringContaining('export.differs') });
  expect(existsSync(join(directory, 'out'))).toBe(false);
});

test('an export without its last line is not taken for whole', async () => {
  change = (text) => text.slice(0, text.lastIndexOf('{"_end"'));
  breaks = [];
  const said = await run('ndjson');
  expect(said).toMatchObject({ code: 3, stderr: expect.stringContaining('export.incomplete') });
  expect(existsSync(join(directory, 'out'))).toBe(false);
}, 20_000);

test('OCSF and ECS are compared with what the service says that it sent, too', async () => {
  for (const form of ['ocsf', 'ecs']) {
    change = (text) => text;
    expect(await run(form)).toMatchObject({ code: 0 });
    expect(written()).toEqual(EVENTS);
    change = (text) => text.replace('"offset":7,', '"offset":8,');
    expect(await run(form)).toMatchObject({ code: 1, stderr: expect.stringContaining('export.differs') });
    change = (text) => text;
    breaks = [10_000];
    expect(await run(form)).toMatchObject({ stderr: expect.stringContaining('export.incomplete') });
  }
});

test.each(['ndjson', 'json', 'csv', 'ocsf', 'ecs', 'parquet'])(
  'an export as %s says how far it is, and its bar is gone when it has ended',
  async (form) => {
    let drawn = '';
    const stderr = Object.assign(
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          drawn += chunk.toString();
          done();
        },
      }),
      { isTTY: true, columns: 100 },
    );
    expect(await run(form, 'right', { stderr })).toMatchObject({ code: 0 });
    expect(drawn).toMatch(form === 'parquet' ? /\d\.\d MiB/ : /\d+ of 500 events/);
    expect(drawn).toContain('\r\u001b[2K');
  },
);

test('CSV that is cut off leaves no file', async () => {
  breaks = [5_000];
  expect(await run('csv')).toMatchObject({ stderr: expect.stringContaining('export.incomplete') });
  expect(existsSync(join(directory, 'out'))).toBe(false);
});

test('what the service refuses is told without its control characters', async () => {
  const said = await run('ndjson', 'wrong');
  expect(said).toMatchObject({ code: 1, stderr: expect.stringContaining('access.unauthenticated') });
  expect(said.stderr).not.toContain('\u001b');
  expect((await run('ndjson', '')).stderr).toContain('no key for the query API is named');
});
