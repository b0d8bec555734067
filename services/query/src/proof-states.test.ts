import { describe, expect, test } from '@jest/globals';
import type { SeenArchive } from './open-archive.ts';
import { archivedStates, leastOf } from './proof-states.ts';

const ORIGIN = 'd/audit.events.standard/0';
const event = (seq: number, epoch = 1) => ({ org_id: 'acme', gateway_id: 'gw', epoch, seq, timestamp: 50 });

/** Segments with one stream each. */
function seenOf(
  ...ranges: {
    from: number;
    to: number;
    events?: number;
    end: number;
    isDeleted?: boolean;
    org?: string;
    at?: number;
  }[]
) {
  const segments = ranges.map(
    ({ from, to, events = to - from + 1, end, isDeleted = false, org = 'acme', at = 50 }) => ({
      isDeleted,
      manifest: {
        origin: ORIGIN,
        end,
        timestamps: { min: at - 10, max: at + 10 },
        streams: [{ org, gateway: 'gw', epoch: 1, first_seq: from, last_seq: to, events }],
      },
    }),
  );
  const seen = { segments, readAtMs: 7, anchoredTo: new Map([[ORIGIN, 100]]) } as unknown as SeenArchive;
  return { lately: () => seen };
}

describe('how far an event is proven', () => {
  test('is archived where a segment holds its number, and anchored where the anchor log covers the segment', () => {
    const states = archivedStates(seenOf({ from: 0, to: 9, end: 100 }, { from: 10, to: 19, end: 200 }), [
      event(0),
    ]);
    expect([0, 9, 10, 19, 20].map((seq) => states.stateOf(event(seq)))).toEqual([
      'anchored',
      'anchored',
      'archived',
      'archived',
      undefined,
    ]);
    expect([states.stateOf(event(0, 2)), states.asOf]).toEqual([undefined, 7]);
  });

  test.each([
    ['numbers are missing in the segment', { from: 0, to: 9, events: 9, end: 100 }],
    ['the segment was deleted', { from: 0, to: 9, end: 100, isDeleted: true }],
    ['the numbers are another organisation’s', { from: 0, to: 9, end: 100, org: 'globex' }],
    ['the segment is of another time', { from: 0, to: 9, end: 100, at: 500 }],
  ])('is not said to be archived where %s', (_, range) => {
    expect(archivedStates(seenOf(range), [event(5)]).stateOf(event(5))).toBeUndefined();
  });

  test('is not known before the archive was read, and without one', () => {
    for (const archive of [undefined, { lately: () => undefined }])
      expect(archivedStates(archive, [event(0)]).asOf).toBeNull();
  });

  test('of a step is the least of its events, and of none is the least of all', () => {
    expect(leastOf(['anchored', 'signed', 'archived'])).toBe('signed');
    expect(leastOf(['anchored', 'anchored'])).toBe('anchored');
    expect(leastOf([])).toBe('recorded');
  });
});
