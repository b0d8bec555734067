import { Failure } from '@cairn/failure';
import type { Clock } from './clock.ts';
import type { LogBatch, LogRecord } from './log-record.ts';

export interface ChunkLimits {
  readonly recordsMax: number;
  readonly bytesMax: number;
  /**
   * Longest that a record waits for company, unless the log holds an eighth of a chunk more. Chunks that are not full are due at
   * the multiples of it, all partitions together, so that what is done for one of them can be done for all.
   */
  readonly ageMsMax: number;
}

/** What the records of a chunk are gathered in while they come. */
export interface Gathering {
  /** Bytes of memory that it holds, about. */
  readonly bytesHeld: number;
  /**
   * Takes the next records of the chunk, in order of offset. Their bytes may be written over as soon as it returns, so it
   * has copied by then what it keeps.
   */
  add(records: readonly LogRecord[]): void;
  /** Nobody needs what was gathered any more: its memory may be used again. */
  release(): void;
}

/** Consecutive offsets of one partition. */
export interface Chunk<G extends Gathering = Gathering> {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  /** Its records. */
  readonly count: number;
  readonly gathered: G;
  /** Of the first record; undefined when there is none. */
  readonly oldestAppendedAtMs: number | undefined;
  /** Offsets in [first, last] that the log holds no record for. */
  readonly holes: readonly { readonly first: number; readonly last: number }[];
  /** Records appended behind this chunk, as far as known. */
  readonly behind: number;
}

/** How chunks of a partition are made, from where on. */
export interface ChunkMaking<G extends Gathering> {
  /** Begins what the records of the next chunk are gathered in. */
  readonly gather: () => G;
  /** Most records of the chunk that begins at this offset, where that is fewer than the limits say. */
  readonly fewer?: (first: number) => number | undefined;
}

interface Filling<G> {
  readonly first: number;
  readonly gathered: G;
  readonly recordsMax: number;
  readonly begunAtMs: number;
  readonly oldestAppendedAtMs: number;
  latestAppendedAtMs: number;
  count: number;
  /** Offset behind its last record. */
  next: number;
  readonly holes: { first: number; last: number }[];
}

/** Share of a whole chunk from which on the log's rest counts as a backlog. */
const BEHIND = 1 / 8;

/** Bytes of records that are handed on together: a chunk grows beyond its limit by less. */
const TOGETHER_BYTES = 256 * 1024;

/** What fetches brought and nobody has loaded yet, of one partition, cut into chunks. intake.ts bounds it. */
export class Mailbox<G extends Gathering> {
  /** Cut, the first of them first. */
  private ready: Chunk<G>[] = [];
  private filling: Filling<G> | undefined;
  /** Whoever loads them has not let go of them. */
  private taken = new Set<Chunk<G>>();
  private making: ChunkMaking<G> | undefined;
  private next = 0;
  /** First offset that no chunk holds yet. */
  private from = 0;
  private highWatermark = 0;
  private wake: () => void = () => {};
  private trouble: unknown;

  private readonly limits: ChunkLimits;
  private readonly splitBetween: (leftAppendedAtMs: number, rightAppendedAtMs: number) => boolean;
  private readonly clock: Clock;

  constructor(
    limits: ChunkLimits,
    splitBetween: (leftAppendedAtMs: number, rightAppendedAtMs: number) => boolean,
    clock: Clock,
  ) {
    this.limits = limits;
    this.splitBetween = splitBetween;
    this.clock = clock;
  }

  /** Forgets everything, and expects this offset next. What is on its way is left to whoever loads it. */
  restart(offset: number, making: ChunkMaking<G>): void {
    this.close();
    this.making = making;
    this.next = offset;
    this.from = offset;
  }

  /** Forgets everything, and takes nothing in until it is restarted. */
  close(): void {
    for (const { gathered } of this.ready) gathered.release();
    this.filling?.gathered.release();
    this.ready = [];
    this.filling = undefined;
    this.taken = new Set();
    this.making = undefined;
    this.trouble = undefined;
  }

