import { KIND_SYMBOLS } from '@cairn/event';
import {
  type Accepted,
  ByStream,
  bytesOfHash,
  genesisHash,
  type HashText,
  hashAt,
  hashOfHex,
  hexOfHash,
  type Leaf,
  type Reason,
  type StreamRange,
  verifyDatum,
  ZERO_HASH,
} from '@cairn/ledger';
import type { Finding } from './finding.ts';
import type { KeptWatch } from './kept-logs.ts';
import type { KnownKeys } from './known-keys.ts';

export interface WatchLimits {
  /** Events that may follow a signature before the next; a recorder seals after 256. */
  readonly unsealedMax: number;
  /** Longest time without an event of a stream that was not closed. A recorder's heartbeat comes every 5 s. */
  readonly silenceMsMax: number;
}

/** How far the current epoch of a gateway's stream has come. */
interface Watched {
  readonly orgId: string;
  readonly gatewayId: string;
  readonly epoch: number;
  seq: number;
  head: HashText;
  unsealed: number;
  closed: boolean;
  /** When the broker received its last event. */
  receivedAtMs: number;
  /** Told once for each epoch, or until it is over. */
  readonly told: Set<Reason>;
}

/**
 * Notices what is wrong with the streams of a partition while their events pass: the live side of what the verifier judges
 * later (schemas/ledger.md, "A stream"). It decides nothing; every leaf goes into the log whatever is found.
 */
export class StreamWatches {
  readonly #origin: string;
  readonly #keys: KnownKeys;
  readonly #limits: WatchLimits;
  readonly #streams = new ByStream<Watched>();

  constructor(origin: string, keys: KnownKeys, limits: WatchLimits) {
    this.#origin = origin;
    this.#keys = keys;
    this.#limits = limits;
  }

