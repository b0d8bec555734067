/** Where the varint that was read last ended. */
export const varintEnd = { at: 0 };

/** A varint, not yet un-zigzagged: twice the number, or one less than twice its negative. Sets `varintEnd`. */
export function readVarint(bytes: Uint8Array, from: number): number {
  let at = from;
  let byte = bytes[at++]!;
  let value = byte & 127;
  for (let scale = 128; byte > 127; scale *= 128) {
    byte = bytes[at++]!;
    value += (byte & 127) * scale;
  }
  varintEnd.at = at;
  return value;
}
