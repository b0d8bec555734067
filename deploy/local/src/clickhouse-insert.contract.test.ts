import { Readable } from 'node:stream';
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

/** Names that look like ends of rows, of text and of statements. */
const SOURCE =
  "SELECT number AS id, concat('a;\\n\\t,\\'\"\\\\', char(number % 256), toString(number)) AS name";
const rowsOf = (count: number) => `${SOURCE} FROM numbers(${count})`;
const contents = async (from = 't') =>
  rig.rows(`SELECT count(), sum(cityHash64(id, name)) FROM (SELECT * FROM ${from})`);
const send = async (query: string, ...pieces: Uint8Array[]) => {
  const { stream, summary } = await rig.client.exec({ query, values: Readable.from(pieces) });
  stream.resume();
  return summary;
};

const FORMATS = [
  'JSONEachRow',
  'JSONCompactEachRow',
  'CSV',
  'CSVWithNames',
  'TabSeparated',
  'Values',
  'RowBinary',
  'RowBinaryWithNamesAndTypes',
  'Native',
  'Avro',
  'Parquet',
  'ArrowStream',
  'MsgPack',
];

describe('inserts of @clickhouse/client', () => {
  test.each(FORMATS)('%s: every row that was sent is in the table, as it was', async (format) => {
    const body = await rig.bytes(rowsOf(1_000), format);
    const half = body.length >> 1;
    const summary = await send(`INSERT INTO t FORMAT ${format}`, body.subarray(0, half), body.subarray(half));
    expect(await contents()).toEqual(await contents(`(${rowsOf(1_000)})`));
    expect(summary).toMatchObject({ written_rows: '1000' });
  });

  test.each(['CSV', 'Native', 'Avro'])('%s: input() hands the rows to a SELECT', async (format) => {
    const body = await rig.bytes(rowsOf(500).replace('AS id', 'AS n'), format);
    const summary = await send(
      `INSERT INTO t SELECT n + 1, name FROM input('n UInt64, name String') WHERE n < 400 FORMAT ${format}`,
      body,
    );
    expect(await rig.rows('SELECT count(), min(id), max(id) FROM t')).toEqual([[400, 1, 400]]);
    expect(summary).toMatchObject({ written_rows: '400' });
  });

  test.each(['RowBinary', 'CSV'])('%s: a statement and its rows in one body', async (format) => {
    const body = await rig.bytes(rowsOf(300), format);
    const answer = await fetch(rig.url, {
      method: 'POST',
      body: new Uint8Array(Buffer.concat([Buffer.from(`/* mine */ INSERT INTO t FORMAT ${format}\n`), body])),
    });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
    expect(await contents()).toEqual(await contents(`(${rowsOf(300)})`));
  });

  test('VALUES in the body, after a statement in the address or with it', async () => {
    await send('INSERT INTO t (id, name) VALUES', Buffer.from("(1, 'a FORMAT b'), (2, 'c;')"));
    await rig.client.command({ query: "INSERT INTO t VALUES (3, 'x FORMAT CSV')" });
    await rig.client.command({ query: "INSERT INTO t SELECT 4, 'FORMAT'" });
    expect(await rig.rows('SELECT * FROM t ORDER BY id')).toEqual([
      [1, 'a FORMAT b'],
      [2, 'c;'],
      [3, 'x FORMAT CSV'],
      [4, 'FORMAT'],
    ]);
  });

  test('objects, a stream of objects, and columns that are named or left out', async () => {
    await rig.client.insert({ table: 't', values: [{ id: 1, name: 'one' }], format: 'JSONEachRow' });
    await rig.client.insert({
      table: 't',
      values: Readable.from([{ id: 2, name: 'two' }]),
      format: 'JSONEachRow',
    });
    await rig.client.insert({ table: 't', values: [[3]], columns: ['id'], format: 'JSONCompactEachRow' });
    await rig.client.insert({
      table: 't',
      values: [['four']],
      columns: { except: ['id'] },
      format: 'JSONCompactEachRow',
    });
    expect(await rig.rows('SELECT * FROM t ORDER BY id')).toEqual([
      [0, 'four'],
      [1, 'one'],
      [2, 'two'],
      [3, ''],
    ]);
  });

  test.each(['JSONEachRow', 'CSV', 'TabSeparated', 'RowBinary', 'Native'])(
    '%s: an insert of nothing is no error',
    async (format) => {
      expect(await send(`INSERT INTO t FORMAT ${format}`)).toMatchObject({ written_rows: '0' });
      expect(await contents()).toEqual([[0, 0]]);
    },
  );

  test('settings of a statement and of its request hold for the insert', async () => {
    const rows = Buffer.from('{"id":1,"name":"a","more":1}\n');
    expect(await errorOf(send('INSERT INTO t FORMAT JSONEachRow', rows))).toBe('undefined');
    await rig.client.command({ query: 'TRUNCATE TABLE t' });
    const strict = 'input_format_skip_unknown_fields = 0';
    expect(await errorOf(send(`INSERT INTO t SETTINGS ${strict} FORMAT JSONEachRow`, rows))).toBe(
      '117 INCORRECT_DATA',
    );
    expect(
      await errorOf(
        rig.client.insert({
          table: 't',
          values: [{ id: 1, more: 1 }],
          format: 'JSONEachRow',
          clickhouse_settings: { input_format_skip_unknown_fields: 0 },
        }),
      ),
    ).toBe('117 INCORRECT_DATA');
    expect(await contents()).toEqual([[0, 0]]);
  });

  test('the summary counts what views wrote as well', async () => {
    await rig.client.command({
      query: 'CREATE TABLE copies (id UInt64, name String) ENGINE = MergeTree ORDER BY id',
    });
    await rig.client.command({ query: 'CREATE MATERIALIZED VIEW copying TO copies AS SELECT * FROM t' });
    expect(await send('INSERT INTO t FORMAT CSV', Buffer.from('1,"a"\n2,"b"\n'))).toMatchObject({
      written_rows: '4',
    });
    await rig.client.command({ query: 'DROP TABLE copying' });
  });
});

