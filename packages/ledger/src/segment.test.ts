import { frame } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Gateway, ORIGIN, recordOf } from '../test/deployment.ts';
import {
  Acceptance,
  hexOfHash,
  type Leaf,
  rangeIn,
  readSegment,
  SegmentWriter,
  type WrittenSegment,
} from './index.ts';
import { BLOCK_ROWS_MAX, headerOf, SEGMENT_LEAVES, STREAM_COST_MAX } from './segment-form.ts';

/** A segment of the datums, and what each leaf was when it was written. */
function written(datums: readonly Uint8Array[], first = 0): { segment: WrittenSegment; leaves: string[] } {
  const acceptance = new Acceptance({ partition: 0, partitions: 1 });
  const writer = new SegmentWriter(ORIGIN, first);
  const leaves: string[] = [];
  for (const [at, datum] of datums.entries()) {
    const accepted = acceptance.accept(recordOf(2 ** 33 + at * 3, datum, 1_795_000_000_000 + at));
    if (accepted.outcome !== 'leaf') throw new Error(accepted.outcome);
    if (!writer.fits(accepted.leaf)) throw new Error('does not fit');
    writer.add(accepted.leaf);
    leaves.push(told(accepted.leaf));
  }
  return { segment: writer.close(), leaves };
}

const told = ({ offset, receivedAtMs, bytes, start, end, hash }: Leaf): string =>
  `${offset} ${receivedAtMs} ${hexOfHash(hash)} ${Buffer.from(bytes.subarray(start, end)).toString('hex')}`;

function read({ range, objects }: WrittenSegment, bytes = objects[0]!.bytes): string[] {
  const leaves: string[] = [];
  readSegment(range, [{ schemaId: 1, bytes }], (leaf) => leaves.push(told(leaf)));
  return leaves;
}

/** What a damaged object gives: the leaves before the damage, and how it is named. */
function damage(segment: WrittenSegment, bytes: Uint8Array): { leaves: string[]; code: string | undefined } {
  const leaves: string[] = [];
  try {
    readSegment(segment.range, [{ schemaId: 1, bytes }], (leaf) => leaves.push(told(leaf)));
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { leaves, code: error.code };
  }
  return { leaves, code: undefined };
}

describe('a segment', () => {
  test('reads back leaf by leaf to what was written, and is the same bytes for the same leaves', () => {
    fc.assert(
      fc.property(fc.nat(300), fc.nat(100_000), (calls, first) => {
        const datums = new Gateway('acme', 'gw-1').stream(calls);
        const { segment, leaves } = written(datums, first);
        expect(read(segment)).toEqual(leaves);
        expect(written(datums, first).segment).toEqual(segment);
        expect(rangeIn(segment.objects[0]!.bytes)).toEqual({
          origin: ORIGIN,
          first,
          end: first + datums.length,
        });
      }),
      { numRuns: 15 },
    );
  });

  test('is cut into blocks, and reads back over their borders', () => {
    const { segment, leaves } = written(new Gateway('acme', 'gw-1').stream(BLOCK_ROWS_MAX + 100));
    expect(read(segment)).toEqual(leaves);
    expect(segment.summary).toMatchObject({
      first: 0,
      end: BLOCK_ROWS_MAX + 102,
      offsets: { first: 2 ** 33 },
    });
  });

  test('with any byte changed is told from the one that was written, or reads back to the same leaves', () => {
    const { segment, leaves } = written(new Gateway('acme', 'gw-1').stream(20));
    const { bytes } = segment.objects[0]!;
    let unnoticed = 0;
    for (let at = 0; at < bytes.length; at += 1) {
      for (const flip of [0x01, 0x80]) {
        const changed = bytes.slice();
        changed[at]! ^= flip;
        const found = damage(segment, changed);
        if (found.code === undefined && found.leaves.join() === leaves.join()) unnoticed += 1;
      }
    }
    // Bits of a zstd frame that mean nothing: only the object's own hash, in the manifest, tells these.
    expect(unnoticed).toBeLessThan(bytes.length / 100);
  });

  test('cut off anywhere, or with anything behind it, is refused', () => {
    const { segment, leaves } = written(new Gateway('acme', 'gw-1').stream(20));
    const { bytes } = segment.objects[0]!;
    for (let length = 0; length < bytes.length; length += 1) {
      const { code, leaves: before } = damage(segment, bytes.subarray(0, length));
      expect(code).toBe('segment.form');
      expect(leaves.slice(0, before.length)).toEqual(before);
    }
    expect(damage(segment, Buffer.concat([bytes, new Uint8Array(1)])).code).toBe('segment.form');
    const header = headerOf(segment.range, 1);
    const twice = Buffer.concat([bytes, bytes.subarray(header.length)]);
    expect(damage(segment, twice)).toMatchObject({ code: expect.stringMatching(/^segment\./) });
  });

  test('never lets an error of another kind out, whatever stands behind its header', () => {
    const { segment } = written(new Gateway('acme', 'gw-1').stream(3));
    const header = headerOf(segment.range, 1);
    const sync = header.subarray(header.length - 16);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (rest) => {
        expect(damage(segment, Buffer.concat([header, rest])).code).toBe('segment.form');
        const block = Buffer.concat([header, new Uint8Array([2, rest.length * 2]), rest, sync]);
        if (rest.length < 64) expect(damage(segment, block).code).toMatch(/^segment\./);
        expect(() => rangeIn(rest)).toThrow('not the segment');
      }),
    );
  });

  test('that claims more than its range holds is refused before it is unpacked', () => {
    const { segment } = written(new Gateway('acme', 'gw-1').stream(3));
    const header = headerOf(segment.range, 1);
    // Nine bytes that claim a block of 2^40 rows.
    const bomb = Buffer.concat([header, Buffer.from('8080808080802010', 'hex'), new Uint8Array(40)]);
    expect(damage(segment, bomb)).toEqual({ code: 'segment.form', leaves: [] });
  });

  test('ends at a multiple of 65,536, whatever fits besides', () => {
    const gateway = new Gateway('acme', 'gw-1');
    const acceptance = new Acceptance({ partition: 0, partitions: 1 });
    const writer = new SegmentWriter(ORIGIN, SEGMENT_LEAVES - 2);
    const fits: boolean[] = [];
    for (const [offset, datum] of gateway.stream(2).entries()) {
      const accepted = acceptance.accept(recordOf(offset, datum, 0));
      if (accepted.outcome !== 'leaf') throw new Error(accepted.outcome);
      fits.push(writer.fits(accepted.leaf));
      if (fits.at(-1) === true) writer.add(accepted.leaf);
    }
    expect(fits).toEqual([true, true, false, false]);
  });

  test('ends before its streams would make a manifest that nobody opens', () => {
    const acceptance = new Acceptance({ partition: 0, partitions: 1 });
    const writer = new SegmentWriter(ORIGIN, 0);
    let streams = 0;
    for (; streams < 5_000; streams += 1) {
      const datum = new Gateway('acme', `gw-${streams}`).record('stream_open');
      const accepted = acceptance.accept(recordOf(streams, datum, 0));
      if (accepted.outcome !== 'leaf') throw new Error(accepted.outcome);
      if (!writer.fits(accepted.leaf)) break;
      writer.add(accepted.leaf);
    }
    expect(streams).toBeGreaterThan(2_000);
    expect(streams).toBeLessThan(STREAM_COST_MAX / 256);
  });
});

