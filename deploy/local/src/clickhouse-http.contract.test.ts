import { request } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import {
  brotliCompressSync,
  brotliDecompressSync,
  createGzip,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { errorOf, type Rig, startRig } from './clickhouse-rig.contract.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  await rig.client.command({
    query: 'CREATE TABLE t (id UInt64, name String) ENGINE = MergeTree ORDER BY id',
  });
}, 120_000);
beforeEach(async () => {
  await rig.client.command({ query: 'TRUNCATE TABLE t' });
});
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]();
});

const ROWS = Buffer.from(Array.from({ length: 1_000 }, (_, id) => `${id},"row ${id}"\n`).join(''));
const INSERT = '/?query=INSERT+INTO+t+FORMAT+CSV';

interface Reply {
  readonly status: number | undefined;
  readonly code: string | undefined;
  readonly text: string;
}

/** A request with a body as it stands: fetch would decide about encodings itself. */
function post(path: string, encoding: string, body: Readable): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(`${rig.url}${path}`, { method: 'POST', headers: { 'content-encoding': encoding } });
    sent.once('error', reject);
    sent.once('response', async (response) => {
      body.destroy();
      const code = response.headers['x-clickhouse-exception-code'];
      resolve({ status: response.statusCode, code: code?.toString(), text: await text(response) });
    });
    body.pipe(sent);
  });
}

