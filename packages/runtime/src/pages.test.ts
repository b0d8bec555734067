import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type LogRecord, recordOf, recordValue } from './log-record.ts';
import { Pages, Shelf } from './pages.ts';

/** Values of one fetch, in one buffer with other bytes between them, as record batches have them. */
function fetched(from: number, sizes: readonly (number | undefined)[]): LogRecord[] {
  const set = new Uint8Array(sizes.reduce<number>((sum, size) => sum + (size ?? 0) + 9, 0));
  let at = 0;
  return sizes.map((size, index) => {
    const offset = from + index;
    if (size === undefined) return recordOf(offset, null, 1);
    at += 9;
    set.fill(1 + (offset % 250), at, at + size);
    at += size;
    return { offset, appendedAtMs: 1, bytes: set, start: at - size, end: at };
  });
}

const isWhole = (record: LogRecord, size: number | undefined): boolean => {
  const value = recordValue(record);
  if (size === undefined || value === null) return size === undefined && value === null;
  return value.length === size && value.every((byte) => byte === 1 + (record.offset % 250));
};

const size = fc.option(fc.oneof(fc.nat(2_000), fc.nat(300_000)), { nil: undefined, freq: 5 });

describe('records on pages', () => {
  test('keep their bytes until they are released, whatever comes after them and whoever else writes', () => {
    const step = fc.record({
      shelf: fc.nat(1),
      sizes: fc.array(size, { maxLength: 12 }),
      release: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const pages = new Pages(1 << 20);
        const shelves = [new Shelf(pages), new Shelf(pages)];
        const held: { record: LogRecord; size: number | undefined }[][] = [[], []];
        let next = 0;
        for (const { shelf, sizes, release } of steps) {
          const records = fetched(next, sizes);
          next += sizes.length;
          const kept = shelves[shelf]!.keep(records);
          expect(kept.map(({ offset }) => offset)).toEqual(records.map(({ offset }) => offset));
          // What was fetched may be written over at once.
          for (const { bytes } of records) bytes.fill(0);
          kept.forEach((record, index) => void held[shelf]!.push({ record, size: sizes[index] }));
          shelves[shelf]!.release(held[shelf]!.splice(0, release).map(({ record }) => record));
          for (const { record, size: wanted } of held.flat()) expect(isWhole(record, wanted)).toBe(true);
        }
      }),
    );
  });

  test('leave room before each value that may be borrowed', () => {
    const [record] = new Shelf(new Pages(0)).keep([recordOf(7, new Uint8Array(3), 1)]);
    expect(record?.start).toBeGreaterThanOrEqual(11);
  });

  test('are written over the pages of released ones: memory does not grow with what passed through', () => {
    const shelf = new Shelf(new Pages(8 << 20));
    const seen = new Set<Uint8Array>();
    for (let round = 0; round < 200; round += 1) {
      const kept = shelf.keep(fetched(round * 1_000, new Array<number>(1_000).fill(600)));
      for (const { bytes } of kept) seen.add(bytes);
      shelf.release(kept);
    }
    expect(seen.size).toBeLessThanOrEqual(4);
  });
});
