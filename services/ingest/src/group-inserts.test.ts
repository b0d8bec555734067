import { Failure } from '@cairn/failure';
import { expect, test } from '@jest/globals';
import type { Insertion } from './event-table.ts';
import { groupInserts } from './group-inserts.ts';

const insertionOf = (partition: number, { bytes = 10, topic = 'a', day = '2026-11-25' } = {}): Insertion => ({
  owner: { topic, partition, name: `owner-${partition}` },
  refusal: 'above-highest',
  body: {
    format: 'Native',
    structure: '',
    columns: [],
    pieces: [new Uint8Array(bytes)],
    first: 0,
    last: 0,
    appendDay: day,
    count: 1,
  },
});

/** Inserts that end when they are told to, and time that passes when it is told to. */
function rig(options: { readonly bytesMax?: number; readonly insertsAtOnce?: number } = {}) {
  const begun: { partitions: number[]; end: (error?: unknown) => void }[] = [];
  const timers: (() => void)[] = [];
  const insert = groupInserts({
    table: {
      insert: (insertions) =>
        new Promise((done, fail) => {
          const partitions = insertions.map(({ owner }) => owner.partition);
          begun.push({ partitions, end: (error) => (error === undefined ? done() : fail(error)) });
        }),
    },
    clock: {
      after(_ms, act) {
        timers.push(act);
        return () => {};
      },
    },
    ...options,
  });
  const pass = (): void => {
    for (const act of timers.splice(0)) act();
  };
  return { insert, begun, pass, partitions: () => begun.map(({ partitions }) => partitions) };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what several partitions bring within a moment goes by one insert', async () => {
  const { insert, begun, pass, partitions } = rig();
  const all = Promise.all([0, 1, 2].map((partition) => insert(insertionOf(partition))));
  expect(partitions()).toEqual([]);
  pass();
  expect(partitions()).toEqual([[0, 1, 2]]);
  begun[0]!.end();
  await all;
});

test('rows of another topic, another day or the same partition go by an insert of their own', () => {
  const { insert, pass, partitions } = rig({ insertsAtOnce: 9 });
  void insert(insertionOf(0));
  void insert(insertionOf(1, { topic: 'b' }));
  void insert(insertionOf(2, { day: '2026-11-26' }));
  void insert(insertionOf(0));
  void insert(insertionOf(3));
  pass();
  expect(partitions()).toEqual([[0, 3], [1], [2], [0]]);
});

test('a group holds no more bytes than it may, and what is larger goes alone', () => {
  const { insert, pass, partitions } = rig({ bytesMax: 25, insertsAtOnce: 9 });
  for (const [partition, bytes] of [30, 10, 10, 10].entries()) void insert(insertionOf(partition, { bytes }));
  pass();
  expect(partitions()).toEqual([[0], [1, 2], [3]]);
});

test('what comes while as many inserts run as may goes together with what comes after it', async () => {
  const { insert, begun, pass, partitions } = rig({ insertsAtOnce: 1 });
  void insert(insertionOf(0));
  pass();
  void insert(insertionOf(1));
  pass();
  void insert(insertionOf(2));
  pass();
  expect(partitions()).toEqual([[0]]);
  begun[0]!.end();
  await settled();
  expect(partitions()).toEqual([[0], [1, 2]]);
});

test('a failure of an insert is told to each of its partitions, and to no other', async () => {
  const { insert, begun, pass } = rig({ bytesMax: 20, insertsAtOnce: 9 });
  const outcomes = [0, 1, 2].map((partition) =>
    insert(insertionOf(partition)).then(
      () => 'inserted',
      () => 'failed',
    ),
  );
  pass();
  begun[0]!.end(new Failure({ code: 'clickhouse.unreachable', retry: 'later', message: 'no answer came' }));
  begun[1]!.end();
  expect(await Promise.all(outcomes)).toEqual(['failed', 'failed', 'inserted']);
});

test('rows that the table cannot read are told to their partition alone, and the others are inserted', async () => {
  const { insert, begun, pass, partitions } = rig();
  const outcomes = [0, 1, 2].map((partition) =>
    insert(insertionOf(partition)).then(
      () => 'inserted',
      () => 'refused',
    ),
  );
  pass();
  const badRows = new Failure({ code: 'clickhouse.bad-rows', retry: 'no', message: 'cannot be read' });
  begun[0]!.end(badRows);
  for (const [at, error] of [undefined, badRows, undefined].entries()) {
    await settled();
    begun[1 + at]!.end(error);
  }
  expect(await Promise.all(outcomes)).toEqual(['inserted', 'refused', 'inserted']);
  expect(partitions()).toEqual([[0, 1, 2], [0], [1], [2]]);
});
