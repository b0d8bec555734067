import { randomFillSync } from 'node:crypto';

/*
 * Event id: UUIDv7 (RFC 9562, section 5.7), in network order.
 *
 *   id := time u48be (ms since 1970) | 0111 | random 12 bits | 10 | random 62 bits
 */

/** Random bytes are fetched for many ids at once: a fetch costs more than an id. */
const random = new Uint8Array(8_000);
let used = random.length;

/** A new id. Made as bytes, because an event holds it so, and a text of it would have to be read again. */
export function newEventId(nowMs: number): Uint8Array {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const id = new Uint8Array(16);
  let time = Math.floor(nowMs);
  for (let at = 5; at >= 0; at -= 1) {
    id[at] = time % 256;
    time = Math.floor(time / 256);
  }
  for (let at = 6; at < 16; at += 1) id[at] = random[used++]!;
  id[6] = (id[6]! & 0x0f) | 0x70;
  id[8] = (id[8]! & 0x3f) | 0x80;
  return id;
}