  /**
   * Takes a batch in; one that was fetched for an earlier position is ignored. When offsets were passed over, or the log
   * ends before the position, it is not the log that was read until now: whoever takes the next chunk fails.
   */
  put({ first, last, records, highWatermark }: LogBatch): void {
    const { making } = this;
    if (making === undefined || this.trouble !== undefined) return;
    if (first > this.next || highWatermark < this.next) {
      this.fail(logMoved(this.next, first, highWatermark));
      return;
    }
    if (last < this.next) return;
    this.highWatermark = highWatermark;
    try {
      this.gather(making, records);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.next = last + 1;
    this.wake();
  }

  /** Has whoever takes the next chunk fail. */
  fail(trouble: unknown): void {
    this.trouble = trouble;
    this.wake();
  }

  /** Bytes of memory that what waits holds, chunks that were taken and not let go included. */
  get bytesHeld(): number {
    let held = this.filling?.gathered.bytesHeld ?? 0;
    for (const { gathered } of this.ready) held += gathered.bytesHeld;
    for (const { gathered } of this.taken) held += gathered.bytesHeld;
    return held;
  }

  get isEmpty(): boolean {
    return this.filling === undefined && this.ready.length === 0;
  }

  /** A whole chunk waits. */
  get isFull(): boolean {
    return this.ready.length > 0 || (this.filling !== undefined && this.isWhole(this.filling));
  }

  /** Resolves true once a chunk is full or old enough, false when the signal says that it is over. */
  async due(over: AbortSignal): Promise<boolean> {
    for (;;) {
      if (over.aborted) return false;
      if (this.trouble !== undefined) throw this.trouble;
      const waitMs = this.waitMs();
      if (waitMs <= 0) return true;
      await this.change(waitMs, over);
    }
  }

  /** Bytes of memory that the chunk holds which is due. */
  get dueBytes(): number {
    return (this.ready[0] ?? this.filling)?.gathered.bytesHeld ?? 0;
  }

  /** The chunk that is due, with whatever came until now and has room in it. Throws what went wrong meanwhile. */
  take(): Chunk<G> {
    if (this.trouble !== undefined) throw this.trouble;
    if (this.ready.length === 0) this.cut(this.next - 1);
    const chunk = this.ready.shift()!;
    this.taken.add(chunk);
    return chunk;
  }

  /** A chunk that was taken counts no longer among what waits. */
  letGo(chunk: Chunk<G>): void {
    this.taken.delete(chunk);
  }

  private gather(making: ChunkMaking<G>, records: readonly LogRecord[]): void {
    let at = records.findIndex(({ offset }) => offset >= this.next);
    if (at < 0) return;
    while (at < records.length) {
      const { appendedAtMs } = records[at]!;
      if (this.filling && !this.fits(this.filling, records[at]!)) this.cut(this.filling.next - 1);
      const filling = (this.filling ??= {
        first: this.from,
        gathered: making.gather(),
        recordsMax: Math.min(this.limits.recordsMax, making.fewer?.(this.from) ?? Number.POSITIVE_INFINITY),
        begunAtMs: this.clock.nowMs(),
        oldestAppendedAtMs: appendedAtMs,
        latestAppendedAtMs: appendedAtMs,
        count: 0,
        next: this.from,
        holes: [],
      });
      const room = Math.min(TOGETHER_BYTES, this.limits.bytesMax - filling.gathered.bytesHeld);
      const begin = at;
      for (let bytes = 0; at < records.length && filling.count < filling.recordsMax; at += 1) {
        const record = records[at]!;
        bytes += sizeOf(record);
        if (
          at > begin &&
          (bytes > room || this.splitBetween(filling.latestAppendedAtMs, record.appendedAtMs))
        )
          break;
        if (record.offset > filling.next)
          filling.holes.push({ first: filling.next, last: record.offset - 1 });
        filling.next = record.offset + 1;
        filling.latestAppendedAtMs = record.appendedAtMs;
        filling.count += 1;
      }
      filling.gathered.add(begin === 0 && at === records.length ? records : records.slice(begin, at));
    }
  }

  /** Whether the record may join the chunk. */
  private fits(filling: Filling<G>, record: LogRecord): boolean {
    const { gathered, count, recordsMax, latestAppendedAtMs } = filling;
    return (
      count < recordsMax &&
      gathered.bytesHeld + sizeOf(record) <= this.limits.bytesMax &&
      !this.splitBetween(latestAppendedAtMs, record.appendedAtMs)
    );
  }

  private isWhole({ count, recordsMax, gathered }: Filling<G>): boolean {
    return count >= recordsMax || gathered.bytesHeld >= this.limits.bytesMax;
  }

  private waitMs(): number {
    if (this.isFull) return 0;
    if (this.filling === undefined) return Number.POSITIVE_INFINITY;
    // Behind, a chunk waits for the rest of it: fetching that takes less time than the load of a chunk more.
    if (this.highWatermark - this.next >= this.filling.recordsMax * BEHIND) return Number.POSITIVE_INFINITY;
    const { ageMsMax } = this.limits;
    if (ageMsMax === 0) return 0;
    return (Math.floor(this.filling.begunAtMs / ageMsMax) + 1) * ageMsMax - this.clock.nowMs();
  }

  /** Ends the chunk that is being filled. @param last offset that is known to hold no record behind it. */
  private cut(last: number): void {
    const { first, count, gathered, holes, next, oldestAppendedAtMs } = this.filling!;
    if (next <= last) holes.push({ first: next, last });
    this.filling = undefined;
    this.from = last + 1;
    const behind = this.highWatermark - last - 1;
    this.ready.push({ first, last, count, gathered, oldestAppendedAtMs, holes, behind });
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

function logMoved(next: number, first: number, highWatermark: number): Failure {
  return new Failure({
    code: 'log.moved',
    retry: 'later',
    message: `offset ${next} was asked for, and the log gave ${first} and ends at ${highWatermark}`,
    mend: 'Records expired before they were read, or the log lost its end or was created again.',
  });
}

/** A record's value and what holding it costs. */
export function sizeOf(record: LogRecord): number {
  return record.end - record.start + 64;
}
