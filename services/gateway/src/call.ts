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
  /** How it ended, once that is recorded or being recorded. */
  readonly end: Outcome['kind'] | undefined;
  /**
   * Records how the call ended. Only the first call counts. Resolves true when that is on disk: what ended the call may then go
   * to the client. False when the trail tells of another end: what came with this one must not go on. Rejects when the event
   * could not be recorded: then the answer must be withheld.
   */
  close(outcome: Outcome): Promise<boolean>;
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

/** What may become of what ended a call: it goes on, nobody waits for it any more, or it is withheld. */
export type Ending = 'recorded' | 'ended-before' | 'unrecorded';

/** Records an end and never rejects. */
export function endCall(call: OpenCall, outcome: Outcome): Promise<Ending> {
  return call.close(outcome).then(
    (isFirst) => (isFirst ? 'recorded' : 'ended-before'),
    () => 'unrecorded',
  );
}