describe('an insert that fails leaves nothing behind', () => {
  test.each([
    ['JSONEachRow', '{"id":1,"name":"a"}\n{"id":"x","name":"b"}\n', '27 CANNOT_PARSE_INPUT_ASSERTION_FAILED'],
    ['TabSeparated', '1\ta\nx\tb\n', '27 CANNOT_PARSE_INPUT_ASSERTION_FAILED'],
    ['CSV', '1,"a"\nx,"b"\n', '27 CANNOT_PARSE_INPUT_ASSERTION_FAILED'],
  ])('%s: a wrong value in the second row', async (format, body, expected) => {
    expect(await errorOf(send(`INSERT INTO t FORMAT ${format}`, Buffer.from(body)))).toBe(expected);
    expect(await contents()).toEqual([[0, 0]]);
  });

  test.each(['RowBinary', 'Native', 'Avro'])('%s: a body that is cut short', async (format) => {
    const body = await rig.bytes(rowsOf(1_000), format);
    const error = await errorOf(send(`INSERT INTO t FORMAT ${format}`, body.subarray(0, body.length - 7)));
    expect(error).toMatch(/^\d+ [A-Z_]+$/);
    expect(await contents()).toEqual([[0, 0]]);
  });

  test('a client that goes away before its body is whole', async () => {
    const gone = new AbortController();
    const body = Readable.from(
      (async function* () {
        yield Buffer.from('1,"a"\n2,"b"\n');
        await new Promise((resolve) => setTimeout(resolve, 200));
        gone.abort();
        await new Promise((resolve) => setTimeout(resolve, 200));
      })(),
    );
    await expect(
      rig.client.exec({ query: 'INSERT INTO t FORMAT CSV', values: body, abort_signal: gone.signal }),
    ).rejects.toThrow('abort');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await contents()).toEqual([[0, 0]]);
  });
});

describe('large bodies', () => {
  test('100 MiB arrive whole', async () => {
    await rig.client.command({ query: 'CREATE TABLE large (bytes String) ENGINE = Memory' });
    const mebibyte = Buffer.alloc(1024 ** 2, 'cairn');
    // RowBinary writes the length before the text: 1 MiB as a varint.
    const row = Buffer.concat([Buffer.from([0x80, 0x80, 0x40]), mebibyte]);
    const summary = await send(
      'INSERT INTO large FORMAT RowBinary',
      ...Array.from({ length: 100 }, () => row),
    );
    expect(summary).toMatchObject({ written_rows: '100' });
    expect(await rig.rows('SELECT count(), sum(length(bytes)), uniqExact(bytes) FROM large')).toEqual([
      [100, 104857600, 1],
    ]);
  }, 60_000);
});
