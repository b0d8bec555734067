import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { errorOf, type Rig, startRig, until } from './clickhouse-rig.contract.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
}, 120_000);
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]();
});

/** Runs for a minute unless somebody ends it. */
const endless = (name: string) =>
  `SELECT '${name}', sum(sleepEachRow(0.01)) FROM numbers(6000) SETTINGS max_block_size = 10, function_sleep_max_microseconds_per_block = 0`;

describe('errors', () => {
  const asked = (query: string, settings = {}) =>
    errorOf(rig.client.query({ query, clickhouse_settings: settings }));

  test.each([
    ['SELECT * FROM no_such_table', '60 UNKNOWN_TABLE'],
    ['selec 1', '62 SYNTAX_ERROR'],
    ['1 + 1', '62 SYNTAX_ERROR'],
    ['SELECT no_such_column', '47 UNKNOWN_IDENTIFIER'],
    ['SELECT no_such_function()', '46 UNKNOWN_FUNCTION'],
    ["SELECT throwIf(1, 'a ( b ) {} \\'')", '395 FUNCTION_THROW_IF_VALUE_IS_NON_ZERO'],
    ["SELECT toUInt8('x')", '6 CANNOT_PARSE_TEXT'],
    ['CREATE TABLE system.one (a UInt8) ENGINE = Memory', '57 TABLE_ALREADY_EXISTS'],
    ['SELECT sum(number) FROM numbers(100000000000) SETTINGS max_rows_to_read = 1000', '158 TOO_MANY_ROWS'],
  ])('%s: %s', async (query, expected) => {
    expect(await asked(query)).toBe(expected);
  });

  test('a query that takes longer than max_execution_time is ended: 159 TIMEOUT_EXCEEDED', async () => {
    const began = performance.now();
    expect(await asked(endless('slow'), { max_execution_time: 1 })).toBe('159 TIMEOUT_EXCEEDED');
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test('the error in the middle of a large result is an error, not half a result', async () => {
    expect(await asked('SELECT throwIf(number = 900000) FROM numbers(1000000)')).toBe(
      '395 FUNCTION_THROW_IF_VALUE_IS_NON_ZERO',
    );
  });

  test('the server lives on after each of them', async () => {
    expect(await rig.rows('SELECT 1')).toEqual([[1]]);
  });
});

describe('queries that are ended', () => {
  test('KILL QUERY finds a query by its log_comment, and its client hears 394', async () => {
    const ended = errorOf(
      rig.client.query({ query: endless('commented'), clickhouse_settings: { log_comment: 'mine|7' } }),
    );
    await until(async () => (await rig.running('commented')) === 1);
    await rig.client.command({ query: "KILL QUERY WHERE Settings['log_comment'] LIKE 'mine|%' SYNC" });
    expect(await ended).toBe('394 QUERY_WAS_CANCELLED');
    expect(await rig.running('commented')).toBe(0);
  });

  test('a query whose client goes away ends soon, and its log_comment was its own', async () => {
    const gone = new AbortController();
    const ended = errorOf(
      rig.client.query({
        query: endless('abandoned'),
        abort_signal: gone.signal,
        clickhouse_settings: { log_comment: 'theirs' },
      }),
    );
    await until(async () => (await rig.running('abandoned')) === 1);
    expect(
      await rig.rows(
        "SELECT Settings['log_comment'] FROM system.processes WHERE query LIKE '%abandoned%' AND query NOT LIKE '%processes%'",
      ),
    ).toEqual([['theirs']]);
    const other = rig.rows(`${endless('other').replace('6000', '100')}`);
    gone.abort();
    expect(await ended).toMatch(/abort/);
    await until(async () => (await rig.running('abandoned')) === 0, 2_000);
    expect(await other).toHaveLength(1);
  });

  test('a client that goes away at once leaves no query behind', async () => {
    for (let turn = 0; turn < 20; turn += 1) {
      const gone = new AbortController();
      const ended = errorOf(rig.client.query({ query: endless('hasty'), abort_signal: gone.signal }));
      await new Promise((resolve) => setTimeout(resolve, turn));
      gone.abort();
      await ended;
    }
    await until(async () => (await rig.running('hasty')) === 0, 5_000);
  });

  test('an insert whose client goes away is ended and leaves nothing behind', async () => {
    await rig.client.command({
      query: 'CREATE TABLE t (id UInt64, slow UInt8) ENGINE = MergeTree ORDER BY id',
    });
    const gone = new AbortController();
    const ended = errorOf(
      rig.client.exec({
        query: "INSERT INTO t SELECT id, sleepEachRow(0.01) FROM input('id UInt64') FORMAT TabSeparated",
        values: Readable.from([Buffer.from(Array.from({ length: 3_000 }, (_, n) => `${n}\n`).join(''))]),
        abort_signal: gone.signal,
        clickhouse_settings: { function_sleep_max_microseconds_per_block: '0' },
      }),
    );
    await until(async () => (await rig.running('INSERT INTO t')) === 1);
    gone.abort();
    expect(await ended).toMatch(/abort/);
    await until(async () => (await rig.running('INSERT INTO t')) === 0, 35_000);
    expect(await rig.rows('SELECT count() FROM t')).toEqual([[0]]);
  }, 60_000);

  test('KILL QUERY gets through when as many queries run as may', async () => {
    const clients = Array.from({ length: 25 }, () => rig.connect());
    const ended = clients.map((client) =>
      errorOf(client.query({ query: endless('crowd'), clickhouse_settings: { log_comment: 'crowd' } })),
    );
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const kill = () =>
      rig.client.command({ query: "KILL QUERY WHERE Settings['log_comment'] = 'crowd' ASYNC" });
    await kill();
    await Promise.race(ended);
    // Those that waited for a turn have it now.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await kill();
    expect(await Promise.all(ended)).toEqual(clients.map(() => '394 QUERY_WAS_CANCELLED'));
  });
});

describe('20 clients at once', () => {
  test('insert and select, and every row is there once', async () => {
    await rig.client.command({
      query: 'CREATE TABLE busy (client UInt8, turn UInt32) ENGINE = MergeTree ORDER BY (client, turn)',
    });
    const turns = 15;
    const counts = await Promise.all(
      Array.from({ length: 20 }, async (_, place) => {
        const client = rig.connect();
        const seen: number[] = [];
        for (let turn = 0; turn < turns; turn += 1) {
          const values = Array.from({ length: 100 }, () => ({ client: place, turn }));
          await client.insert({ table: 'busy', values, format: 'JSONEachRow' });
          const answer = await client.query({
            query: 'SELECT toUInt32(count()) AS n FROM busy WHERE client = {place:UInt8}',
            query_params: { place },
            format: 'JSONEachRow',
          });
          seen.push((await answer.json<{ n: number }>())[0]?.n ?? -1);
        }
        return seen;
      }),
    );
    const own = Array.from({ length: turns }, (_, turn) => (turn + 1) * 100);
    expect(counts).toEqual(Array.from({ length: 20 }, () => own));
    expect(await rig.rows('SELECT count(), uniqExact(client, turn) FROM busy')).toEqual([[30_000, 300]]);
  }, 60_000);

  test('a long query does not hold the memory of the requests that came and went beside it', async () => {
    const gone = new AbortController();
    const long = errorOf(rig.client.query({ query: endless('long'), abort_signal: gone.signal }));
    await until(async () => (await rig.running('long')) === 1);
    const before = rig.memoryBytes();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let turn = 0; turn < 100; turn += 1) await rig.rows('SELECT 1');
      }),
    );
    expect(rig.memoryBytes() - before).toBeLessThan(100 * 1024 ** 2);
    gone.abort();
    await long;
  }, 60_000);
});
