import { KIND_SYMBOLS } from '@cairn/event';
import { ByStream } from './by-stream.ts';
import { type HashText, hashAt, hexOfHash } from './hash-text.ts';
import { isLinkedTo, type Leaf } from './leaf.ts';
import type { StreamRange } from './manifest.ts';

const utf8 = new TextEncoder();

interface OpenRange {
  readonly org: string;
  readonly gateway: string;
  readonly epoch: number;
  readonly firstSeq: number;
  readonly link: HashText;
  events: number;
  lastSeq: number;
  head: HashText;
  sealedTo: number;
  closed: boolean;
  whole: boolean;
}

/** What a segment has of each stream (schemas/ledger.md, "Manifest"). */
export class StreamRanges {
  readonly #ranges = new Map<string, OpenRange>();
  #cost = 0;
  /** Of each gateway, the one that was asked for last. */
  readonly #latest = new ByStream<OpenRange>();

  /** Of all streams that have a leaf here; bounds the manifest. */
  get cost(): number {
    return this.#cost;
  }

  /** What a leaf adds to the cost: nothing when its stream is here already. */
  costOf({ walked }: Leaf): number {
    return this.#find(walked.orgId, walked.gatewayId, walked.epoch) === undefined
      ? streamCost(walked.orgId, walked.gatewayId)
      : 0;
  }

  add(leaf: Leaf): void {
    const { walked, bytes, hash } = leaf;
    const { orgId, gatewayId, epoch, seq, prevHashAt, signed } = walked;
    const range = this.#find(orgId, gatewayId, epoch);
    if (range === undefined) {
      const opened: OpenRange = {
        org: orgId,
        gateway: gatewayId,
        epoch,
        firstSeq: seq,
        link: hashAt(bytes, prevHashAt),
        events: 1,
        lastSeq: seq,
        head: hash,
        sealedTo: signed ? seq : -1,
        closed: KIND_SYMBOLS[walked.kind] === 'stream_close',
        whole: true,
      };
      this.#ranges.set(keyOf(orgId, gatewayId, epoch), opened);
      this.#latest.set(orgId, gatewayId, opened);
      this.#cost += streamCost(orgId, gatewayId);
      return;
    }
    if (seq !== range.lastSeq + 1 || !isLinkedTo(leaf, range.head)) range.whole = false;
    range.events += 1;
    range.lastSeq = seq;
    range.head = hash;
    if (signed) range.sealedTo = seq;
    range.closed = KIND_SYMBOLS[walked.kind] === 'stream_close';
  }

  #find(orgId: string, gatewayId: string, epoch: number): OpenRange | undefined {
    const latest = this.#latest.get(orgId, gatewayId);
    if (latest === undefined || latest.epoch === epoch) return latest;
    const found = this.#ranges.get(keyOf(orgId, gatewayId, epoch));
    if (found !== undefined) this.#latest.set(orgId, gatewayId, found);
    return found;
  }

  /** In order of each stream's first leaf. */
  list(): StreamRange[] {
    return [...this.#ranges.values()].map((range) => ({
      closed: range.closed,
      epoch: range.epoch,
      events: range.events,
      first_seq: range.firstSeq,
      gateway: range.gateway,
      head: hexOfHash(range.head),
      last_seq: range.lastSeq,
      link: hexOfHash(range.link),
      org: range.org,
      sealed_to: range.sealedTo,
      whole: range.whole,
    }));
  }
}

const keyOf = (orgId: string, gatewayId: string, epoch: number): string =>
  `${orgId}\u0000${gatewayId}\u0000${epoch}`;

const streamCost = (orgId: string, gatewayId: string): number =>
  256 + 6 * (utf8.encode(orgId).length + utf8.encode(gatewayId).length);
