/**
 * The steps of the walk: each passes one Avro value without building it, and demands the canonical form, in which a value
 * has exactly one encoding:
 *
 *   - varints are minimal and hold at most 53 significant bits, ints 32;
 *   - an array is one block with a positive count and then 0, or 0 alone; no negative count, no byte size;
 *   - booleans are 0 or 1, strings are well-formed UTF-8 (RFC 3629), floats are numbers;
 *   - union branches and enum symbols exist.
 *
 * A step returns false and leaves the reason in the cursor. Nothing here throws or allocates.
 */
export type WalkReason =
  | 'datum.too-long'
  | 'datum.truncated'
  | 'datum.trailing'
  | 'varint.non-minimal'
  | 'varint.overflow'
  | 'enum.range'
  | 'union.range'
  | 'array.form'
  | 'array.too-many'
  | 'string.too-long'
  | 'string.utf8'
  | 'boolean.range'
  | 'number.nan';

export interface Cursor {
  at: number;
  end: number;
  /** The last varint that was read. */
  value: number;
  reason: WalkReason;
  /** Array items passed so far. */
  items: number;
}

/** What a generated walk of one schema fills in. */
export interface WalkNotes {
  field: string;
  orgStart: number;
  orgEnd: number;
  gatewayStart: number;
  gatewayEnd: number;
  kind: number;
  timestamp: number;
  epoch: number;
  seq: number;
  prevHashAt: number;
  keyIdStart: number;
  keyIdEnd: number;
  signed: boolean;
}

/** Before the first event. */
export function emptyNotes(): WalkNotes {
  return {
    field: '',
    orgStart: 0,
    orgEnd: 0,
    gatewayStart: 0,
    gatewayEnd: 0,
    kind: 0,
    timestamp: 0,
    epoch: 0,
    seq: 0,
    prevHashAt: 0,
    keyIdStart: 0,
    keyIdEnd: 0,
    signed: false,
  };
}

export const STRING_BYTES_MAX = 32_768;
export const ITEMS_MAX = 4_096;

/** A long: sets `value`. Zigzag, at most ten bytes on the wire, less than 2^52 in size. */
export function long(bytes: Uint8Array, cursor: Cursor): boolean {
  const { end } = cursor;
  let { at } = cursor;
  if (at >= end) return fail(cursor, 'datum.truncated');
  let byte = bytes[at++]!;
  if (byte < 0x80) {
    cursor.at = at;
    cursor.value = byte & 1 ? -((byte + 1) >> 1) : byte >> 1;
    return true;
  }
  let low = byte & 0x7f;
  let scale = 128;
  do {
    if (at >= end) return fail(cursor, 'datum.truncated');
    byte = bytes[at++]!;
    // Beyond 2^53 zigzagged, the number no longer fits a double exactly and would be read as its neighbour.
    if (scale > 2 ** 49 || (scale === 2 ** 49 && (byte & 0x7f) > 15)) return fail(cursor, 'varint.overflow');
    low += (byte & 0x7f) * scale;
    scale *= 128;
  } while (byte >= 0x80);
  if (byte === 0) return fail(cursor, 'varint.non-minimal');
  cursor.at = at;
  cursor.value = low % 2 === 1 ? -((low + 1) / 2) : low / 2;
  return true;
}

/** An int: a long within 32 bits. */
export function int(bytes: Uint8Array, cursor: Cursor): boolean {
  if (!long(bytes, cursor)) return false;
  return cursor.value <= 2_147_483_647 && cursor.value >= -2_147_483_648
    ? true
    : fail(cursor, 'varint.overflow');
}

/** Passes fixed bytes. */
export function fixed(cursor: Cursor, size: number): boolean {
  if (cursor.end - cursor.at < size) return fail(cursor, 'datum.truncated');
  cursor.at += size;
  return true;
}

/** Passes a string; after it, the text stands in [at - value, at). */
export function string(bytes: Uint8Array, cursor: Cursor): boolean {
  if (!length(bytes, cursor)) return false;
  const size = cursor.value;
  const stop = cursor.at + size;
  for (let at = cursor.at; at < stop; at += 1) {
    if (bytes[at]! >= 0x80) return multibyte(bytes, cursor, at, stop);
  }
  cursor.at = stop;
  return true;
}

