/** One partition's share of what waits, and its tap. */
export interface Reader {
  /** Bytes that wait to be loaded. */
  readonly bytes: number;
  /** A whole chunk waits. */
  readonly isFull: boolean;
  pause(): void;
  resume(): void;
}

/**
 * Decides who may read. While little waits, everyone. From `bufferBytesMax` on only one partition, the one of which most
 * waits, until it has a whole chunk: so chunks stay large under pressure however many partitions there are, and what
 * waits is bounded by `bufferBytesMax` and one chunk, beside what is on its way.
 */
export class Intake {
  private readonly reading = new Map<Reader, boolean>();
  private readonly limits: { readonly bufferBytesMax: number; readonly bytesMax: number };

  constructor(limits: { readonly bufferBytesMax: number; readonly bytesMax: number }) {
    this.limits = limits;
  }

  /** A partition that is paused, and from now on reads when it may. */
  add(reader: Reader): void {
    this.reading.set(reader, false);
    this.settle();
  }

  /** It is paused from now on. */
  remove(reader: Reader): void {
    if (this.reading.delete(reader)) reader.pause();
    this.settle();
  }

  /** Bytes that wait, of all partitions. */
  get bytes(): number {
    let sum = 0;
    for (const reader of this.reading.keys()) sum += reader.bytes;
    return sum;
  }

  /** To be called when what a partition holds has changed. */
  settle(): void {
    const { bufferBytesMax, bytesMax } = this.limits;
    const waiting = this.bytes;
    const everyone = waiting < bufferBytesMax;
    const one = !everyone && waiting < bufferBytesMax + bytesMax ? this.favourite() : undefined;
    for (const [reader, reads] of this.reading) {
      const may = everyone || reader === one;
      if (may === reads) continue;
      this.reading.set(reader, may);
      if (may) reader.resume();
      else reader.pause();
    }
  }

  /** Whoever reads grows, so that it stays the same one until it has a whole chunk. */
  private favourite(): Reader | undefined {
    let most: Reader | undefined;
    for (const reader of this.reading.keys()) {
      if (!reader.isFull && (most === undefined || reader.bytes > most.bytes)) most = reader;
    }
    return most;
  }
}
