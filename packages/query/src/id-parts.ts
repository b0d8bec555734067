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
  readonly event_id_lag_ms: number;
  /** Hex. */
  readonly event_id_random: string;
  readonly call_id_lag_ms: number;
  /** Hex; null without a call. */
  readonly call_id_random: string | null;
}

export const ID_PARTS = [
  'event_id_lag_ms',
  'lower(hex(event_id_random)) AS event_id_random',
  'call_id_lag_ms',
  'lower(hex(call_id_random)) AS call_id_random',
];

/** Arguments that are the same where call_id is, and null where it is. */
export const CALL_IDENTITY =
  'call_id_random, toUnixTimestamp64Milli(timestamp) - ifNull(latency_ms, 0) + call_id_lag_ms';

/** What else the ids are made of: the event's time in microseconds, and how long its call took. */
export interface IdTimes {
  readonly timestamp: number;
  readonly latency_ms: number | null;
}

/** A row with its ids as UUIDs in place of their parts. */
export function withIds<Row extends IdParts & IdTimes>({
  event_id_lag_ms: eventLag,
  event_id_random: eventRandom,
  call_id_lag_ms: callLag,
  call_id_random: callRandom,
  ...row
}: Row): Omit<Row, keyof IdParts> & { readonly event_id: string; readonly call_id: string | null } {
  const ms = Math.trunc(row.timestamp / 1_000);
  return {
    ...row,
    event_id: uuidOf(ms + eventLag, eventRandom),
    call_id: callRandom === null ? null : uuidOf(ms - (row.latency_ms ?? 0) + callLag, callRandom),
  };
}

function uuidOf(ms: number, random: string): string {
  const time = ms.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-${random.slice(0, 4)}-${random.slice(4, 8)}-${random.slice(8)}`;
}
