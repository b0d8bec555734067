import type { Walked } from '@cairn/event';
import type { HashText } from './hash-text.ts';

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
}
