import { leafHash, walkDatum } from '@cairn/event';
import { streamKey } from '@cairn/ledger';
import { expect, test } from '@jest/globals';
import type { Encoder } from '../src/encoder.ts';
import {
  type Body,
  type EventTable,
  type Gap,
  goTogether,
  type Owner,
  type Place,
} from '../src/event-table.ts';
import { GATEWAY, ORG, streamOf } from './stream.ts';

const TOPIC = 'audit.events.standard';

/** Datums that a fetch brings together, in one buffer that the next fetch writes over. */
const FETCHED = 300;

/** The bodies of rows from an offset on: event after event, as fetches bring them. */
export function bodiesOf(
  encoder: Encoder,
  { topic, partition }: Place,
  datums: readonly Uint8Array[],
  offset: number,
  isLinked: (index: number) => boolean = (index) => index > 0,
): Body[] {
  const rows = encoder.open({ topic, partition });
  for (let from = 0; from < datums.length; from += FETCHED) {
    const fetched = datums.slice(from, from + FETCHED);
    const bytes = Buffer.concat(fetched);
    let end = 0;
    for (const [index, datum] of fetched.entries()) {
      const start = end;
      end += datum.length;
      walkDatum(bytes, 1, start, end, rows.places, rows.placesAt);
      rows.add({
        offset: offset + from + index,
        receivedAtMs: 1_795_000_000_000 + from + index,
        leafHash: Buffer.from(leafHash(1, datum)).toString('latin1'),
        linked: isLinked(from + index),
        schemaId: 1,
        bytes,
        start,
        end,
      });
    }
    rows.settle();
    bytes.fill(0xee);
  }
  return rows.bodies();
}

const gap = (first: number, last: number): Gap => ({
  first,
  last,
  reason: 'log.control',
  field: '',
  detail: '',
  orgId: '',
  gatewayId: '',
  receivedAtMs: 1_795_000_000_000,
  valueSha256: undefined,
});

/**
 * What a table of events promises, whatever it is made of. Each test uses a partition of its own.
 *
 * @param at gives the table, and the encoder whose bodies it takes.
 */
