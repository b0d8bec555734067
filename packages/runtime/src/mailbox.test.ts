import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Clock, realClock } from './clock.ts';
import { type LogBatch, type LogRecord, recordOf, recordValue } from './log-record.ts';
import { type Chunk, Mailbox } from './mailbox.ts';
import { type KeptRecords, Pages, Shelf } from './pages.ts';

const LIMITS = { recordsMax: 7, bytesMax: 1_000, ageMsMax: 0 };
const never = new AbortController().signal;

const record = (offset: number, size = 10): LogRecord =>
  recordOf(offset, new Uint8Array(size), 1_000 + offset);

/** A log as fetches bring it: batches whose offsets go up, with holes inside and between records. */
const logs: fc.Arbitrary<LogBatch[]> = fc
  .array(
    fc.record({
      // For each offset of the batch: a size, or undefined where the log holds no record.
      cells: fc.array(fc.option(fc.nat(600), { nil: undefined, freq: 4 }), { minLength: 1, maxLength: 15 }),
    }),
    { maxLength: 12 },
  )
  .map((batches) => {
    let next = 0;
    return batches.map(({ cells }) => {
      const first = next;
      next += cells.length;
      const records = cells.flatMap((size, index) =>
        size === undefined ? [] : [record(first + index, size)],
      );
      return { first, last: next - 1, records, highWatermark: next };
    });
  });

const copyOf = (record: LogRecord): LogRecord =>
  recordOf(record.offset, recordValue(record)?.slice() ?? null, record.appendedAtMs);

/** Chunks of records that are kept as they came. */
function keeping(): { readonly gather: () => KeptRecords } {
  const shelf = new Shelf(new Pages(0));
  return { gather: () => shelf.gather() };
}

interface Drained extends Omit<Chunk, 'gathered'> {
  readonly records: readonly LogRecord[];
}

async function next(mailbox: Mailbox<KeptRecords>): Promise<Chunk<KeptRecords> | undefined> {
  return (await mailbox.due(never)) ? mailbox.take() : undefined;
}

async function drain(mailbox: Mailbox<KeptRecords>): Promise<Drained[]> {
  const chunks: Drained[] = [];
  while (!mailbox.isEmpty) {
    const chunk = await next(mailbox);
    if (chunk === undefined) break;
    const { gathered, ...rest } = chunk;
    // Released, a chunk has no records any more, and their bytes are written over.
    chunks.push({ ...rest, records: gathered.records.map(copyOf) });
    expect(rest.count).toBe(gathered.records.length);
    gathered.release();
    mailbox.letGo(chunk);
  }
  return chunks;
}

