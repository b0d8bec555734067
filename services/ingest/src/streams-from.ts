import { type EpochPosition, RecentHashes, remembered, type StreamPositions } from '@cairn/ledger';

/** An event that the table holds, as far as its place in a stream goes. */
export interface HeldEvent {
  /** `streamKey` of its organisation and gateway. */
  readonly key: string;
  readonly epoch: number;
  readonly seq: number;
  /** Leaf hash. */
  readonly hash: string;
}

/**
 * The positions of streams from what the table holds.
 *
 * @param heads the last event of each epoch of each stream, of the latest epochs, the latest first.
 * @param latest events whose hashes are remembered, in any order; those of other epochs are left out.
 */
export function streamsFrom(heads: readonly HeldEvent[], latest: readonly HeldEvent[]): StreamPositions {
  const epochs = Map.groupBy(heads, ({ key }) => key);
  const positions = new Map(
    [...epochs].map(([key, ofStream]) => [
      key,
      ofStream.map(({ epoch, seq, hash }) => ({ epoch, seq, head: hash, hashes: hashesWith(seq, hash) })),
    ]),
  );
  for (const { key, epoch, seq, hash } of latest) {
    const place: EpochPosition | undefined = positions.get(key)?.find((position) => position.epoch === epoch);
    place?.hashes.put(seq, hash);
  }
  return new Map(
    [...positions].flatMap(([key, [current, ...earlier]]) =>
      current ? [[key, { ...current, earlier: remembered(earlier) }] as const] : [],
    ),
  );
}

function hashesWith(seq: number, hash: string): RecentHashes {
  const hashes = new RecentHashes();
  hashes.put(seq, hash);
  return hashes;
}
