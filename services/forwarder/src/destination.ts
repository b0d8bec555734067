/** One record on its way: what the destination gets, and where it came from. */
export interface Item {
  /** In the destination's format. */
  readonly text: string;
  readonly bytes: number;
  readonly eventId: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly appendedAtMs: number;
  /** It is what the forwarder says of itself. */
  readonly isOwn: boolean;
  /** The record's value as it lies in the log, for the case that it is parked. */
  readonly value: Uint8Array;
}

/** What a destination did with a batch. */
export type Verdict =
  /** It has acknowledged all of it. */
  | { readonly kind: 'taken' }
  /** It has answered for each: what is in neither list is taken. */
  | {
      readonly kind: 'sorted';
      readonly refused: readonly { readonly index: number; readonly reason: string }[];
      readonly again: readonly number[];
      readonly reason: string;
    }
  /** It refuses the batch for something in it, and would refuse it again. */
  | { readonly kind: 'refused'; readonly reason: string }
  /**
   * Nothing is known to be taken, and the same batch may be sent again. `stopped` means that a person has to do something first,
   * such as exchange a token; it is tried all the same, seldom.
   */
  | {
      readonly kind: 'unavailable';
      readonly reason: string;
      readonly retryAfterMs?: number | undefined;
      readonly stopped?: boolean;
    };

/** What delivery asks of one kind of receiver. */
export interface Destination extends AsyncDisposable {
  readonly limits: { readonly itemsMax: number; readonly bytesMax: number };
  /**
   * Sends one batch once. Resolves with what the receiver did; never rejects for what the network or the receiver does.
   *
   * @param over aborted when nobody waits for the verdict any more.
   */
  send(items: readonly Item[], over: AbortSignal): Promise<Verdict>;
}

/** What destinations ask of HTTP. packages/adapters/src/http-client.ts fits undici to it. */
export interface DestinationHttp extends AsyncDisposable {
  /** @throws Failure `http.refused-address`, `http.unreachable`, `http.timeout` */
  post(
    url: URL,
    headers: Readonly<Record<string, string>>,
    body: Buffer,
  ): Promise<{ readonly status: number; readonly retryAfter: string | undefined; readonly excerpt: string }>;
}
