import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { withIds } from './id-parts.ts';

/** Microseconds, up to the year 2255. */
const time = fc.integer({ min: 0, max: 9_000_000_000_000_000 });
const latency = fc.option(fc.integer({ min: 0, max: 2 ** 31 - 1 }));

/** As ingest splits an id (packages/native/src/table-columns.ts). */
function split(id: string, nearMs: number) {
  const hex = id.replaceAll('-', '');
  return { lag: Number.parseInt(hex.slice(0, 12), 16) - nearMs, random: hex.slice(12) };
}

test('any two ids come back from their parts, however far their time lies from the event’s', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.option(fc.uuid()), time, latency, (event, call, timestamp, latencyMs) => {
      const ms = Math.floor(timestamp / 1_000);
      const [ofEvent, ofCall] = [split(event, ms), call === null ? null : split(call, ms - (latencyMs ?? 0))];
      const row = {
        event_id_lag_ms: ofEvent.lag,
        event_id_random: ofEvent.random,
        call_id_lag_ms: ofCall?.lag ?? 0,
        call_id_random: ofCall?.random ?? null,
        timestamp,
        latency_ms: latencyMs,
        kind: 'tool_call',
      };
      expect(withIds(row)).toEqual({
        event_id: event,
        call_id: call,
        timestamp,
        latency_ms: latencyMs,
        kind: 'tool_call',
      });
    }),
  );
});

test('the example of RFC 9562, A.6, of an event two seconds later', () => {
  expect(
    withIds({
      event_id_lag_ms: -2_000,
      event_id_random: '7cc398c4dc0c0c07398f',
      call_id_lag_ms: 0,
      call_id_random: null,
      timestamp: (0x01_7f_22_e2_79_b0 + 2_000) * 1_000 + 999,
      latency_ms: null,
    }).event_id,
  ).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f');
});
