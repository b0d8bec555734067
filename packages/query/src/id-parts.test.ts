import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { idsOf } from './id-parts.ts';

/** Microseconds, up to the year 2255. */
const time = fc.integer({ min: 0, max: 9_000_000_000_000_000 });
const latency = fc.option(fc.integer({ min: 0, max: 2 ** 31 - 1 }));

/** As ingest splits an id (packages/native/src/table-columns.ts). */
function split(id: string, nearMs: number): [string, string] {
  const hex = id.replaceAll('-', '');
  return [String(Number.parseInt(hex.slice(0, 12), 16) - nearMs), hex.slice(12)];
}

test('any two ids come back from their parts, however far their time lies from the event’s', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.option(fc.uuid()), time, latency, (event, call, timestamp, latencyMs) => {
      const ms = Math.floor(timestamp / 1_000);
      expect(
        idsOf({
          event_id: split(event, ms),
          call_id: call === null ? ['0', null] : split(call, ms - (latencyMs ?? 0)),
          timestamp,
          latency_ms: latencyMs,
        }),
      ).toEqual({ event_id: event, call_id: call });
    }),
  );
});

test('the example of RFC 9562, A.6, of an event two seconds later', () => {
  expect(
    idsOf({
      event_id: ['-2000', '7cc398c4dc0c0c07398f'],
      call_id: ['0', null],
      timestamp: (0x01_7f_22_e2_79_b0 + 2_000) * 1_000 + 999,
      latency_ms: null,
    }).event_id,
  ).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f');
});
