import { randomUUIDv7 } from 'node:crypto';
import { hexOf, parseUuid } from '@cairn/event';
import { LRUCache } from 'lru-cache';

/** Which try of which call. */
export interface Attempt {
  readonly callId: Uint8Array;
  /** From 1 on. */
  readonly attempt: number;
}

/** The last attempts of calls that the server interrupted to ask something: by the hash of the state that the client must send back. */
const interrupted = new LRUCache<string, Attempt>({ max: 20_000 });

/** Remembers that the server asked something back; the next attempt with this state belongs to the same call. */
export function rememberInterruption(stateHash: Uint8Array, { callId, attempt }: Attempt): void {
  interrupted.set(hexOf(stateHash), { callId, attempt });
}

/** A call that the server interrupted comes again with another id and the state that the server gave; any other is a first attempt. */
export function attemptOf(stateHash: Uint8Array | undefined): Attempt {
  const known = stateHash && interrupted.get(hexOf(stateHash));
  return known
    ? { callId: known.callId, attempt: known.attempt + 1 }
    : { callId: parseUuid(randomUUIDv7()), attempt: 1 };
}
