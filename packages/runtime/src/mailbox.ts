import type { Clock } from './clock.ts';
import type { LogBatch, LogRecord } from './consume.ts';

export interface ChunkLimits {
  readonly recordsMax: number;
  readonly bytesMax: number;
  /** Longest that a record waits for company. */
  readonly ageMsMax: number;
  /** Bytes in hand, of all partitions together, at which reading pauses; each has its share and goes on at half of it. */
  readonly bufferBytesMax: number;
}

/** Consecutive offsets of one partition. */
export interface Chunk {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  readonly records: readonly LogRecord[];
  /** Offsets in [first, last] that the log holds no record for. */
  readonly holes: readonly { readonly first: number; readonly last: number }[];
  readonly bytes: number;
  /** Records appended behind this chunk, as far as known. */
  readonly behind: number;
}

/** What a fetch brought and nobody has loaded yet, of one partition, cut into chunks. Bounded by pausing the source. */
export class Mailbox {
  private records: LogRecord[] = [];
  private next = 0;
  /** First offset that no chunk holds yet. */
  private from = 0;
  private open = false;
  private paused = false;
  private highWatermark = 0;
  private oldestAt = 0;
  private wake: () => void = () => {};
  private trouble: unknown;
  bytes = 0;

  private readonly limits: ChunkLimits;
  private readonly splitBetween: (left: LogRecord, right: LogRecord) => boolean;
  private readonly tap: { pause(): void; resume(): void };
  private readonly clock: Clock;
  private readonly share: () => number;

  /** @param share bytes that this partition may hold now. */
  constructor(
    limits: ChunkLimits,
    splitBetween: (left: LogRecord, right: LogRecord) => boolean,
    tap: { pause(): void; resume(): void },
    clock: Clock,
    share: () => number = () => limits.bufferBytesMax,
  ) {
    this.limits = limits;
    this.splitBetween = splitBetween;
    this.tap = tap;
    this.clock = clock;
    this.share = share;
  }

  /** Forgets everything and expects this offset next. */
  restart(offset: number): void {
    this.records = [];
    this.bytes = 0;
    this.next = offset;
    this.from = offset;
    this.open = true;
    this.paused = false;
    this.trouble = undefined;
  }

  /** Takes a batch in; one that was fetched for an earlier position is ignored. */
  put(batch: LogBatch): void {
    if (!this.open || batch.last < this.next) return;
    const fresh = batch.records.filter((record) => record.offset >= this.next);
    if (this.records.length === 0 && fresh.length > 0) this.oldestAt = this.clock.nowMs();
    for (const record of fresh) this.records.push(record);
    this.bytes += fresh.reduce((sum, record) => sum + sizeOf(record), 0);
    this.next = batch.last + 1;
    this.highWatermark = batch.highWatermark;
    if (this.bytes >= this.share() && !this.paused) {
      this.paused = true;
      this.tap.pause();
    }
    this.wake();
  }

  /** Has whoever takes the next chunk fail. */
  fail(trouble: unknown): void {
    this.trouble = trouble;
    this.wake();
  }

  get isEmpty(): boolean {
    return this.records.length === 0;
  }

  /** The next chunk, once it is full or old enough; undefined when the signal says that it is over. */
  async take(over: AbortSignal): Promise<Chunk | undefined> {
    for (;;) {
      if (over.aborted) return undefined;
      if (this.trouble !== undefined) throw this.trouble;
      const waitMs = this.waitMs();
      if (waitMs <= 0) return this.cut();
      await this.change(waitMs, over);
    }
  }

  /** Called when a chunk has been loaded, so that reading goes on. */
  loaded(chunk: Chunk): void {
    this.bytes -= chunk.bytes;
    if (this.paused && this.bytes <= this.share() / 2) {
      this.paused = false;
      this.tap.resume();
    }
  }

  private waitMs(): number {
    if (this.records.length === 0) return Number.POSITIVE_INFINITY;
    if (this.records.length >= this.limits.recordsMax || this.bytes >= this.limits.bytesMax) return 0;
    return this.limits.ageMsMax - (this.clock.nowMs() - this.oldestAt);
  }

  private cut(): Chunk {
    let count = 0;
    let bytes = 0;
    while (count < this.records.length && count < this.limits.recordsMax) {
      const record = this.records[count]!;
      const before = this.records[count - 1];
      if (before && (bytes + sizeOf(record) > this.limits.bytesMax || this.splitBetween(before, record)))
        break;
      bytes += sizeOf(record);
      count += 1;
    }
    const records = this.records.slice(0, count);
    this.records = this.records.slice(count);
    this.oldestAt = this.clock.nowMs();
    const first = this.from;
    const last = this.records[0] ? records.at(-1)!.offset : this.next - 1;
    this.from = last + 1;
    return {
      first,
      last,
      records,
      holes: holesOf(first, last, records),
      bytes,
      behind: this.highWatermark - last - 1,
    };
  }

  private change(waitMs: number, over: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const callOff = Number.isFinite(waitMs) ? this.clock.after(waitMs, () => done()) : () => {};
      const done = () => {
        callOff();
        over.removeEventListener('abort', done);
        this.wake = () => {};
        resolve();
      };
      this.wake = done;
      over.addEventListener('abort', done, { once: true });
    });
  }
}

/** A record's value and what holding it costs. */
function sizeOf(record: LogRecord): number {
  return (record.value?.length ?? 0) + 64;
}

function holesOf(
  first: number,
  last: number,
  records: readonly LogRecord[],
): { first: number; last: number }[] {
  const holes: { first: number; last: number }[] = [];
  let next = first;
  for (const { offset } of records) {
    if (offset > next) holes.push({ first: next, last: offset - 1 });
    next = offset + 1;
  }
  if (next <= last) holes.push({ first: next, last });
  return holes;
}
