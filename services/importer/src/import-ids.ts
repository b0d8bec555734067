import { createHash } from 'node:crypto';
import { uuidV7 } from '@cairn/event';

/** One name for what is told twice: whoever sends again after an answer was lost says the same. Hex. */
export function digestOf(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** UUIDv7 of a time, in microseconds, whose random bits are those of a digest: the same thing has the same id, whoever imports it. */
export function eventIdAt(micros: number, digest: string): Uint8Array {
  return uuidV7(new Uint8Array(Buffer.from(digest.slice(0, 32), 'hex')), micros / 1_000);
}
