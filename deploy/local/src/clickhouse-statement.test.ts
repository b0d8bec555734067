import { describe, expect, test } from '@jest/globals';
import { formatOf, insertFromFile, setStatement, splitInsert, takesRows } from './clickhouse-statement.ts';

describe('which statements take rows', () => {
  test.each([
    ['INSERT INTO t FORMAT Native', true],
    ['/* who */ -- why\n insert into t (a, b) format CSV ;', true],
    ['INSERT INTO t SETTINGS async_insert = 1 FORMAT JSONEachRow', true],
    ['INSERT INTO t VALUES', true],
    ["INSERT INTO t SELECT a FROM input('a Int8') FORMAT Avro", true],
    ['INSERT INTO t SELECT a FROM s FORMAT Null', false],
    ['INSERT INTO t VALUES (1)', false],
    ['SELECT 1 FORMAT JSON', false],
    ['/* INSERT */ SELECT 1 FORMAT JSON', false],
  ])('%s: %p', (sql, takes) => {
    expect(takesRows(sql)).toBe(takes);
  });

  test('many comments before a statement cost no time', () => {
    expect(takesRows(`${'/* a */'.repeat(10_000)} SELECT 1`)).toBe(false);
  });
});

describe('a body that holds a statement and its rows', () => {
  const split = (text: string) => {
    const parts = splitInsert(Buffer.from(text, 'latin1'));
    return parts && [parts.sql, parts.rows.toString('latin1')];
  };

  test('is parted after the format and one line break, whatever the rows are', () => {
    expect(split('INSERT INTO t FORMAT RowBinary\n\n\0\xff')).toEqual([
      'INSERT INTO t FORMAT RowBinary\n',
      '\n\0\xff',
    ]);
    expect(split('INSERT INTO t FORMAT JSONEachRow {"a":1}')).toEqual([
      'INSERT INTO t FORMAT JSONEachRow ',
      '{"a":1}',
    ]);
  });

  test('is left whole when the format stands in a text, or nothing follows it', () => {
    expect(split("INSERT INTO t VALUES (1, 'x FORMAT y')")).toBeUndefined();
    expect(split('INSERT INTO t SELECT 1 FORMAT Null')).toBeUndefined();
    expect(split('SELECT 1 FORMAT JSON')).toBeUndefined();
  });
});

describe('a statement that reads its rows from a file', () => {
  test.each([
    ['INSERT INTO t (a) FORMAT Native', "INSERT INTO t (a) FROM INFILE '/f'  FORMAT Native"],
    ['INSERT INTO t VALUES', "INSERT INTO t FROM INFILE '/f'  FORMAT VALUES"],
    ['INSERT INTO t SETTINGS a = 1 FORMAT CSV', "INSERT INTO t FROM INFILE '/f' SETTINGS a = 1 FORMAT CSV"],
    [
      "INSERT INTO t SELECT a FROM input('a Int8') SETTINGS b = 1 FORMAT Avro",
      "INSERT INTO t SELECT a FROM file('/f', 'Avro', 'a Int8') SETTINGS b = 1",
    ],
  ])('%s', (sql, expected) => {
    expect(insertFromFile(sql, '/f')).toBe(expected);
  });
});

test('a name that is no name of a setting is refused, so that nothing else gets into SET', () => {
  expect(setStatement({ a: "it's \\" }, { b: '1' })).toBe("SET a = 'it\\'s \\\\', param_b = '1'");
  expect(setStatement({})).toBeUndefined();
  expect(() => setStatement({ 'a = 1, b': '1' })).toThrow('not a name of a setting');
});

test('the format that a statement names is found at its end only', () => {
  expect(formatOf('SELECT 1 FORMAT JSON SETTINGS a = 1;')).toBe('JSON');
  expect(formatOf("SELECT 'FORMAT JSON'")).toBeUndefined();
});
