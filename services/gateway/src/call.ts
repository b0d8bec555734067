// A call as all who have a hand in it know it: how it came, while it is open, and how it ended.
import type { Caller } from './identity.ts';
import type { Message } from './read-message.ts';

/** A message of a client, on any transport. */
export interface Inbound {
  readonly caller: Caller;
  /** Name of the upstream. */
  readonly service: string;
  readonly message: Message;
  readonly sizeBytes: number;
  readonly startedAtMs: number;
  readonly version: string | undefined;
  readonly mcpSessionId: string | undefined;
  readonly baggage: string | undefined;
  readonly traceparent: string | undefined;
  readonly sourceIp: string;
  /** What the client said of itself when it began; a claim, recorded as one. */
  readonly client: { readonly name: string; readonly version: string } | undefined;
}

export function sinceMs({ startedAtMs }: Pick<Inbound, 'startedAtMs'>): number {
  return Math.round(performance.now() - startedAtMs);
}

/** A call that may go on to the upstream. */
export interface OpenCall {
  readonly id: string | number;
  readonly method: string;
  readonly timeoutMs: number;
  /** True once its end is recorded or being recorded. */
  readonly closed: boolean;
  /**
   * Records how the call ended; the answer may go to the client when this has resolved. Only the first call counts.
   * Rejects when the event could not be recorded: then the answer must be withheld.
   */
  close(outcome: Outcome): Promise<void>;
  /** Id of the event that a message to the client may name. */
  readonly eventId: string;
}

/** How a call ended. */
export type Outcome = { readonly upstreamMs: number } & (
  | { readonly kind: 'answered'; readonly message: Message; readonly sizeBytes: number }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'cancelled' }
  /** No answer came and none will: the upstream refused, ended or broke off. */
  | { readonly kind: 'lost'; readonly code: string; readonly why: string }
);
