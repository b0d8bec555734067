import { createRequire } from 'node:module';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type LogRecord, recordValue } from '@cairn/runtime';
import { describe, expect, test } from '@jest/globals';
import { crc32c } from '@node-rs/crc32';
import fc from 'fast-check';
import { batchesOf, committedBatches, recordsOf, UnreadableBatch } from './record-batch.ts';

// The judge: the encoder of kafkajs, which was written by others.
const load = createRequire(import.meta.url);
const { RecordBatch } = load('kafkajs/src/protocol/recordBatch/v0') as {
  RecordBatch(options: object): Promise<{ buffer: Buffer }>;
};
const Record = load('kafkajs/src/protocol/recordBatch/record/v0') as (options: object) => unknown;

interface Cell {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: { [name: string]: string };
  readonly timeDelta: number;
}

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const cells: fc.Arbitrary<Cell[]> = fc.array(
  fc.record({
    key: fc.option(bytes),
    value: fc.option(bytes),
    headers: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string({ maxLength: 20 }), {
      maxKeys: 3,
      noNullPrototype: true,
    }),
    timeDelta: fc.nat(100_000_000),
  }),
  { minLength: 1, maxLength: 20 },
);

const TIME = 1_795_000_000_000;

async function encoded(list: readonly Cell[], firstOffset = 0, more: object = {}): Promise<Buffer> {
  const records = list.map(({ key, value, headers, timeDelta }, offsetDelta) =>
    Record({ offsetDelta, timestampDelta: timeDelta, key, value, headers }),
  );
  const { buffer } = await RecordBatch({
    records,
    firstOffset,
    firstTimestamp: TIME,
    maxTimestamp: TIME + 5,
    lastOffsetDelta: list.length - 1,
    ...more,
  });
  return buffer;
}

const plain = (texts: readonly string[]): Cell[] =>
  texts.map((text) => ({ key: null, value: Buffer.from(text), headers: {}, timeDelta: 0 }));

/** Changes the attributes and what follows the head, and makes the checksum right again. */
function rebuilt(batch: Buffer, attributes: number, body = batch.subarray(61)): Buffer {
  const bytes = Buffer.concat([batch.subarray(0, 61), body]);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeInt16BE(attributes, 21);
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return bytes;
}

const read = (recordSet: Buffer, from = 0) => batchesOf(recordSet).flatMap((batch) => recordsOf(batch, from));

const plainly = (record: LogRecord) => ({
  offset: record.offset,
  value: recordValue(record),
  appendedAtMs: record.appendedAtMs,
});

describe('record batches', () => {
  test('give back every record that another library wrote, with offset, value and time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(cells, { minLength: 1, maxLength: 4 }),
        fc.nat(2 ** 40),
        async (lists, start) => {
          let next = start;
          const buffers: Buffer[] = [];
          const wanted: unknown[] = [];
          for (const list of lists) {
            buffers.push(await encoded(list, next));
            for (const [index, { value, timeDelta }] of list.entries()) {
              wanted.push({ offset: next + index, value, appendedAtMs: TIME + timeDelta });
            }
            next += list.length;
          }
          expect(read(Buffer.concat(buffers)).map(plainly)).toEqual(wanted);
        },
      ),
    );
  });

  test('carry the time of the broker when the topic has it so', async () => {
    const batch = rebuilt(await encoded(plain(['a', 'b'])), 8);
    expect(read(batch).map(({ appendedAtMs }) => appendedAtMs)).toEqual([TIME + 5, TIME + 5]);
  });

  test.each([
    ['gzip', 1, (body: Buffer) => gzipSync(body)],
    ['zstd', 4, (body: Buffer) => zstdCompressSync(body)],
  ])('compressed with %s are read', async (_name, codec, compress) => {
    const batch = await encoded(plain(['one', 'two', 'three']));
    const compressed = rebuilt(batch, codec, compress(batch.subarray(61)));
    expect(read(compressed).map((record) => String(recordValue(record)))).toEqual(['one', 'two', 'three']);
  });

  test('that would unfold without end are refused', async () => {
    const batch = await encoded(plain(['one']));
    const bomb = rebuilt(batch, 4, zstdCompressSync(Buffer.alloc(70 * 1024 ** 2)));
    expect(() => read(bomb)).toThrow(UnreadableBatch);
  });

  test.each([2, 3, 7])('of a codec that is not read are named: %d', async (codec) => {
    const batch = rebuilt(await encoded(plain(['one'])), codec);
    expect(() => read(batch)).toThrow(`codec ${codec}`);
  });

  test('altered by one bit anywhere behind the checksum are refused with their offset', async () => {
    const batch = await encoded(plain(['a value', 'another']), 77);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 21, max: batch.length - 1 }), fc.nat(7), async (at, bit) => {
        const altered = Buffer.from(batch);
        altered[at]! ^= 1 << bit;
        expect(() => read(altered)).toThrow('at offset 77 fails its checksum');
      }),
    );
  });

  test('whose tail was cut off by the size of the answer are left for the next fetch', async () => {
    const first = await encoded(plain(['a']), 0);
    const second = await encoded(plain(['b', 'c']), 1);
    for (let size = first.length; size < first.length + second.length; size += 1) {
      expect(batchesOf(Buffer.concat([first, second]).subarray(0, size))).toHaveLength(1);
    }
  });

  test('never give a record below the offset that was asked for', async () => {
    const batch = await encoded(plain(['a', 'b', 'c', 'd']), 10);
    expect(read(batch, 12).map(({ offset }) => offset)).toEqual([12, 13]);
  });

  test('that lie about the lengths in them are refused, and nothing outside them is read', async () => {
    const batch = await encoded(plain(['a value', 'another']), 5);
    fc.assert(
      fc.property(fc.integer({ min: 61, max: batch.length - 1 }), fc.nat(255), (at, byte) => {
        const body = Buffer.from(batch.subarray(61));
        body[at - 61] = byte;
        const lying = rebuilt(batch, 0, body);
        try {
          for (const record of read(lying)) {
            expect(record.end).toBeLessThanOrEqual(lying.length);
            expect(record.end).toBeGreaterThanOrEqual(record.start);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(UnreadableBatch);
        }
      }),
    );
  });

  test('of a format before Kafka 0.11 are refused', async () => {
    const batch = await encoded(plain(['a']));
    batch[16] = 1;
    expect(() => batchesOf(batch)).toThrow('message format 2');
  });
});

describe('transactions', () => {
  const PRODUCER = 9n;
  const of = async (text: string, offset: number, attributes: number): Promise<Buffer> => {
    const bytes = await encoded(plain([text]), offset, { producerId: 9 });
    return rebuilt(bytes, attributes);
  };

  test('that were given up leave no record, those before and after them do', async () => {
    const set = Buffer.concat([
      await of('kept', 0, 16),
      await of('mark', 1, 16 | 32),
      await of('lost', 2, 16),
      await of('mark', 3, 16 | 32),
      await of('kept', 4, 16),
      await of('plain', 5, 0),
    ]);
    const batches = committedBatches(batchesOf(set), [{ producerId: PRODUCER, firstOffset: 2 }]);
    expect(batches.flatMap((batch) => recordsOf(batch, 0)).map(({ offset }) => offset)).toEqual([0, 4, 5]);
  });
});