  /** What a segment of the archive says of a stream, in order of segments. @param receivedMax of the segment, ms. */
  resume(range: StreamRange, receivedMax: number): void {
    const { org, gateway, epoch, last_seq: lastSeq, sealed_to: sealedTo, events, closed } = range;
    const before = this.#streams.get(org, gateway);
    if (before !== undefined && before.epoch > epoch) return;
    const unsealedBefore = before?.epoch === epoch ? before.unsealed : 0;
    this.#streams.set(org, gateway, {
      orgId: org,
      gatewayId: gateway,
      epoch,
      seq: lastSeq,
      head: hashOfHex(range.head),
      unsealed: sealedTo < 0 ? unsealedBefore + events : Math.max(0, lastSeq - sealedTo),
      closed,
      receivedAtMs: receivedMax,
      told: new Set(),
    });
  }

  /** Goes on from what `kept` said. */
  resumeKept(streams: readonly KeptWatch[]): void {
    for (const { org, gateway, epoch, seq, head, unsealed, closed, received_at: receivedAtMs } of streams)
      this.#streams.set(org, gateway, {
        orgId: org,
        gatewayId: gateway,
        epoch,
        seq,
        head: hashOfHex(head),
        unsealed,
        closed,
        receivedAtMs,
        told: new Set(),
      });
  }

  /** How far each stream has come. */
  kept(): KeptWatch[] {
    return [...this.#streams.values()].map((watched) => ({
      org: watched.orgId,
      gateway: watched.gatewayId,
      epoch: watched.epoch,
      seq: watched.seq,
      head: hexOfHash(watched.head),
      unsealed: watched.unsealed,
      closed: watched.closed,
      received_at: watched.receivedAtMs,
    }));
  }

  /** One leaf, in order. */
  add({ leaf, verdict, missing }: Extract<Accepted, { outcome: 'leaf' }>): readonly Finding[] {
    const { orgId, gatewayId, epoch, seq, signed } = leaf.walked;
    const before = this.#streams.get(orgId, gatewayId);
    if (
      verdict === 'next' &&
      before !== undefined &&
      !before.closed &&
      !signed &&
      before.unsealed < this.#limits.unsealedMax
    ) {
      this.#advance(before, leaf);
      before.unsealed += 1;
      return NONE;
    }
    const found: Finding[] = [];
    const find = (reason: Reason, detail: string): void =>
      void found.push(this.#finding(reason, leaf.offset, orgId, gatewayId, epoch, seq, detail));

    if (verdict === 'stale-epoch') {
      find('fork', `epoch ${epoch} goes on after epoch ${before?.epoch}`);
      return found;
    }
    if (verdict === 'fork' && seq !== (before?.seq ?? -1) + 1) {
      find('fork', `number ${seq} was taken by another event`);
      return found;
    }
    if (verdict === 'fork') find('link', 'its link leads to another event than the one before it');
    if (verdict === 'gap') find('gap', `numbers ${missing?.from} to ${missing?.to} are missing`);
    if (verdict === 'new-epoch') this.#judgeOpening(leaf, before, find);
    else if (before?.closed) find('after-close', 'it follows the end of its stream');

    const watched: Watched =
      before === undefined || verdict === 'new-epoch'
        ? {
            orgId,
            gatewayId,
            epoch,
            seq,
            head: leaf.hash,
            unsealed: 0,
            closed: false,
            receivedAtMs: leaf.receivedAtMs,
            told: new Set(),
          }
        : before;
    this.#advance(watched, leaf);
    if (watched !== before) this.#streams.set(orgId, gatewayId, watched);
    this.#judgeSeal(leaf, watched, find);
    return found;
  }

  #advance(watched: Watched, { walked, hash, receivedAtMs }: Leaf): void {
    watched.seq = walked.seq;
    watched.head = hash;
    watched.closed = KIND_SYMBOLS[walked.kind] === 'stream_close';
    watched.receivedAtMs = receivedAtMs;
    if (watched.told.size > 0) watched.told.delete('silence');
  }

  /** The first event of an epoch is `stream_open` with number 0 and names the end of the epoch before. */
  #judgeOpening(leaf: Leaf, before: Watched | undefined, find: Find): void {
    const { orgId, gatewayId, epoch, seq, kind, prevHashAt } = leaf.walked;
    if (seq !== 0 || KIND_SYMBOLS[kind] !== 'stream_open') {
      find('not-opened', 'the first event of the epoch is not its opening');
      return;
    }
    const link = hashAt(leaf.bytes, prevHashAt);
    const over = (head: HashText): HashText =>
      hashAt(genesisHash(orgId, gatewayId, epoch, bytesOfHash(head)), 0);
    if (before === undefined) {
      if (link !== over(ZERO_HASH)) find('unlinked-epoch', 'the epoch that it names is not in this log');
    } else if (link === over(before.head)) return;
    else if (link === over(ZERO_HASH)) find('unlinked-epoch', `it does not name epoch ${before.epoch}`);
    else find('link', `it does not name the end of epoch ${before.epoch} as it is here`);
  }

  #judgeSeal({ walked, schemaId, bytes, start, end }: Leaf, watched: Watched, find: Find): void {
    if (!walked.signed) {
      watched.unsealed += 1;
      if (watched.unsealed > this.#limits.unsealedMax)
        once(watched, 'unsealed-tail', () =>
          find('unsealed-tail', `${watched.unsealed} events follow the last signature`),
        );
      return;
    }
    watched.unsealed = 0;
    watched.told.delete('unsealed-tail');
    this.#judgeSignature({ walked, schemaId, bytes, start, end }, watched, find);
  }

  /** Judges the signature of the leaf that was added last again, by keys that were renewed since. */
  judgeAgain(leaf: Leaf): Finding[] {
    const { orgId, gatewayId, epoch, seq } = leaf.walked;
    const watched = this.#streams.get(orgId, gatewayId);
    const found: Finding[] = [];
    if (watched === undefined) return found;
    watched.told.delete('unknown-key');
    this.#judgeSignature(leaf, watched, (reason, detail) =>
      found.push(this.#finding(reason, leaf.offset, orgId, gatewayId, epoch, seq, detail)),
    );
    return found;
  }

  #judgeSignature(
    { walked, schemaId, bytes, start, end }: Pick<Leaf, 'walked' | 'schemaId' | 'bytes' | 'start' | 'end'>,
    watched: Watched,
    find: Find,
  ): void {
    const { orgId, gatewayId, epoch, keyId } = walked;
    const key = this.#keys.gateway(orgId, gatewayId, epoch, keyId);
    if (key === 'unjudged') return;
    if (key === undefined)
      once(watched, 'unknown-key', () => find('unknown-key', `no key ${keyId} is known for this epoch`));
    else if (!verifyDatum(key.publicKey, schemaId, bytes.subarray(start, end)))
      find('bad-signature', `its signature is not by key ${keyId}`);
  }

  /** Streams that have fallen silent without an end, each told once until it speaks again. @param nowMs since 1970. */
  silent(nowMs: number): Finding[] {
    return [...this.#streams.values()].flatMap((watched) => {
      const silentMs = nowMs - watched.receivedAtMs;
      if (watched.closed || silentMs <= this.#limits.silenceMsMax || watched.told.has('silence')) return [];
      watched.told.add('silence');
      const { orgId, gatewayId, epoch, seq } = watched;
      const detail = `nothing came for ${Math.round(silentMs / 1_000)} s, and the stream was not closed`;
      return [this.#finding('silence', -1, orgId, gatewayId, epoch, seq, detail)];
    });
  }

  #finding(
    reason: Reason,
    at: number,
    orgId: string,
    gatewayId: string,
    epoch: number,
    seq: number,
    detail: string,
  ): Finding {
    return { reason, origin: this.#origin, at, stream: { orgId, gatewayId, epoch, seq }, detail };
  }
}

/** What is found of nearly every leaf. */
const NONE: readonly Finding[] = [];

type Find = (reason: Reason, detail: string) => void;

function once(watched: Watched, reason: Reason, tell: () => void): void {
  if (watched.told.has(reason)) return;
  watched.told.add(reason);
  tell();
}