/** Passes opaque bytes. */
export function opaque(bytes: Uint8Array, cursor: Cursor): boolean {
  if (!length(bytes, cursor)) return false;
  cursor.at += cursor.value;
  return true;
}

function length(bytes: Uint8Array, cursor: Cursor): boolean {
  if (!long(bytes, cursor)) return false;
  if (cursor.value < 0 || cursor.value > cursor.end - cursor.at) return fail(cursor, 'datum.truncated');
  return true;
}

/** The rest of a string from its first byte beyond ASCII on; the table of RFC 3629, section 4. */
function multibyte(bytes: Uint8Array, cursor: Cursor, from: number, stop: number): boolean {
  let at = from;
  while (at < stop) {
    const lead = bytes[at++]!;
    if (lead < 0x80) continue;
    let more: number;
    let low = 0x80;
    let high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) more = 1;
    else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead === 0xe0) low = 0xa0;
      else if (lead === 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead === 0xf0) low = 0x90;
      else if (lead === 0xf4) high = 0x8f;
    } else return fail(cursor, 'string.utf8');
    if (at + more > stop) return fail(cursor, 'string.utf8');
    const second = bytes[at++]!;
    if (second < low || second > high) return fail(cursor, 'string.utf8');
    for (let left = more - 1; left > 0; left -= 1) {
      if ((bytes[at++]! & 0xc0) !== 0x80) return fail(cursor, 'string.utf8');
    }
  }
  cursor.at = stop;
  return true;
}

/** A string of the event: bounded, so that one field cannot fill a datum. */
export function boundedString(bytes: Uint8Array, cursor: Cursor): boolean {
  if (!string(bytes, cursor)) return false;
  return cursor.value <= STRING_BYTES_MAX ? true : fail(cursor, 'string.too-long');
}

/** An enum: sets `value` to the symbol's index. */
export function symbol(bytes: Uint8Array, cursor: Cursor, count: number): boolean {
  if (!long(bytes, cursor)) return false;
  return cursor.value >= 0 && cursor.value < count ? true : fail(cursor, 'enum.range');
}

/** A union's index: sets `value`. */
export function branch(bytes: Uint8Array, cursor: Cursor, count: number): boolean {
  if (!long(bytes, cursor)) return false;
  return cursor.value >= 0 && cursor.value < count ? true : fail(cursor, 'union.range');
}

export function boolean(bytes: Uint8Array, cursor: Cursor): boolean {
  if (cursor.at >= cursor.end) return fail(cursor, 'datum.truncated');
  return bytes[cursor.at++]! <= 1 ? true : fail(cursor, 'boolean.range');
}

/** The count of an array's only block: sets `value`, 0 when the array is empty. */
export function arrayStart(bytes: Uint8Array, cursor: Cursor): boolean {
  if (!long(bytes, cursor)) return false;
  if (cursor.value < 0) return fail(cursor, 'array.form');
  // Every item takes a byte, so a count beyond what is left is a bomb and not an array.
  if (cursor.value > cursor.end - cursor.at) return fail(cursor, 'datum.truncated');
  cursor.items += cursor.value;
  return cursor.items <= ITEMS_MAX ? true : fail(cursor, 'array.too-many');
}

/** The 0 behind an array's block. */
export function arrayEnd(bytes: Uint8Array, cursor: Cursor): boolean {
  if (cursor.at >= cursor.end) return fail(cursor, 'datum.truncated');
  return bytes[cursor.at++] === 0 ? true : fail(cursor, 'array.form');
}

export function float(bytes: Uint8Array, cursor: Cursor): boolean {
  if (!fixed(cursor, 4)) return false;
  const at = cursor.at;
  const nan = (bytes[at - 1]! & 0x7f) === 0x7f && bytes[at - 2]! >= 0x80;
  const zero = ((bytes[at - 2]! & 0x7f) | bytes[at - 3]! | bytes[at - 4]!) === 0;
  return nan && !zero ? fail(cursor, 'number.nan') : true;
}

function fail(cursor: Cursor, reason: WalkReason): false {
  cursor.reason = reason;
  return false;
}
