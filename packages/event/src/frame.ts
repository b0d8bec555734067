/**
 * A frame is a datum as it travels on Kafka, in Confluent wire format, so that registries, Connect, Kafka UIs and
 * ClickHouse's AvroConfluent read the topic:
 *
 *     offset  0      1                 5
 *             0x00 | schema id, u32 BE | datum …
 */
export function frame(schemaId: number, datum: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(5 + datum.length);
  bytes[1] = schemaId >>> 24;
  bytes[2] = schemaId >>> 16;
  bytes[3] = schemaId >>> 8;
  bytes[4] = schemaId;
  bytes.set(datum, 5);
  return bytes;
}

export type FrameReason = 'value.empty' | 'frame.short' | 'frame.magic';

export type Unframed =
  | { readonly ok: true; readonly schemaId: number; readonly datum: Uint8Array }
  | { readonly ok: false; readonly reason: FrameReason };

/** Takes a record's value apart. The datum is a view on the value, not a copy; it has not been walked. */
export function unframe(value: Uint8Array | null): Unframed {
  if (value === null || value.length === 0) return { ok: false, reason: 'value.empty' };
  if (value[0] !== 0) return { ok: false, reason: 'frame.magic' };
  if (value.length < 6) return { ok: false, reason: 'frame.short' };
  const schemaId = ((value[1]! << 24) | (value[2]! << 16) | (value[3]! << 8) | value[4]!) >>> 0;
  return { ok: true, schemaId, datum: value.subarray(5) };
}

/** Bytes of a frame before its datum. */
export const FRAME_HEAD_BYTES = 5;

/** Schema id of the frame in [start, end), without a view on it; -1 when it is none, and `unframe` says why. */
export function framedIdAt(bytes: Uint8Array, start: number, end: number): number {
  if (end - start <= FRAME_HEAD_BYTES || bytes[start] !== 0) return -1;
  return (
    ((bytes[start + 1]! << 24) | (bytes[start + 2]! << 16) | (bytes[start + 3]! << 8) | bytes[start + 4]!) >>>
    0
  );
}
