// `cairn export` against a service that breaks off, changes what it sends, or refuses.
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Surroundings } from './cairn.ts';
import { cairn } from './testing/run-cairn.ts';

const EVENTS = Array.from({ length: 500 }, (_, at) => ({
  timestamp: 1_795_000_000_000_000 + at,
  topic: 'audit.events.standard',
  partition: at % 2,
  offset: at,
  // What looks like an end of a row, in every form.
  task:
    ['plain', 'a "quoted" one', 'over\r\ntwo lines,"', '],"count":7', '{"_end":', 'ß €'][at % 6]! +
    'x'.repeat(80),
}));
type Row = (typeof EVENTS)[number];
const START = Buffer.from(
  JSON.stringify({ of: 'abc', now: 9, at: { timestamp: 0, topic: '', partition: 0, offset: 0 } }),
).toString('base64url');

/** Bodies as docs/api.md says. */
const timeOf = (micros: number) =>
  `${new Date(Math.floor(micros / 1_000)).toISOString().slice(0, 23)}${String(micros % 1_000).padStart(3, '0')}Z`;
const proofOf = ({ topic, partition, offset }: Row) => ({ topic, partition, offset });
const LINES: Record<string, (row: Row) => object> = {
  ndjson: (row) => row,
  ocsf: (row) => ({
    metadata: { original_time: timeOf(row.timestamp) },
    unmapped: { cairn: { proof: proofOf(row), task: row.task } },
  }),
  ecs: (row) => ({ '@timestamp': timeOf(row.timestamp), cairn: { proof: proofOf(row), task: row.task } }),
};
function bodyOf(form: string, rows: readonly Row[], isResumed: boolean): string {
  if (form === 'parquet') return `PAR1${JSON.stringify(rows)}PAR1`;
  if (form === 'json')
    return `{"events":[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n],"count":${rows.length},"next":"n","hot_from":null}\n`;
  if (form === 'csv') {
    const cells = rows.map(
      ({ timestamp, topic, partition, offset, task }) =>
        `${timestamp},"${topic}",${partition},${offset},"${task.replaceAll('"', '""')}"\r\n`,
    );
    return `${isResumed ? '' : '"timestamp","topic","partition","offset","task"\r\n'}${cells.join('')}`;
  }
  const body = rows.map((row) => `${JSON.stringify(LINES[form]!(row))}\n`).join('');
  const sha256 = createHash('sha256').update(body).digest('hex');
  return `${body}${JSON.stringify({ _end: { count: rows.length, sha256, next: null } })}\n`;
}

let directory: string;
let server: Server;
let asked: URL[];
/** How the service behaves: bytes after which it breaks off, once for each. */
let breaks: number[];
let change: (text: string) => string;
/** What breaks off ends as if it were whole: a proxy between that hides it. */
let isCleanCut: boolean;
/** Whether it says where an export begins. */
let hasStart: boolean;
/** What it says to whoever asks for events, in the place of them. */
let refusal: { readonly status: number; readonly code: string; readonly detail: string } | undefined;
/** Whether what was sent has to be written before it breaks off. */
let waits: boolean;
/** Pauses between attempts. */
let pauses: number[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-export-'));
  [asked, breaks, change] = [[], [], (text) => text];
  [isCleanCut, waits, hasStart, refusal, pauses] = [false, false, true, undefined, []];
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://api');
    asked.push(url);
    if (request.headers.authorization !== 'Bearer right') {
      response
        .writeHead(401)
        .end(JSON.stringify({ code: 'access.unauthenticated', detail: 'Send a key.\u001b[31m' }));
    } else if (url.pathname.endsWith('count'))
      response.end(JSON.stringify({ count: EVENTS.length, hot_from: '2026-10-01' }));
    else if (refusal !== undefined)
      response.writeHead(refusal.status, { 'retry-after': '7' }).end(JSON.stringify(refusal));
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
  const isBehind = (row: Row) =>
    cursor === undefined ||
    row.timestamp > cursor.at.timestamp ||
    (row.timestamp === cursor.at.timestamp && row.offset > cursor.at.offset);
  const rows = EVENTS.filter(isBehind);
  const isResumed = cursor !== undefined && cursor.at.topic !== '';
  const bytes = Buffer.from(change(bodyOf(url.searchParams.get('format')!, rows, isResumed)));
  if (hasStart) response.setHeader('Cairn-Start', START);
  response.setHeader('Cairn-Count', rows.length);
  const cut = breaks.shift();
  if (cut === undefined) response.end(bytes);
  else if (isCleanCut) response.end(bytes.subarray(0, cut));
  else response.write(bytes.subarray(0, cut), () => void arrived(cut).then(() => response.destroy()));
}

/** What breaks off takes along what was sent and not read yet. Where a test counts on it, it waits until most of it is written. */
async function arrived(bytes: number): Promise<void> {
  while (waits && bytes > 0 && statSync(join(directory, 'out.part')).size < bytes / 2) await sleep(5);
}

const run = (form: string, key = 'right', around: Partial<Surroundings> = {}, more: readonly string[] = []) =>
  cairn(['export', form, join(directory, 'out'), '--search', 'decision:deny', ...more], {
    ...around,
    parts: { sleep: async (ms) => void pauses.push(ms) },
    env: { CAIRN_API_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, CAIRN_API_KEY: key },
  });
