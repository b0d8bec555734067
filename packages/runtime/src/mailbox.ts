import { Failure } from '@cairn/failure';
import type { Clock } from './clock.ts';
import type { LogBatch, LogRecord } from './consume.ts';
import { type Pages, Shelf } from './pages.ts';

export interface ChunkLimits {
  readonly recordsMax: number;
  readonly bytesMax: number;
  /** Longest that a record waits for company, unless the log holds a whole chunk more. */
  readonly ageMsMax: number;
}

/** Consecutive offsets of one partition. */
export interface Chunk {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  /** Empty once the mailbox was told that they are needed no more. */
  readonly records: readonly LogRecord[];
  /** Of the first record; undefined when there is none. */
  readonly oldestAppendedAtMs: number | undefined;
  /** Offsets in [first, last] that the log holds no record for. */
  readonly holes: readonly { readonly first: number; readonly last: number }[];
  /** Records appended behind this chunk, as far as known. */
  readonly behind: number;
}

/** What a fetch brought and nobody has loaded yet, of one partition, cut into chunks. intake.ts bounds it. */
export class Mailbox {
  private records: LogRecord[] = [];
  private next = 0;
  /** First offset that no chunk holds yet. */
  private from = 0;
  private open = false;
  private highWatermark = 0;
  private oldestAt = 0;
  private wake: () => void = () => {};
  private trouble: unknown;
  bytes = 0;

  private readonly limits: ChunkLimits;
  private readonly splitBetween: (left: LogRecord, right: LogRecord) => boolean;
  private readonly clock: Clock;
  private readonly pages: Pages;
  private shelf: Shelf;
  /** Records of a chunk, where whoever loads them wants fewer than the limits say. */
  private fewer: () => number | undefined = () => undefined;

  constructor(
    limits: ChunkLimits,
    splitBetween: (left: LogRecord, right: LogRecord) => boolean,
    clock: Clock,
    pages: Pages,
  ) {
    this.limits = limits;
    this.splitBetween = splitBetween;
    this.clock = clock;
    this.pages = pages;
    this.shelf = new Shelf(pages);
  }

  /**
   * Forgets everything and expects this offset next.
   *
   * @param fewer asked before each chunk is cut.
   */
  restart(offset: number, fewer: () => number | undefined = () => undefined): void {
    this.shelf.release(this.records);
    // A chunk that is on its way may still be read: its pages are left to the collector.
    this.shelf = new Shelf(this.pages);
    this.records = [];
    this.bytes = 0;
    this.next = offset;
    this.from = offset;
    this.open = true;
    this.fewer = fewer;
    this.trouble = undefined;
  }

  /** Forgets everything and takes nothing in until it is restarted. */
  close(): void {
    this.restart(0);
    this.open = false;
  }

  /**
   * Takes a batch in; one that was fetched for an earlier position is ignored. When offsets were passed over, or the log
   * ends before the position, it is not the log that was read until now: whoever takes the next chunk fails.
   */
  put(batch: LogBatch): void {
    if (!this.open) return;
    if (batch.first > this.next || batch.highWatermark < this.next) {
      this.fail(logMoved(this.next, batch));
      return;
    }
    if (batch.last < this.next) return;
    const fresh = this.shelf.keep(batch.records.filter((record) => record.offset >= this.next));
    if (this.records.length === 0 && fresh.length > 0) this.oldestAt = this.clock.nowMs();
    for (const record of fresh) this.records.push(record);
    this.bytes += fresh.reduce((sum, record) => sum + sizeOf(record), 0);
    this.next = batch.last + 1;
    this.highWatermark = batch.highWatermark;
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

  /** A whole chunk waits. */
  get isFull(): boolean {
    return this.records.length >= this.recordsMax || this.bytes >= this.limits.bytesMax;
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

  /** The records of a chunk are needed no more: other ones take their place. */
  release({ records }: Chunk): void {
    this.shelf.release(records);
    this.bytes -= records.reduce((sum, record) => sum + sizeOf(record), 0);
    (records as LogRecord[]).length = 0;
  }

  private get recordsMax(): number {
    return Math.min(this.limits.recordsMax, this.fewer() ?? Number.POSITIVE_INFINITY);
  }

  private waitMs(): number {
    if (this.records.length === 0) return Number.POSITIVE_INFINITY;
    if (this.isFull) return 0;
    // Far behind, a chunk that waits for the rest of it costs no time that is not lost already.
    if (this.highWatermark - this.next >= this.recordsMax) return Number.POSITIVE_INFINITY;
    return this.limits.ageMsMax - (this.clock.nowMs() - this.oldestAt);
  }

  private cut(): Chunk {
    let count = 0;
    let bytes = 0;
    const { recordsMax } = this;
    while (count < this.records.length && count < recordsMax) {
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
      oldestAppendedAtMs: records[0]?.appendedAtMs,
      holes: holesOf(first, last, records),
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

function logMoved(next: number, { first, highWatermark }: LogBatch): Failure {
  return new Failure({
    code: 'log.moved',
    retry: 'later',
    message: `offset ${next} was asked for, and the log gave ${first} and ends at ${highWatermark}`,
    mend: 'Records expired before they were read, or the log lost its end or was created again.',
  });
}

/** A record's value and what holding it costs. */
function sizeOf(record: LogRecord): number {
  return record.end - record.start + 64;
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
