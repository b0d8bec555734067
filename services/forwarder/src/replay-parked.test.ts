import { ParkedRecords } from '@cairn/adapters';
import { realClock } from '@cairn/runtime';
import { expect, test } from '@jest/globals';
import { frameOf, PLACE } from '../test/items.ts';
import { replayParked } from './replay-parked.ts';

const parked = (offset: number, value: Uint8Array) => ({
  destination: 'siem',
  ...PLACE,
  offset,
  appendedAtMs: 1,
  eventId: String(offset),
  value,
  reason: '400 no',
});

test('a parked record that this release cannot read is sent nowhere and stays parked', async () => {
  using store = new ParkedRecords(':memory:');
  // The second names a schema that is none of ours.
  const foreign = Uint8Array.from(frameOf(1));
  foreign[1] = 0x7f;
  store.park([parked(0, frameOf(0)), parked(1, foreign)], 1);
  store.replay('siem', 'someone');
  const told = Promise.withResolvers<object>();
  const sent: number[] = [];
  await using _ = replayParked({
    name: 'siem',
    store,
    clock: realClock,
    filter: {},
    limits: { itemsMax: 10, bytesMax: 1_000_000 },
    parking: store,
    format: () => '{}',
    releasedIdOf: (id) => (id < 1_000 ? id : undefined),
    nowMs: Date.now,
    lane: {
      state: 'active',
      async deliver(items) {
        sent.push(...items.map(({ offset }) => offset));
        return [];
      },
    },
    onParked: async () => {},
    onReplayed: async (replayed) => told.resolve(replayed),
    onTrouble: (error) => told.reject(error),
  });
  expect(await told.promise).toEqual({ taken: 1, parked: 1, by: ['someone'] });
  expect(sent).toEqual([0]);
  expect(store.list({ most: 10 })).toMatchObject([{ offset: 1, state: 'parked', refusals: 2 }]);
  expect(store.due('siem', 10)).toEqual([]);
});