describe('compression', () => {
  test.each(['gzip', 'zstd'] as const)('%s both ways through @clickhouse/client', async (codec) => {
    const client = rig.connect({ compression: { request: { codec }, response: { codec } } });
    await client.insert({ table: 't', values: Readable.from([ROWS], { objectMode: false }), format: 'CSV' });
    const answer = await client.query({
      query: 'SELECT name FROM t ORDER BY id',
      format: 'JSONCompactEachRow',
    });
    expect(answer.response_headers['content-encoding']).toBe(codec);
    expect(await answer.json()).toHaveLength(1_000);
    expect(await errorOf(client.query({ query: 'SELECT * FROM nowhere' }))).toBe('60 UNKNOWN_TABLE');
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('a body with Content-Encoding %s is read', async (encoding, compress) => {
    expect(await post(INSERT, encoding, Readable.from([compress(ROWS)]))).toMatchObject({ status: 200 });
    expect(await rig.rows('SELECT count() FROM t')).toEqual([[1_000]]);
    const select = await post('/', encoding, Readable.from([compress(Buffer.from('SELECT count() FROM t'))]));
    expect(select).toMatchObject({ status: 200, text: '1000\n' });
  });

  test.each([
    ['gzip', gunzipSync],
    ['deflate', inflateSync],
    ['br', brotliDecompressSync],
    ['zstd', zstdDecompressSync],
  ] as const)('an answer is in %s when the client takes it and asks for it', async (encoding, decompress) => {
    const ask = (more: string) =>
      new Promise<[string | undefined, Buffer]>((resolve) => {
        request(
          `${rig.url}/?query=SELECT+7${more}`,
          { headers: { 'accept-encoding': encoding } },
          async (response) =>
            resolve([response.headers['content-encoding'], Buffer.concat(await response.toArray())]),
        ).end();
      });
    const [named, bytes] = await ask('&enable_http_compression=1');
    expect([named, decompress(bytes).toString()]).toEqual([encoding, '7\n']);
    expect(await ask('')).toEqual([undefined, Buffer.from('7\n')]);
  });

  test('an encoding that is not served is refused by name, and so are the blocks of the native protocol', async () => {
    expect(await post(INSERT, 'lz4', Readable.from([ROWS]))).toMatchObject({
      status: 501,
      code: '48',
      text: expect.stringContaining(
        'Content-Encoding lz4 is not served here; use gzip, deflate, br, zstd or none',
      ),
    });
    const blocks = await fetch(`${rig.url}/?query=SELECT+1&compress=1`);
    expect([blocks.status, await blocks.text()]).toEqual([501, expect.stringContaining('NOT_IMPLEMENTED')]);
  });

  test.each([
    ['is no gzip at all', ROWS],
    ['is cut short', gzipSync(ROWS).subarray(0, 200)],
  ])('a body that %s is refused and nothing is inserted', async (_, body) => {
    expect(await post(INSERT, 'gzip', Readable.from([body]))).toMatchObject({
      status: 500,
      code: '354',
      text: expect.stringContaining('The body is not whole gzip'),
    });
    expect(await rig.rows('SELECT count() FROM t')).toEqual([[0]]);
  });

  test('a body that grows past 1 GiB is refused with the limit, and nothing is inserted', async () => {
    const zeros = Buffer.alloc(4 * 1024 ** 2);
    const bomb = Readable.from(
      (function* () {
        for (let piece = 0; piece < 300; piece += 1) yield zeros;
      })(),
    ).pipe(createGzip({ level: 1 }));
    expect(await post(INSERT, 'gzip', bomb)).toMatchObject({
      status: 413,
      code: '290',
      text: expect.stringContaining('more than 1073741824 bytes when decompressed'),
    });
    expect(await rig.rows('SELECT count() FROM t')).toEqual([[0]]);
  }, 60_000);
});

describe('forms of a request', () => {
  test('GET and HEAD of / and /ping say that the server lives', async () => {
    for (const path of ['/', '/ping']) {
      const got = await fetch(rig.url + path);
      expect([got.status, await got.text()]).toEqual([200, 'Ok.\n']);
      const head = await fetch(rig.url + path, { method: 'HEAD' });
      expect([head.status, await head.text()]).toEqual([200, '']);
    }
  });

  test('a query stands in the address, in the body, or begins in one and ends in the other', async () => {
    const said = async (path: string, body?: string) =>
      (await fetch(rig.url + path, body === undefined ? {} : { method: 'POST', body })).text();
    expect(await said('/?query=SELECT+1')).toBe('1\n');
    expect(await said('/', 'SELECT 2;')).toBe('2\n');
    expect(await said('/?query=SELECT+', '3')).toBe('3\n');
    expect(await said('/?query=SELECT+4+AS+n&default_format=JSONEachRow')).toBe('{"n":4}\n');
  });

  test('the answer says its format', async () => {
    const format = async (query: string) =>
      (await fetch(rig.url, { method: 'POST', body: query })).headers.get('x-clickhouse-format');
    expect(await format('SELECT 1')).toBe('TabSeparated');
    expect(await format('SELECT 1 FORMAT JSON')).toBe('JSON');
  });

  test('a GET reads and changes nothing', async () => {
    const write = await fetch(`${rig.url}/?query=INSERT+INTO+t+VALUES+(1,'a')`);
    expect([write.status, write.headers.get('x-clickhouse-exception-code')]).toEqual([500, '164']);
    const drop = await fetch(`${rig.url}/?query=DROP+TABLE+t`);
    expect(drop.headers.get('x-clickhouse-exception-code')).toBe('164');
    const read = await fetch(`${rig.url}/?query=SELECT+count()+FROM+t&max_threads=1&param_x=1`);
    expect(await read.text()).toBe('0\n');
  });

  test.each([
    ['GET', '/nowhere', 404],
    ['POST', '/nowhere', 404],
    ['DELETE', '/', 404],
    ['PUT', '/ping', 404],
  ])('%s %s is %d', async (method, path, status) => {
    const answer = await fetch(rig.url + path, { method });
    expect([answer.status, await answer.text()]).toEqual([status, `There is no handle ${method} ${path}\n`]);
  });

  test('statuses are those of a server', async () => {
    const status = async (query: string) => (await fetch(rig.url, { method: 'POST', body: query })).status;
    expect(await status('SELECT * FROM nowhere')).toBe(404);
    expect(await status('SELEC')).toBe(400);
    expect(await status('SELECT throwIf(1)')).toBe(500);
  });
});
