import { hexOfHash } from './hash-text.ts';
import type { Leaf } from './leaf.ts';
import type { Manifest } from './manifest.ts';
import { LeafRange } from './pieces.ts';
import { StreamRanges } from './stream-ranges.ts';

/** What a manifest says of its leaves. */
export type SegmentSummary = Pick<
  Manifest,
  'first' | 'end' | 'nodes' | 'pieces' | 'offsets' | 'received' | 'timestamps' | 'streams'
>;

/** Gathers what a manifest says of its leaves, leaf by leaf. */
export class SegmentFacts {
  readonly leaves: LeafRange;
  readonly streams = new StreamRanges();
  #firstOffset = 0;
  #lastOffset = 0;
  #receivedMin = Number.POSITIVE_INFINITY;
  #receivedMax = Number.NEGATIVE_INFINITY;
  #timestampMin = Number.POSITIVE_INFINITY;
  #timestampMax = Number.NEGATIVE_INFINITY;

  constructor(first: number) {
    this.leaves = new LeafRange(first);
  }

  add(leaf: Leaf): void {
    const { offset, receivedAtMs, hash } = leaf;
    const { timestampMicros } = leaf.walked;
    if (this.leaves.end === this.leaves.first) this.#firstOffset = offset;
    this.#lastOffset = offset;
    if (receivedAtMs < this.#receivedMin) this.#receivedMin = receivedAtMs;
    if (receivedAtMs > this.#receivedMax) this.#receivedMax = receivedAtMs;
    if (timestampMicros < this.#timestampMin) this.#timestampMin = timestampMicros;
    if (timestampMicros > this.#timestampMax) this.#timestampMax = timestampMicros;
    this.leaves.append(hash);
    this.streams.add(leaf);
  }

  /** Of at least one leaf. */
  summary(): SegmentSummary {
    const { leaves } = this;
    return {
      first: leaves.first,
      end: leaves.end,
      nodes: leaves.nodes().map(hexOfHash),
      pieces: leaves.pieces().map(hexOfHash),
      offsets: { first: this.#firstOffset, last: this.#lastOffset },
      received: { max: this.#receivedMax, min: this.#receivedMin },
      timestamps: { max: this.#timestampMax, min: this.#timestampMin },
      streams: this.streams.list(),
    };
  }
}