describe('acceptance', () => {
  const acceptanceOf = () => new Acceptance({ partition: 0, partitions: 1 });
  const accept = (acceptance: Acceptance, value: Uint8Array | null) =>
    acceptance.accept({
      offset: 1,
      appendedAtMs: 1,
      bytes: value ?? new Uint8Array(),
      start: value === null ? -1 : 0,
      end: value?.length ?? -1,
    });

  test('drops what a producer repeats, and says of everything else what it is', () => {
    const acceptance = acceptanceOf();
    const gateway = new Gateway('acme', 'gw-1');
    const [opening, call, last] = [gateway.record('stream_open'), gateway.record(), gateway.record()];
    const verdict = (datum: Uint8Array): string => {
      const accepted = accept(acceptance, frame(1, datum));
      return accepted.outcome === 'leaf' ? accepted.verdict : accepted.outcome;
    };
    expect([opening, call, opening, call, last].map(verdict)).toEqual([
      'new-epoch',
      'next',
      'duplicate',
      'duplicate',
      'next',
    ]);
    const skipped = new Gateway('acme', 'gw-1');
    for (let count = 0; count < 5; count += 1) skipped.record();
    expect(verdict(skipped.record())).toBe('gap');
  });

  test('names why a record is no event', () => {
    const acceptance = acceptanceOf();
    const datum = new Gateway('acme', 'gw-1').record('stream_open');
    expect(accept(acceptance, null)).toMatchObject({ outcome: 'no-event', reason: 'value.empty' });
    expect(accept(acceptance, new Uint8Array([7, 1, 2, 3, 4, 5, 6]))).toMatchObject({
      reason: 'frame.magic',
    });
    expect(accept(acceptance, new Uint8Array(3))).toMatchObject({ reason: 'frame.short' });
    expect(accept(acceptance, frame(77, datum))).toMatchObject({ reason: 'schema.unknown' });
    expect(accept(acceptance, frame(1, datum.subarray(1)))).toMatchObject({ outcome: 'no-event' });
    const elsewhere = new Acceptance({ partition: 5, partitions: 6 });
    const [here, there] = ['gw-1', 'gw-2'].map((name) =>
      accept(elsewhere, frame(1, new Gateway('acme', name).record('stream_open'))),
    );
    expect([here, there]).toContainEqual(expect.objectContaining({ reason: 'partition.wrong' }));
  });
});