export function holdTableToItsPromises(
  at: () => { readonly table: EventTable; readonly encoder: Encoder },
): void {
  let partitions = 100;
  const begin = async () => {
    const { table, encoder } = at();
    partitions += 1;
    const partition = partitions;
    const owner: Owner = { topic: TOPIC, partition, name: `owner-${partition}` };
    await table.becomeOwner(owner);
    const insert = async (
      datums: readonly Uint8Array[],
      offset: number,
      by: Owner = owner,
      refusal: 'above-highest' | 'one-by-one' = 'above-highest',
    ): Promise<void> => {
      for (const body of bodiesOf(encoder, owner, datums, offset))
        await table.insert([{ owner: by, refusal, body }]);
    };
    return { table, owner, insert };
  };

  test('an empty table holds nothing and is whole', async () => {
    const { table, owner } = await begin();
    expect(await table.held(owner, 0)).toEqual({ highest: -1, whole: true });
    expect(await table.covered(owner, 0)).toEqual([]);
    expect((await table.streams(owner, 0, true)).size).toBe(0);
  });

  test('rows and declared gaps together are what it accounts for', async () => {
    const { table, owner, insert } = await begin();
    const datums = streamOf(6);
    await insert(datums.slice(0, 3), 10);
    await table.insertGaps(owner, [gap(13, 15)]);
    await insert(datums.slice(3), 16);
    expect(await table.held(owner, 10)).toEqual({ highest: 18, whole: true });
    expect(await table.covered(owner, 0)).toEqual([{ first: 10, last: 18 }]);
    expect(await table.covered(owner, 14)).toEqual([{ first: 14, last: 18 }]);
  });

  test.each<[string, number[], [number, number][], number]>([
    ['between rows', [0, 1, 5, 6], [], 0],
    ['before the first row', [4, 5, 6], [], 0],
    ['below a declared gap', [0, 1], [[5, 6]], 0],
    ['before a declared gap, without a row', [], [[3, 4]], 0],
  ])('a hole %s shows', async (_where, offsets, gaps, first) => {
    const { table, owner, insert } = await begin();
    const datums = streamOf(10);
    for (const offset of offsets) await insert([datums[offset] ?? new Uint8Array()], offset);
    await table.insertGaps(
      owner,
      gaps.map(([from, to]) => gap(from, to)),
    );
    expect((await table.held(owner, first)).whole).toBe(false);
  });

  test('rows that the log holds no longer are no hole', async () => {
    const { table, owner, insert } = await begin();
    await insert(streamOf(4), 20);
    expect(await table.held(owner, 20)).toEqual({ highest: 23, whole: true });
    expect(await table.held(owner, 22)).toEqual({ highest: 23, whole: true });
    expect((await table.held(owner, 5)).whole).toBe(false);
  });

  test('an insert above the highest offset passes over what is there', async () => {
    const { table, owner, insert } = await begin();
    const datums = streamOf(5);
    await insert(datums.slice(0, 3), 0);
    await insert(datums.slice(1), 1);
    expect(await table.covered(owner, 0)).toEqual([{ first: 0, last: 4 }]);
    expect(await table.held(owner, 0)).toEqual({ highest: 4, whole: true });
  });

  test('an insert one by one fills holes below and doubles nothing', async () => {
    const { table, owner, insert } = await begin();
    const datums = streamOf(6);
    await insert(datums.slice(4), 4);
    await insert(datums, 0, owner, 'one-by-one');
    expect(await table.held(owner, 0)).toEqual({ highest: 5, whole: true });
  });

  test('an owner that another has followed inserts nothing', async () => {
    const { table, owner, insert } = await begin();
    const datums = streamOf(4);
    await insert(datums.slice(0, 2), 0);
    const next = { ...owner, name: `${owner.name}-next` };
    await table.becomeOwner(next);
    await insert(datums.slice(2), 2);
    expect(await table.held(owner, 0)).toEqual({ highest: 1, whole: true });
    await insert(datums.slice(2), 2, next);
    expect(await table.held(owner, 0)).toEqual({ highest: 3, whole: true });
  });

  test('one insert takes the rows of several partitions, and what one of them may not insert stops no other', async () => {
    const { encoder } = at();
    const datums = streamOf(5);
    const [fresh, partly, followed] = [await begin(), await begin(), await begin()] as const;
    const { table } = fresh;
    await partly.insert(datums.slice(0, 3), 0);
    await followed.insert(datums.slice(0, 2), 0);
    await table.becomeOwner({ ...followed.owner, name: `${followed.owner.name}-next` });
    const insertionsOf = ({ owner }: { owner: Owner }, rows: readonly Uint8Array[], offset: number) =>
      bodiesOf(encoder, owner, rows, offset).map((body) => ({
        owner,
        refusal: 'above-highest' as const,
        body,
      }));
    const insertions = [
      ...insertionsOf(fresh, datums, 0),
      ...insertionsOf(partly, datums.slice(1), 1),
      ...insertionsOf(followed, datums.slice(2), 2),
    ];
    const [first, ...others] = insertions;
    if (others.every((other) => goTogether(first!, other))) await table.insert(insertions);
    else for (const insertion of insertions) await table.insert([insertion]);
    expect(await table.held(fresh.owner, 0)).toEqual({ highest: 4, whole: true });
    expect(await table.held(partly.owner, 0)).toEqual({ highest: 4, whole: true });
    expect(await table.held(followed.owner, 0)).toEqual({ highest: 1, whole: true });
  });

  test('the last row below an offset is found, also behind declared gaps', async () => {
    const { table, owner, insert } = await begin();
    const datums = streamOf(3);
    await insert(datums, 7);
    await table.insertGaps(owner, [gap(10, 20_000)]);
    const leafHashOf = (datum: Uint8Array = new Uint8Array()): string =>
      Buffer.from(leafHash(1, datum)).toString('latin1');
    expect(await table.rowBelow(owner, 9)).toEqual({ offset: 8, leafHash: leafHashOf(datums[1]) });
    for (const offset of [10, 12, 20_001])
      expect(await table.rowBelow(owner, offset)).toEqual({ offset: 9, leafHash: leafHashOf(datums[2]) });
    for (const offset of [0, 7]) expect(await table.rowBelow(owner, offset)).toBeUndefined();
  });

  test('ending the inserts of a partition returns when there are none', async () => {
    const { table, owner } = await begin();
    await table.endInserts(owner);
  });

  test('a gap that is declared twice is one', async () => {
    const { table, owner } = await begin();
    await table.insertGaps(owner, [gap(0, 3)]);
    await table.insertGaps(owner, [gap(0, 3)]);
    expect(await table.held(owner, 0)).toEqual({ highest: 3, whole: true });
    expect(await table.covered(owner, 0)).toEqual([{ first: 0, last: 3 }]);
  });

  test('streams stand where the rows below an offset leave them, with the epochs before', async () => {
    const { table, owner, insert } = await begin();
    const text = (datum: Uint8Array | undefined): string =>
      Buffer.from(leafHash(1, datum ?? new Uint8Array())).toString('latin1');
    const first = streamOf(3);
    const second = streamOf(2, { epoch: 2 });
    await insert([...first, ...second], 0);
    for (const [next, whole] of [
      [5, true],
      [5, false],
    ] as const) {
      const position = (await table.streams(owner, next, whole)).get(streamKey(ORG, GATEWAY));
      expect(position).toMatchObject({ epoch: 2, seq: 1, head: text(second[1]) });
      expect(position?.hashes.at(0)).toBe(text(second[0]));
      expect(position?.earlier).toMatchObject([{ epoch: 1, seq: 2, head: text(first[2]) }]);
    }
    const earlier = (await table.streams(owner, 2, false)).get(streamKey(ORG, GATEWAY));
    expect(earlier).toMatchObject({ epoch: 1, seq: 1, head: text(first[1]) });
  });
}
