import { decodeDatum, hexOf, leafHash } from '@cairn/event';
import { segmentName } from '@cairn/ledger';
import { ANSWER_FIELDS, type FoundEvent } from '@cairn/query';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DEPLOYMENT, Folder, ORIGIN, worldOf } from '../../cli/src/testing/archive-on-disk.ts';
import { readArchive } from './archive-segments.ts';
import { openEvidence } from './evidence.ts';
import { placeFound } from './prove-found.ts';
import { readKeys } from './verify-archive.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const { archive, datums } = worldOf(20, 25);
const FIRST_OF_SECOND = 25;

/** Rows as an answer has them, of the events at these offsets. */
let rows: Map<number, FoundEvent>;
beforeAll(() => {
  rows = new Map();
  for (const [offset, datum] of datums.entries()) {
    const event = decodeDatum(datum) as unknown as Record<string, unknown>;
    const shown = Object.fromEntries(
      ANSWER_FIELDS.map((name) => {
        const value = event[name];
        return [name, value instanceof Uint8Array ? hexOf(value) : (value ?? '')];
      }),
    );
    const [, topic = ''] = ORIGIN.split('/');
    const place = { topic, partition: 0, offset, leaf_hash: null, store: 'archive' };
    rows.set(offset, { ...shown, ...place, received_at: received(offset) } as unknown as FoundEvent);
  }
});

/** When the broker received what stands at an offset: as the archive was made. */
const received = (offset: number): number => 1_795_000_000_000 + offset * 10;

const intact = folder.writeBucket('archive', archive.bucket);

async function place(found: readonly FoundEvent[], isProven = true, where = intact) {
  await using evidence = await openEvidence(where, { endpoint: '', region: '' });
  const { history } = await readKeys(evidence, archive.keys.root.key);
  const segments = await readArchive(evidence, history, undefined);
  return placeFound(evidence, DEPLOYMENT, segments, found, isProven);
}

const some = (): FoundEvent[] => [3, 24, FIRST_OF_SECOND, 59].map((offset) => rows.get(offset)!);

describe('a cold event', () => {
  test('is given the leaf and the leaf hash that the archive has for its bytes', async () => {
    for (const isProven of [false, true]) {
      const { events, segments } = await place(some(), isProven);
      expect(events.map(({ offset, leaf_index, leaf_hash }) => [offset, leaf_index, leaf_hash])).toEqual(
        [3, 24, FIRST_OF_SECOND, 59].map((offset) => [offset, offset, hexOf(leafHash(1, datums[offset]!))]),
      );
      expect(segments).toBe(3);
    }
  });

  test('that came out of ClickHouse stays as it is, and no segment is read for it', async () => {
    const hot = { ...rows.get(3)!, store: 'hot', leaf_hash: 'as the table has it' } as FoundEvent;
    expect(await place([hot])).toEqual({ events: [hot], segments: 0 });
  });

  test.each(ANSWER_FIELDS)('with another value of %s than its bytes have is no answer', async (field) => {
    const row = { ...rows.get(30)!, [field]: 'forged' } as FoundEvent;
    await expect(place([rows.get(3)!, row])).rejects.toMatchObject({
      code: 'answer.unproven',
      message: expect.stringContaining(`its ${field} is not that of leaf 30`),
    });
  });

  test('at an offset, a time or a partition that the archive does not have is no answer', async () => {
    const row = rows.get(30)!;
    for (const other of [{ offset: 1_000 }, { partition: 7 }, { topic: 'audit.events.other' }])
      await expect(place([{ ...row, ...other }], false)).rejects.toMatchObject({ code: 'answer.unproven' });
    await expect(place([{ ...row, received_at: row.received_at + 1 }])).rejects.toMatchObject({
      code: 'answer.unproven',
    });
  });

  test('of a segment whose bytes are not those that were signed is no answer', async () => {
    const name = segmentName(ORIGIN, FIRST_OF_SECOND, 1);
    const bytes = archive.bucket.get(name)!.slice();
    bytes[bytes.length - 30]! ^= 1;
    const altered = folder.writeBucket('altered', new Map([...archive.bucket, [name, bytes]]));
    await expect(place(some(), false, altered)).rejects.toMatchObject({ code: 'archive.broken' });
    // The others are not read.
    expect((await place([rows.get(3)!], true, altered)).segments).toBe(1);
  });
});
