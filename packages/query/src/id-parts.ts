/**
 * The ids of an event as the table keeps them (deploy/clickhouse/0001_events.sql), and what they are:
 *
 *     bytes 0..5    milliseconds since 1970, big-endian    kept as their lag behind the event's own time
 *     bytes 6..15   version, variant and random bits       kept as they are
 *
 * The table's own columns event_id and call_id put them together by thirty functions each. ClickHouse plans these for a millisecond
 * and a half, however few rows there are, so for an answer of few rows the parts are asked for and put together here.
 */
export interface IdParts {
  readonly event_id: Parts<string>;
  readonly call_id: Parts<string | null>;
}

/** The lag in milliseconds, and the other bytes in hex: null without a call. */
type Parts<Random> = readonly [lagMs: string, random: Random];

/** In the places of the ids, so that nothing is left over when they are put together. */
export const ID_PARTS = [
  '[toString(event_id_lag_ms), lower(hex(event_id_random))] AS event_id',
  '[toString(call_id_lag_ms), lower(hex(call_id_random))] AS call_id',
];

/** Arguments that are the same where call_id is, and null where it is. */
export const CALL_IDENTITY =
  'call_id_random, toUnixTimestamp64Milli(timestamp) - ifNull(latency_ms, 0) + call_id_lag_ms';

/** What else the ids are made of: the event's time in microseconds, and how long its call took. */
export interface IdTimes {
  readonly timestamp: number;
  readonly latency_ms: number | null;
}

/** The ids of a row as UUIDs. */
export function idsOf({
  event_id: [eventLag, eventRandom],
  call_id: [callLag, callRandom],
  timestamp,
  latency_ms: latencyMs,
}: IdParts & IdTimes): { readonly event_id: string; readonly call_id: string | null } {
  const ms = Math.trunc(timestamp / 1_000);
  return {
    event_id: uuidOf(ms + Number(eventLag), eventRandom),
    call_id: callRandom === null ? null : uuidOf(ms - (latencyMs ?? 0) + Number(callLag), callRandom),
  };
}

function uuidOf(ms: number, random: string): string {
  const time = ms.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-${random.slice(0, 4)}-${random.slice(4, 8)}-${random.slice(8)}`;
}
