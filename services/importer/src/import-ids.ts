import { createHash } from 'node:crypto';

/** One name for what is told twice: whoever sends again after an answer was lost says the same. Hex. */
export function digestOf(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** UUIDv7 of a time, in microseconds, whose random bits are those of a digest: the same thing has the same id, whoever imports it. */
export function eventIdAt(micros: number, digest: string): Uint8Array {
  const id = new Uint8Array(Buffer.from(digest.slice(0, 32), 'hex'));
  let ms = Math.max(0, Math.floor(micros / 1_000));
  for (let at = 5; at >= 0; at -= 1) {
    id[at] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  id[6] = (id[6]! & 0x0f) | 0x70;
  id[8] = (id[8]! & 0x3f) | 0x80;
  return id;
}
