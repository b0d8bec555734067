/**
 * The steps of the skim: the walk of a datum in its plainest form, in which nearly every datum comes. Each returns the
 * place behind a value, or -1 when the value is of any other form, right or wrong; then the walk decides.
 */

/** The number that was passed last. */
export let skimmed = 0;

/** A long that is not negative. */
export function plainLong(bytes: Uint8Array, at: number): number {
  let byte = bytes[at++]!;
  if (byte < 0x80) {
    skimmed = byte >> 1;
    return (byte & 1) === 0 ? at : -1;
  }
  // Two halves of 28 bits, as bit operations know only 32.
  let low = byte & 0x7f;
  for (let shift = 7; shift < 28; shift += 7) {
    byte = bytes[at++]!;
    low |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      skimmed = low >> 1;
      return byte === 0 || (low & 1) === 1 ? -1 : at;
    }
  }
  let high = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    byte = bytes[at++]!;
    high |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      skimmed = high * 0x8000000 + (low >> 1);
      return byte === 0 || (low & 1) === 1 || high >= 0x2000000 ? -1 : at;
    }
  }
  return -1;
}

/** An int that is not negative and less than 2^27. */
export function plainInt(bytes: Uint8Array, at: number): number {
  const to = plainLong(bytes, at);
  return skimmed < 0x8000000 ? to : -1;
}

/** Bytes that are read four at a time: a DataView, or what a test looks through. */
export type Words = Pick<DataView, 'getInt8' | 'getInt32'>;

/** Whether all bytes of [from, to) are ASCII; no other byte is read. */
export function isAscii(view: Words, from: number, to: number): boolean {
  const last = to - 8;
  if (last < from) return isAsciiShort(view, from, to);
  let bits = view.getInt32(last) | view.getInt32(last + 4);
  for (let at = from; at < last; at += 8) bits |= view.getInt32(at) | view.getInt32(at + 4);
  return (bits & 0x80808080) === 0;
}

/** Fewer than eight bytes. */
function isAsciiShort(view: Words, from: number, to: number): boolean {
  if (to - from >= 4) return ((view.getInt32(from) | view.getInt32(to - 4)) & 0x80808080) === 0;
  let bits = 0;
  for (let at = from; at < to; at += 1) bits |= view.getInt8(at);
  return bits >= 0;
}
