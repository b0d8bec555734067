import { describe, expect, test } from '@jest/globals';
import { createKept, kindOf } from './clickhouse-kept.ts';

const request = {
  sql: 'SELECT {a:Int8}',
  rowsFile: undefined,
  settings: { max_threads: '1' },
  parameters: { a: '1' },
  database: undefined,
  format: 'JSONEachRow',
  session: undefined,
};

function connections() {
  const closed: string[] = [];
  const open = (marker: string) => ({
    marker,
    connection: {
      query: () => Promise.reject(new Error('nothing is asked here')),
      insert: () => Promise.reject(new Error('nothing is inserted here')),
      [Symbol.dispose]: () => void closed.push(marker),
    },
  });
  return { open, closed };
}

describe('the kind of a request', () => {
  const kind = (change: object) => kindOf({ ...request, ...change });

  test('is one for the same settings and names of parameters, whatever is asked with what values', () => {
    expect(kind({ sql: 'WITH 1 AS b SELECT b, {a:Int8}', parameters: { a: '2' }, database: 'default' })).toBe(
      kind({}),
    );
    for (const change of [
      { settings: { max_threads: '2' } },
      { settings: {} },
      { parameters: {} },
      { parameters: { b: '1' } },
    ])
      expect(kind(change)).not.toBe(kind({}));
  });

  test('is none for a statement that may change its connection, and none where the next one can set nothing', () => {
    for (const sql of [
      'SET max_threads = 5',
      'USE cairn',
      'CREATE TEMPORARY TABLE a (b Int8)',
      'SELECT 1; SET max_threads = 5',
      'INSERT INTO a SELECT 1',
    ])
      expect(kind({ sql })).toBeUndefined();
    expect(kind({ database: 'cairn' })).toBeUndefined();
    expect(kind({ settings: { readonly: '1' } })).toBeUndefined();
    expect(kind({ settings: { readonly: '2' } })).toBeUndefined();
  });
});

describe('kept connections', () => {
  test('are each given once, and only to their kind', () => {
    const { open } = connections();
    const kept = createKept(4);
    kept.keep('one', open('1'));
    expect(kept.take('other')).toBeUndefined();
    expect(kept.take('one')?.marker).toBe('1');
    expect(kept.take('one')).toBeUndefined();
  });

  test('are as many as may be: the one that waits longest is closed, and all are at the end', () => {
    const { open, closed } = connections();
    const kept = createKept(2);
    for (const marker of ['1', '2', '3']) kept.keep('one', open(marker));
    expect(closed).toEqual(['1']);
    kept[Symbol.dispose]();
    expect(closed).toEqual(['1', '2', '3']);
    expect(kept.take('one')).toBeUndefined();
  });
});
