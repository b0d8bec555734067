import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { errorOf, type Rig, startRig } from './clickhouse-rig.contract.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
}, 120_000);
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]();
});

const NUMBERS = "SELECT number AS n, 'row ' || toString(number) AS name FROM numbers(3)";

describe('queries of @clickhouse/client', () => {
  test('JSONEachRow gives rows as objects, JSON gives them with their types', async () => {
    const lines = await rig.client.query({ query: NUMBERS, format: 'JSONEachRow' });
    expect(await lines.json()).toEqual([0, 1, 2].map((n) => ({ n, name: `row ${n}` })));
    const whole = await rig.client.query({ query: NUMBERS, format: 'JSON' });
    expect(await whole.json()).toMatchObject({
      meta: [
        { name: 'n', type: 'UInt64' },
        { name: 'name', type: 'String' },
      ],
      rows: 3,
    });
  });

  test('JSONCompactEachRowWithNamesAndTypes gives names and types before the rows', async () => {
    const answer = await rig.client.query({ query: NUMBERS, format: 'JSONCompactEachRowWithNamesAndTypes' });
    expect(await answer.json()).toEqual([
      ['n', 'name'],
      ['UInt64', 'String'],
      [0, 'row 0'],
      [1, 'row 1'],
      [2, 'row 2'],
    ]);
  });

  test('an empty result is no rows', async () => {
    expect(await rig.rows('SELECT 1 WHERE 0')).toEqual([]);
  });

  test('a million rows arrive through the stream, each once and in order', async () => {
    const answer = await rig.client.query({
      query: 'SELECT number FROM numbers(1000000)',
      format: 'JSONCompactEachRow',
    });
    let next = 0;
    for await (const rows of answer.stream<[number]>()) {
      for (const row of rows) {
        if (Number(row.json()[0]) === next) next += 1;
      }
    }
    expect(next).toBe(1_000_000);
  });

  test('binary answers are the same bytes that the engine made', async () => {
    const bytes = await rig.bytes('SELECT toUInt8(number) FROM numbers(256)', 'RowBinary');
    expect(bytes).toEqual(Buffer.from(Array.from({ length: 256 }, (_, n) => n)));
  });

  test('the database of the client is the current one, and an unknown one is refused', async () => {
    const inSystem = rig.connect({ database: 'system' });
    const answer = await inSystem.query({
      query: 'SELECT currentDatabase() AS db, count() > 0 AS some FROM one',
      format: 'JSONEachRow',
    });
    expect(await answer.json()).toEqual([{ db: 'system', some: 1 }]);
    expect(await rig.rows('SELECT currentDatabase()')).toEqual([['default']]);
    const nowhere = rig.connect({ database: 'nowhere' });
    expect(await errorOf(nowhere.query({ query: 'SELECT 1' }))).toBe('81 UNKNOWN_DATABASE');
  });

  test('ping answers, by /ping and by a SELECT', async () => {
    expect(await rig.client.ping()).toEqual({ success: true });
    expect(await rig.client.ping({ select: true })).toEqual({ success: true });
  });

  test('the id of a query is given back, and one is made when there is none', async () => {
    expect((await rig.client.query({ query: 'SELECT 1', query_id: 'my-query' })).query_id).toBe('my-query');
    const named = await fetch(`${rig.url}/?query=SELECT+1&query_id=mine`);
    expect(named.headers.get('x-clickhouse-query-id')).toBe('mine');
    const unnamed = await fetch(`${rig.url}/?query=SELECT+1`);
    expect(unnamed.headers.get('x-clickhouse-query-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('the summary says what a query gave and how long it took', async () => {
    const { summary } = await rig.client.command({ query: 'SELECT number FROM numbers(5000)' });
    expect(summary).toMatchObject({ result_rows: '5000', written_rows: '0' });
    expect(Number(summary?.elapsed_ns)).toBeGreaterThan(0);
  });
});

describe('parameters', () => {
  const value = async (type: string, parameter: unknown): Promise<unknown> => {
    const answer = await rig.client.query({
      query: `SELECT {value:${type}} AS value, toTypeName(value) AS type`,
      query_params: { value: parameter },
      format: 'JSONEachRow',
      clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
    });
    const [row] = await answer.json<{ value: unknown; type: string }>();
    expect(row?.type).toBe(type);
    return row?.value;
  };

  test.each([
    ['plain', 'plain'],
    ['empty', ''],
    ['quotes', `it's "quoted" \`here\``],
    ['backslashes', 'C:\\new\\table \\N \\'],
    ['line breaks and tabs', 'one\ntwo\r\n\tthree\b\f\0end'],
    ['other scripts', 'Žluťoučký 鳥 🦉'],
    ['SQL', "'; DROP TABLE t; -- {value:String} FORMAT JSON"],
  ])('a String of %s arrives unchanged', async (_, text) => {
    expect(await value('String', text)).toBe(text);
  });

  test.each([
    ['Int64', 9_223_372_036_854_775_807n, '9223372036854775807'],
    ['Int64', -9_007_199_254_740_993n, '-9007199254740993'],
    ['UInt64', '18446744073709551615', '18446744073709551615'],
    ['Float64', 0.1, 0.1],
    ['Bool', true, true],
    ['UUID', '0198c3a1-0000-7000-8000-0000000000ff', '0198c3a1-0000-7000-8000-0000000000ff'],
    ['Date', '2026-02-28', '2026-02-28'],
    ["DateTime64(6, 'UTC')", '2026-02-28 23:59:59.123456', '2026-02-28 23:59:59.123456'],
    ["DateTime64(3, 'UTC')", new Date(Date.UTC(2026, 1, 28, 23, 59, 59, 123)), '2026-02-28 23:59:59.123'],
    ['Decimal(18, 4)', '12345678.5678', 12345678.5678],
    ['Nullable(String)', null, null],
    ['Nullable(String)', 'NULL', 'NULL'],
    ['Array(String)', ["it's", 'a\\b', 'c\nd', '[x]', ''], ["it's", 'a\\b', 'c\nd', '[x]', '']],
    ['Array(UInt32)', [], []],
    ['Array(Nullable(UInt32))', [1, null], [1, null]],
    ['Map(String, UInt8)', { "k'1": 1 }, { "k'1": 1 }],
  ])('%s %p arrives unchanged', async (type, parameter, expected) => {
    expect(await value(type, parameter)).toEqual(expected);
  });

  test('an Identifier names a table', async () => {
    const answer = await rig.client.query({
      query: 'SELECT count() AS n FROM {db:Identifier}.{table:Identifier}',
      query_params: { db: 'system', table: 'one' },
      format: 'JSONEachRow',
    });
    expect(await answer.json()).toEqual([{ n: 1 }]);
  });

  test('a value of 250,000 characters fits, in the address and in a form', async () => {
    const long = `it's\n`.repeat(50_000);
    for (const use_multipart_params of [false, true]) {
      const answer = await rig.client.query({
        query:
          'SELECT length({long:String}) AS length, cityHash64({long:String}) = cityHash64(repeat({one:String}, 50000)) AS same',
        query_params: { long, one: `it's\n` },
        use_multipart_params,
        format: 'JSONEachRow',
      });
      expect(await answer.json()).toEqual([{ length: 250_000, same: 1 }]);
    }
  });

  test('a parameter that is not given is refused, also after a query that gave it', async () => {
    expect(await value('String', 'given')).toBe('given');
    expect(await errorOf(rig.client.query({ query: 'SELECT {value:String}' }))).toBe(
      '456 UNKNOWN_QUERY_PARAMETER',
    );
  });
});
