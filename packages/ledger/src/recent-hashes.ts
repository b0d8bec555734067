/** Leaf hashes that are remembered of each epoch of a stream, to tell a resent event from another one under its number. */
export const HASHES_REMEMBERED = 1_024;

/** The leaf hashes of the latest events of one epoch, by their number: a ring, so that remembering one makes no garbage. */
export class RecentHashes {
  private readonly seqs: number[] = [];
  private readonly hashes: string[] = [];

  /** Remembers an event, in the place of the one `HASHES_REMEMBERED` numbers before. */
  put(seq: number, hash: string): void {
    const slot = seq % HASHES_REMEMBERED;
    this.seqs[slot] = seq;
    this.hashes[slot] = hash;
  }

  /** Undefined when the event was never put, or is forgotten. */
  at(seq: number): string | undefined {
    const slot = seq % HASHES_REMEMBERED;
    return this.seqs[slot] === seq ? this.hashes[slot] : undefined;
  }
}
