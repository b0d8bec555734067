/**
 * Makes 16 bytes the UUIDv7 of a time, in place (RFC 9562, section 5.7):
 *
 *   id := time u48be (ms since 1970) | 0111 | 12 bits | 10 | 62 bits
 *
 * @param id its last ten bytes are kept, but for the version and the variant: chance, or a hash of what the id is of.
 */
export function uuidV7(id: Uint8Array<ArrayBuffer>, ms: number): Uint8Array<ArrayBuffer> {
  let time = Math.max(0, Math.floor(ms));
  for (let at = 5; at >= 0; at -= 1) {
    id[at] = time % 256;
    time = Math.floor(time / 256);
  }
  return marked(id, 0x70);
}

/** Makes 16 bytes a UUIDv8, in place (RFC 9562, section 5.8): all of them are kept, but for the version and the variant. */
export const uuidV8 = (id: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => marked(id, 0x80);

function marked(id: Uint8Array<ArrayBuffer>, version: number): Uint8Array<ArrayBuffer> {
  id[6] = (id[6]! & 0x0f) | version;
  id[8] = (id[8]! & 0x3f) | 0x80;
  return id;
}
