import { AUDIT_EVENT_SCHEMA_ID, datumAt, leafHash } from '@cairn/event';
import { genesisHash, signDatum } from '@cairn/ledger';
import type { Head, Standing } from './heads.ts';
import type { StreamKey } from './keys.ts';

/** An event at its place: numbered, linked and signed where it must be. */
export interface ChainedEvent {
  readonly head: Head;
  readonly datum: Uint8Array;
  readonly signed: boolean;
}

/** Refusals that no gap event has told yet. */
export interface Untold {
  readonly count: number;
  readonly fromMicros: number;
  readonly toMicros: number;
}

const ZEROS = new Uint8Array(32);

/**
 * One stream in the making: (organisation, gateway, epoch). `place` computes the next event and changes nothing;
 * `advance` makes it the last. So an event that turns out not to fit costs no number.
 */
export class Stream {
  readonly orgId: string;
  readonly key: StreamKey;
  readonly epoch: number;
  /** Where the stream before it ended. */
  readonly previous: Standing;
  #last: Head | undefined;
  readonly #genesis: Uint8Array;
  /** The topic that its events go to now, and what their bodies in the spool begin with. */
  route: { readonly topic: string; readonly head: Uint8Array } | undefined;
  /** Events after the last signed one. */
  unsealed = 0;
  /** Monotonic milliseconds of the first of those, and of the last signed event. */
  unsealedSinceMs = 0;
  signedAtMs = 0;
  /** Since the stream was opened; `placed` counts the recorder's own events as well. */
  readonly counts = { recorded: 0, placed: 0, shipped: 0, refused: 0 };
  untold: Untold | undefined;
  toldAtMs = Number.NEGATIVE_INFINITY;
  /** An event of the recorder's own is waiting to be written. */
  ownDue = false;

  constructor(orgId: string, gatewayId: string, key: StreamKey, epoch: number, previous: Standing) {
    this.orgId = orgId;
    this.key = key;
    this.epoch = epoch;
    this.previous = previous;
    const before = previous.unknown ? ZEROS : (previous.head?.hash ?? ZEROS);
    this.#genesis = genesisHash(orgId, gatewayId, epoch, before);
  }

  /** True once `stream_open` has its place. */
  get open(): boolean {
    return this.#last !== undefined;
  }

  /** @param body the event's datum up to the integrity block. */
  place(body: Uint8Array, signed: boolean): ChainedEvent {
    const seq = this.#last === undefined ? 0 : this.#last.seq + 1;
    const datum = datumAt(body, {
      epoch: this.epoch,
      seq,
      prev_hash: this.#last?.hash ?? this.#genesis,
      key_id: this.key.keyId,
      signature: signed ? new Uint8Array(64) : null,
    });
    // The signature is the end of the datum and is not among the signed bytes.
    if (signed) datum.set(signDatum(this.key.privateKey, AUDIT_EVENT_SCHEMA_ID, datum), datum.length - 64);
    return {
      head: { epoch: this.epoch, seq, hash: leafHash(AUDIT_EVENT_SCHEMA_ID, datum) },
      datum,
      signed,
    };
  }

  advance(placed: ChainedEvent, nowMs: number): void {
    this.#last = placed.head;
    this.counts.placed += 1;
    if (placed.signed) {
      this.unsealed = 0;
      this.signedAtMs = nowMs;
    } else {
      if (this.unsealed === 0) this.unsealedSinceMs = nowMs;
      this.unsealed += 1;
    }
  }
}