const resumed = (form: string) => run(form, 'right', {}, ['--resume']);
const fileOf = (form: string): string => bodyOf(form, EVENTS, false).replace(/\{"_end":\{"count.*\n$/, '');
const expectWhole = (form: string): void =>
  // The files are too long to be shown beside each other.
  expect(readFileSync(join(directory, 'out'), 'utf8') === fileOf(form)).toBe(true);
const FORMS = ['ndjson', 'json', 'csv', 'parquet', 'ocsf', 'ecs'];
const WITH_ROWS = FORMS.filter((form) => form !== 'parquet');
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

test('an export of a service that does not say where it begins is asked for anew, and has no event twice', async () => {
  [breaks, waits, hasStart] = [[20_000, 30_000], true, false];
  expect(await run('csv')).toMatchObject({ code: 0 });
  expectWhole('csv');
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
    expectWhole(form);
    change = (text) => text.replace('"offset":7,', '"offset":8,').replace('"offset":7}', '"offset":8}');
    expect(await run(form)).toMatchObject({ code: 1, stderr: expect.stringContaining('export.differs') });
  }
});

test.each(FORMS)(
  'an export as %s that is cut at any byte, twice, is byte for byte what it is without a cut',
  async (form) => {
    const length = Buffer.byteLength(bodyOf(form, EVENTS, false));
    await fc.assert(
      fc.asyncProperty(fc.nat(length - 1), fc.nat(length - 1), async (first, second) => {
        breaks = [first, second];
        expect(await run(form)).toMatchObject({ code: 0 });
        expectWhole(form);
        expect(readdirSync(directory)).toEqual(['out']);
      }),
      {
        numRuns: 12,
        examples: [
          [0, 0],
          [1, length - 1],
          [length - 1, 0],
          // Where a Parquet file begins as it ends.
          [0, 4],
        ],
      },
    );
  },
  30_000,
);

test.each(WITH_ROWS)('an export as %s that a proxy ends early is not taken for whole', async (form) => {
  [breaks, isCleanCut] = [[20_000, 10_000], true];
  expect(await run(form)).toMatchObject({ code: 0 });
  expectWhole(form);
});

describe('an export that ends before it is whole', () => {
  beforeEach(() => {
    waits = true;
  });
  const hopeless = () => Array.from({ length: 20 }, (_, at) => (at === 0 ? 20_000 : 0));

  test.each(WITH_ROWS)('as %s goes on in a later run, and is what it is without a cut', async (form) => {
    breaks = hopeless();
    const said = await run(form);
    expect(said).toMatchObject({ code: 3, stderr: expect.stringContaining('export.incomplete') });
    expect(said.stderr).toMatch(/\d+ events are in .*out\.part/);
    expect(said.stderr).toContain('Run it again with --resume');
    expect(existsSync(join(directory, 'out'))).toBe(false);
    [breaks, asked] = [[], []];
    expect(await resumed(form)).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('It goes on behind'),
    });
    expectWhole(form);
    expect(readdirSync(directory)).toEqual(['out']);
    const after = JSON.parse(
      Buffer.from(asked.at(-1)!.searchParams.get('after')!, 'base64url').toString(),
    ) as { at: Row };
    expect(after.at.offset).toBeGreaterThan(20);
  });

  test('as Parquet is asked for anew each time, and says why nothing of it is left', async () => {
    breaks = hopeless();
    const said = await run('parquet');
    expect(said).toMatchObject({ code: 3, stderr: expect.stringContaining('Nothing can be put behind') });
    expect(readdirSync(directory)).toEqual([]);
    breaks = [];
    expect(await resumed('parquet')).toMatchObject({ code: 0 });
    expectWhole('parquet');
  });

  test('goes on behind what its note knows of, whatever a killed process wrote behind that', async () => {
    breaks = hopeless();
    await run('csv');
    appendFileSync(join(directory, 'out.part'), '1795,"torn');
    breaks = [];
    expect(await resumed('csv')).toMatchObject({ code: 0 });
    expectWhole('csv');
  });

  test('does not go on as another export, nor behind a part that became shorter', async () => {
    breaks = hopeless();
    await run('csv');
    expect(await resumed('json')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('begun as csv'),
    });
    truncateSync(join(directory, 'out.part'), 100);
    expect(await resumed('csv')).toMatchObject({ code: 64, stderr: expect.stringContaining('shorter') });
    breaks = [];
    // Without --resume it begins anew.
    expect(await run('json')).toMatchObject({ code: 0 });
    expectWhole('json');
  });

  test('keeps what came when its key stops to count, and waits as long as the service asks it to', async () => {
    breaks = [20_000];
    change = (text) => {
      refusal = { status: 503, code: 'unavailable', detail: 'This service stops. Ask again.' };
      return text;
    };
    const said = await run('ndjson');
    expect(said).toMatchObject({ code: 3, stderr: expect.stringContaining('This service stops') });
    expect(pauses.slice(1).every((ms) => ms === 7_000)).toBe(true);
    refusal = { status: 401, code: 'access.unauthenticated', detail: 'Send a key.' };
    expect(await resumed('ndjson')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('access.unauthenticated'),
    });
    [refusal, change] = [undefined, (text) => text];
    expect(await resumed('ndjson')).toMatchObject({ code: 0 });
    expectWhole('ndjson');
  });

  test('begins at the beginning when no earlier run left anything, and says so', async () => {
    expect(await resumed('csv')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('No earlier run left anything'),
    });
    expectWhole('csv');
  });
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

test('what the service refuses is told without its control characters', async () => {
  const said = await run('ndjson', 'wrong');
  expect(said).toMatchObject({ code: 1, stderr: expect.stringContaining('access.unauthenticated') });
  expect(said.stderr).not.toContain('\u001b');
  expect((await run('ndjson', '')).stderr).toContain('no key for the query API is named');
});
