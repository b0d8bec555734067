import {
  EPOCHS_REMEMBERED,
  HASHES_REMEMBERED,
  hashOfHex,
  hexOfHash,
  type Leaf,
  type Manifest,
  RecentHashes,
  type StreamPositions,
  type StreamRange,
  streamKey,
} from '@cairn/ledger';
import type { KeptEpoch } from './kept-logs.ts';

/** One of the latest epochs of a stream, and in which segments its latest events lie. */
interface Epoch {
  readonly epoch: number;
  /** As manifests say it: the greatest number that ends a segment. */
  stated: { seq: number; head: string };
  /** As the rows say it. */
  seq: number;
  head: string;
  /** True when one of its segments could not be read. */
  unread: boolean;
  readonly hashes: RecentHashes;
  /** Segments by their first leaf, in order, with the events that surely moved the position there. */
  segments: { readonly first: number; readonly events: number }[];
}

/**
 * Where every stream of a log stands, from the archive alone, so that acceptance goes on as if it had never been interrupted.
 * First every manifest is passed in order; they say which segments hold the latest events of each stream. Then the leaves of
 * those segments are passed in order, whose hashes are remembered.
 *
 * Of a segment that was deleted under policy the hashes are forgotten: what a producer repeats of it would be a duplicate of
 * years ago, and counts as one.
 */
export class PositionsBuilder {
  readonly #streams = new Map<string, Epoch[]>();
  /** The highest epoch of a stream among the leaves passed so far. */
  readonly #reached = new Map<string, number>();

  /** Goes on from what `kept` said when the manifests before had been passed. */
  static from(streams: readonly (readonly [string, readonly KeptEpoch[]])[]): PositionsBuilder {
    const builder = new PositionsBuilder();
    for (const [key, epochs] of streams) {
      const known = epochs.map(({ epoch, seq, head, segments }) => ({
        epoch,
        stated: { seq, head: head === '' ? '' : hashOfHex(head) },
        seq: -1,
        head: '',
        unread: false,
        hashes: new RecentHashes(),
        segments: [...segments],
      }));
      builder.#streams.set(key, known);
    }
    return builder;
  }

  /** What the manifests that were passed came to. */
  kept(): [string, KeptEpoch[]][] {
    return [...this.#streams].map(([key, epochs]) => [
      key,
      epochs.map(({ epoch, stated, segments }) => ({
        epoch,
        seq: stated.seq,
        head: hexOfHash(stated.head),
        segments: [...segments],
      })),
    ]);
  }

  addManifest({ first, streams }: Manifest): void {
    for (const range of streams) this.#addRange(first, range);
  }

  #addRange(first: number, range: StreamRange): void {
    const { org, gateway, epoch, last_seq: lastSeq, whole, events } = range;
    const key = streamKey(org, gateway);
    const epochs = this.#streams.get(key) ?? [];
    this.#streams.set(key, epochs);
    let here = epochs.find((one) => one.epoch === epoch);
    if (here === undefined) {
      // An epoch that was left, and is not remembered, moves nothing.
      if (epochs[0] !== undefined && epoch < epochs[0].epoch) return;
      const nothing = { seq: -1, head: '' };
      here = {
        epoch,
        ...nothing,
        stated: nothing,
        unread: false,
        hashes: new RecentHashes(),
        segments: [],
      };
      epochs.unshift(here);
      epochs.length = Math.min(epochs.length, EPOCHS_REMEMBERED + 1);
    }
    if (lastSeq > here.stated.seq) here.stated = { seq: lastSeq, head: hashOfHex(range.head) };
    here.segments.push({ first, events: whole ? events : 0 });
    let behind = 0;
    let from = here.segments.length;
    while (from > 0 && behind < HASHES_REMEMBERED) behind += here.segments[--from]!.events;
    here.segments = here.segments.slice(from);
  }

  /** First leaves of the segments that are to be read, in order. */
  needed(): number[] {
    const firsts = [...this.#streams.values()].flatMap((epochs) =>
      epochs.flatMap(({ segments }) => segments.map(({ first }) => first)),
    );
    return [...new Set(firsts)].sort((left, right) => left - right);
  }

  /** A leaf of a needed segment, in order of the log. */
  addLeaf({ walked, hash }: Leaf): void {
    const { orgId, gatewayId, epoch, seq } = walked;
    const key = streamKey(orgId, gatewayId);
    const reached = this.#reached.get(key) ?? -1;
    // An epoch that was left does not move any more.
    if (epoch < reached) return;
    const here = this.#streams.get(key)?.find((one) => one.epoch === epoch);
    if (epoch > reached) this.#reached.set(key, epoch);
    if (here === undefined || seq <= here.seq) return;
    here.seq = seq;
    here.head = hash;
    here.hashes.put(seq, hash);
  }

  /** A needed segment that cannot be read: of it only the manifest is known. */
  skip(first: number): void {
    for (const epochs of this.#streams.values()) {
      for (const epoch of epochs) epoch.unread ||= epoch.segments.some((segment) => segment.first === first);
    }
  }

  positions(): StreamPositions {
    const positions: StreamPositions = new Map();
    for (const [key, epochs] of this.#streams) {
      const [current, ...earlier] = epochs.map(({ epoch, seq, head, hashes, stated, unread }) => {
        if (!unread || stated.seq <= seq) return { epoch, seq, head, hashes };
        hashes.put(stated.seq, stated.head);
        return { epoch, ...stated, hashes };
      });
      if (current !== undefined) positions.set(key, { ...current, earlier });
    }
    return positions;
  }
}
