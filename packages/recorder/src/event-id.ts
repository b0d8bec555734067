import { randomFillSync } from 'node:crypto';
import { uuidV7 } from '@cairn/event';

/** Random bytes are fetched for many ids at once: a fetch costs more than an id. */
const random = new Uint8Array(8_000);
let used = random.length;

/** A new id, a UUIDv7 in network order. Made as bytes, because an event holds it so, and a text of it would have to be read again. */
export function newEventId(nowMs: number): Uint8Array<ArrayBuffer> {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const id = new Uint8Array(16);
  for (let at = 6; at < 16; at += 1) id[at] = random[used++]!;
  return uuidV7(id, nowMs);
}
