/** Leaf hashes that are remembered of each epoch of a stream, to tell a resent event from another one under its number. */
export const HASHES_REMEMBERED = 1_024;

/** The leaf hashes of the latest events of one epoch, by their number: a ring, so that remembering one makes no garbage. */
export class RecentHashes {
  private readonly seqs: number[] = [];
  private readonly hashes: string[] = [];
  private latest = -1;

  /** Remembers an event, in the place of the one `HASHES_REMEMBERED` numbers before. */
  put(seq: number, hash: string): void {
    const slot = seq % HASHES_REMEMBERED;
    this.seqs[slot] = seq;
    this.hashes[slot] = hash;
    if (seq > this.latest) this.latest = seq;
  }

  /**
   * Undefined when the event was never put, or is forgotten: as soon as its number is not among the latest
   * `HASHES_REMEMBERED`, whether or not another took its place, so that all who read a partition remember the same.
   */
  at(seq: number): string | undefined {
    if (seq <= this.latest - HASHES_REMEMBERED) return undefined;
    const slot = seq % HASHES_REMEMBERED;
    return this.seqs[slot] === seq ? this.hashes[slot] : undefined;
  }
}
