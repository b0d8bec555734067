import type { Walked } from '@cairn/event';
import { type HashText, hashAt, isHashAt } from './hash-text.ts';

/** An accepted event as it stands in its log. */
export interface Leaf {
  readonly offset: number;
  /** Broker's append time, milliseconds since 1970. */
  readonly receivedAtMs: number;
  /** Writer's schema. */
  readonly schemaId: number;
  /** Buffer that holds the datum in [start, end), and others beside it; its owner says how long. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly walked: Walked;
  /** Leaf hash. */
  readonly hash: HashText;
  /** `prev_hash`, once somebody has asked where it leads (`isLinkedTo`). */
  prevHash?: HashText | undefined;
}

/** Whether its `prev_hash` is this leaf hash. Several ask it of each leaf, and mostly with the same text. */
export function isLinkedTo(leaf: Leaf, head: HashText): boolean {
  const { prevHash, bytes, walked } = leaf;
  if (prevHash !== undefined) return prevHash === head;
  const isLinked = isHashAt(head, bytes, walked.prevHashAt);
  leaf.prevHash = isLinked ? head : hashAt(bytes, walked.prevHashAt);
  return isLinked;
}
