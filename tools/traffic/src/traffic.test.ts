import { decodeDatum, leafHash, walkDatum } from '@cairn/event';
import { placeInStream, type StreamPosition } from '@cairn/ledger';
import { describe, expect, test } from '@jest/globals';
import { streamsOf } from './index.ts';

const take = (count: number, seed = 1) =>
  streamsOf({ seed, gateways: 3, eventsPerSecond: 50 }).take(count).toArray();

describe('generated traffic', () => {
  test('is the same for the same seed and another for another', () => {
    expect(take(300)).toEqual(take(300));
    expect(take(300)).not.toEqual(take(300, 2));
  });

  test('goes on at another pace from a given event of each gateway on', () => {
    const later = { after: 1_000, eventsPerSecond: 5_000 };
    const events = streamsOf({ seed: 1, gateways: 2, eventsPerSecond: 50, later }).take(4_000).toArray();
    for (const name of ['gw-000', 'gw-001']) {
      const times = events
        .filter(({ gateway }) => gateway === name)
        .map(({ datum }) => decodeDatum(datum).timestamp);
      const secondsOf = (from: number, to: number): number => (times[to]! - times[from]!) / 1e6;
      expect(secondsOf(0, 999)).toBeGreaterThan(15);
      expect(secondsOf(1_000, 1_999)).toBeLessThan(0.5);
    }
  });

  test('is made of whole streams: every event is linked to the one before', () => {
    const positions = new Map<string, StreamPosition>();
    for (const { gateway, datum } of take(3_000)) {
      const walked = walkDatum(datum, 1);
      if (!walked.ok) throw new Error(walked.reason);
      const { verdict, position } = placeInStream(positions.get(gateway), {
        epoch: walked.epoch,
        seq: walked.seq,
        hash: Buffer.from(leafHash(1, datum)).toString('hex'),
        prevHash: Buffer.from(datum.subarray(walked.prevHashAt, walked.prevHashAt + 32)).toString('hex'),
      });
      expect(verdict).toBe(walked.seq === 0 ? 'new-epoch' : 'next');
      positions.set(gateway, position);
    }
  });

  test('has sessions of several calls, decisions before their outcomes, denials, errors and seals', () => {
    const events = take(20_000).map(({ datum }) => decodeDatum(datum));
    const calls = Map.groupBy(
      events.filter(({ call_id }) => call_id !== null),
      ({ call_id }) => Buffer.from(call_id ?? []).toString('hex'),
    );
    const pairs = [...calls.values()].filter((pair) => pair.length === 2);
    expect(pairs.length).toBeGreaterThan(8_000);
    for (const [decision, outcome] of pairs) {
      expect([decision?.phase, outcome?.phase]).toEqual(['decision', 'outcome']);
    }
    const sessions = Map.groupBy(events, ({ session_id }) => session_id);
    expect(events.length / sessions.size).toBeGreaterThan(10);
    for (const status of ['success', 'failure', 'denied', 'timeout'] as const) {
      expect(events.some(({ result_status }) => result_status === status)).toBe(true);
    }
    expect(events.some(({ kind }) => kind === 'seal')).toBe(true);
  });
});