describe('a mailbox', () => {
  const fetched = (first: number, last: number, highWatermark = last + 1): LogBatch => ({
    first,
    last,
    records: Array.from({ length: last - first + 1 }, (_, index) => record(first + index)),
    highWatermark,
  });

  test('takes no offsets that were passed over for holes: whoever waits for a chunk fails', async () => {
    const mailbox = new Mailbox<KeptRecords>({ ...LIMITS, ageMsMax: 60_000 }, () => false, realClock);
    mailbox.restart(0, keeping());
    mailbox.put(fetched(0, 2));
    mailbox.put(fetched(5, 6));
    await expect(next(mailbox)).rejects.toMatchObject({ code: 'log.moved' });
    mailbox.restart(3, keeping());
    mailbox.put(fetched(3, 9));
    expect((await next(mailbox))?.holes).toEqual([]);
  });

  test('a log that ends before the position is noticed', async () => {
    const mailbox = new Mailbox<KeptRecords>({ ...LIMITS, ageMsMax: 60_000 }, () => false, realClock);
    mailbox.restart(10, keeping());
    mailbox.put(fetched(0, 3));
    await expect(next(mailbox)).rejects.toMatchObject({ code: 'log.moved' });
  });

  test('cuts what arrives into chunks that cover every offset once, as a record or as a hole', async () => {
    await fc.assert(
      fc.asyncProperty(logs, fc.boolean(), async (batches, atOnce) => {
        const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
        mailbox.restart(0, keeping());
        const chunks: Drained[] = [];
        for (const batch of batches) {
          mailbox.put(batch);
          if (!atOnce) chunks.push(...(await drain(mailbox)));
        }
        chunks.push(...(await drain(mailbox)));

        let next = 0;
        for (const chunk of chunks) {
          expect(chunk.first).toBe(next);
          const held = chunk.records.map(({ offset }) => offset);
          const missing = chunk.holes.flatMap(({ first, last }) =>
            Array.from({ length: last - first + 1 }, (_, index) => first + index),
          );
          const covered = [...held, ...missing].toSorted((left, right) => left - right);
          expect(covered).toEqual(
            Array.from({ length: chunk.last - chunk.first + 1 }, (_, index) => chunk.first + index),
          );
          expect(chunk.records.length).toBeLessThanOrEqual(LIMITS.recordsMax);
          next = chunk.last + 1;
        }
        const records = batches.flatMap((batch) => batch.records);
        expect(chunks.flatMap((chunk) => chunk.records)).toEqual(records.map(copyOf));
        expect(mailbox.bytesHeld).toBe(0);
      }),
    );
  });

  test('never puts two records into one chunk that must not meet', async () => {
    const mailbox = new Mailbox<KeptRecords>(
      LIMITS,
      (left, right) => Math.floor((left - 1_000) / 3) !== Math.floor((right - 1_000) / 3),
      realClock,
    );
    mailbox.restart(0, keeping());
    mailbox.put({
      first: 0,
      last: 7,
      records: Array.from({ length: 8 }, (_, at) => record(at)),
      highWatermark: 8,
    });
    const chunks = await drain(mailbox);
    expect(chunks.map(({ first, last }) => [first, last])).toEqual([
      [0, 2],
      [3, 5],
      [6, 7],
    ]);
  });

  test('ignores a batch that was fetched before it began again', async () => {
    const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
    mailbox.restart(0, keeping());
    mailbox.put({ first: 0, last: 1, records: [record(0), record(1)], highWatermark: 4 });
    mailbox.restart(2, keeping());
    mailbox.put({ first: 0, last: 1, records: [record(0), record(1)], highWatermark: 4 });
    mailbox.put({ first: 0, last: 3, records: [0, 1, 2, 3].map((at) => record(at)), highWatermark: 4 });
    const [chunk] = await drain(mailbox);
    expect(chunk?.records.map(({ offset }) => offset)).toEqual([2, 3]);
    expect(chunk?.first).toBe(2);
  });

  test('counts what a chunk holds until it was let go, and leaves it to whoever took it', async () => {
    const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
    mailbox.restart(0, keeping());
    mailbox.put({ first: 0, last: 1, records: [record(0, 500), record(1, 500)], highWatermark: 2 });
    const held = mailbox.bytesHeld;
    expect(held).toBeGreaterThan(1_000);
    const chunk = await next(mailbox);
    expect(mailbox.bytesHeld).toBe(held);
    mailbox.letGo(chunk!);
    mailbox.letGo(chunk!);
    expect(mailbox.bytesHeld).toBe(held / 2);
    expect(chunk?.gathered.records).toHaveLength(1);
    chunk?.gathered.release();
    expect(chunk?.gathered.records).toEqual([]);
  });

  test('cuts smaller chunks up to an offset to which whoever loads them wants fewer records', async () => {
    const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
    mailbox.restart(0, { ...keeping(), fewer: (first) => (first < 4 ? 2 : undefined) });
    const records = Array.from({ length: 8 }, (_, at) => record(at));
    mailbox.put({ first: 0, last: 7, records, highWatermark: 8 });
    const taken = async (): Promise<number> => (await next(mailbox))?.count ?? 0;
    expect([await taken(), await taken()]).toEqual([2, 2]);
    expect(await taken()).toBe(4);
  });

  test('waits for a whole chunk, however old its records are, while the log holds an eighth of one more', async () => {
    const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
    mailbox.restart(0, keeping());
    mailbox.put({ first: 0, last: 0, records: [record(0)], highWatermark: 100 });
    const taken = next(mailbox);
    expect(await Promise.race([taken, new Promise((resolve) => setTimeout(resolve, 30, 'waits'))])).toBe(
      'waits',
    );
    const more = Array.from({ length: 6 }, (_, at) => record(1 + at));
    mailbox.put({ first: 1, last: 6, records: more, highWatermark: 100 });
    expect((await taken)?.gathered.records).toHaveLength(7);
  });

  test('lets a record wait for company until the next multiple of the age, which all partitions share', async () => {
    let nowMs = 0;
    const waits: number[] = [];
    const clock: Clock = {
      ...realClock,
      nowMs: () => nowMs,
      after(ms, act) {
        waits.push(ms);
        nowMs += ms;
        queueMicrotask(act);
        return () => {};
      },
    };
    for (const [begunAtMs, waitMs] of [
      [60, 30],
      [61, 29],
      [89.5, 0.5],
    ] as const) {
      const mailbox = new Mailbox<KeptRecords>({ ...LIMITS, ageMsMax: 30 }, () => false, clock);
      mailbox.restart(0, keeping());
      nowMs = begunAtMs;
      mailbox.put({ first: 0, last: 0, records: [record(0)], highWatermark: 1 });
      expect((await next(mailbox))?.gathered.records).toHaveLength(1);
      expect(waits.splice(0)).toEqual([waitMs]);
      expect(nowMs).toBe(90);
    }
  });

  test('what comes after a chunk is due and before it is taken goes with it', async () => {
    const mailbox = new Mailbox<KeptRecords>({ ...LIMITS, bytesMax: 10_000 }, () => false, realClock);
    mailbox.restart(0, keeping());
    mailbox.put(fetched(0, 2));
    expect(await mailbox.due(never)).toBe(true);
    mailbox.put(fetched(3, 8));
    const chunk = mailbox.take();
    expect(chunk).toMatchObject({ first: 0, last: 6, count: 7, behind: 2 });
    expect(mailbox.take()).toMatchObject({ first: 7, last: 8, count: 2, behind: 0 });
  });

  test('a chunk that was due is not taken after something went wrong', async () => {
    const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
    mailbox.restart(0, keeping());
    mailbox.put(fetched(0, 2));
    expect(await mailbox.due(never)).toBe(true);
    mailbox.put(fetched(5, 6));
    expect(() => mailbox.take()).toThrow('offset 3 was asked for');
  });

  test('hands on what whoever gathers throws, and takes nothing in until it begins anew', async () => {
    const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
    const { gather } = keeping();
    const refusing = (): KeptRecords => ({
      ...gather(),
      add() {
        throw new Error('not this log');
      },
    });
    mailbox.restart(0, { gather: refusing });
    mailbox.put(fetched(0, 2));
    mailbox.put(fetched(3, 4));
    await expect(next(mailbox)).rejects.toThrow('not this log');
    mailbox.restart(0, { gather });
    mailbox.put(fetched(0, 2));
    expect((await next(mailbox))?.count).toBe(3);
  });

  test('gives nothing once it is over', async () => {
    const over = new AbortController();
    const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
    mailbox.restart(0, keeping());
    const taken = mailbox.due(over.signal);
    over.abort();
    expect(await taken).toBe(false);
  });

  test('that is told to fail fails whoever takes the next chunk, and begins anew after that', async () => {
    const mailbox = new Mailbox<KeptRecords>(LIMITS, () => false, realClock);
    mailbox.restart(0, keeping());
    const taken = next(mailbox);
    mailbox.fail(new Error('look again'));
    await expect(taken).rejects.toThrow('look again');
    mailbox.restart(0, keeping());
    mailbox.put({ first: 0, last: 0, records: [record(0)], highWatermark: 1 });
    expect((await next(mailbox))?.gathered.records).toHaveLength(1);
  });
});
