import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '@cairn/failure';
import type { RoutedFrame } from './routed-frame.ts';
import type { SpoolRecord } from './spool-bytes.ts';

/** Where events go: Kafka, or whatever keeps the same promise. */
export interface EventLog {
  /**
   * Resolves when every in-sync replica has all the values, in this order. After a rejection none, some or all of
   * them may be there; the recorder then appends the same values again, unchanged. It never has two calls for one
   * partition under way.
   */
  append(topic: string, partition: number, values: readonly Uint8Array[]): Promise<void>;
}

/** What the shipper asks of the spool. */
export interface ShipperSource {
  /** Durable records from this number on, in order and of one file; undefined when there are no more yet. */
  read(
    from: number,
  ): Promise<{ readonly file: string; readonly records: readonly SpoolRecord[] } | undefined>;
  /** Everything below this number is sent. */
  release(upTo: number): void;
  /** Makes that durable. */
  storeCursor(): Promise<void>;
  /** First number not sent. */
  readonly sent: number;
}

export interface ShipperOptions {
  readonly source: ShipperSource;
  readonly log: EventLog;
  readonly routeOf: (body: Uint8Array) => RoutedFrame;
  readonly onShipped: (parcels: readonly Parcel[]) => void;
  /** A batch was refused and will be sent again, or the spool could not be read. */
  readonly onRefused: (error: unknown) => void;
  /** How long the first event of a batch waits for others. One of two events costs the log nearly what one of hundreds does. */
  readonly lingerMs: number;
  /** Full jitter between nothing and a cap that doubles from `firstMs` to `mostMs`. */
  readonly backoff: { readonly firstMs: number; readonly mostMs: number };
}

const BATCH_BYTES_MAX = 512 * 1024;
const BATCH_RECORDS_MAX = 1000;
/** Bound on what was read and is not acknowledged. A partition that stands still holds the others back only here. */
const WINDOW_BYTES_MAX = 8 * 1024 * 1024;

/** A frame on its way. */
export interface Parcel extends RoutedFrame {
  readonly number: number;
  sent: boolean;
}

/** The parcels of one partition, in order, one batch under way. */
interface Lane {
  readonly topic: string;
  readonly partition: number;
  waiting: Parcel[];
  moving: boolean;
}

/**
 * Sends what the spool holds. Per partition the order is kept, one batch is under way, and a batch is sent again
 * unchanged until it is acknowledged: that can double an event and can neither lose nor reorder one.
 */
export class Shipper {
  readonly #options: ShipperOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #closing = new AbortController();
  readonly #moves = new Set<Promise<void>>();
  /** Read and not yet released, by number. */
  #window: Parcel[] = [];
  #windowBytes = 0;
  /** Number to read next. */
  #position: number;
  /** File that is being sent. */
  #file: string | undefined;
  #reading = false;
  #readAgain = false;
  #lastError: { readonly message: string; readonly atMs: number } | undefined;

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#position = options.source.sent;
  }

  /** The last refusal, until a batch is acknowledged again. */
  get lastError(): { readonly message: string; readonly atMs: number } | undefined {
    return this.#lastError;
  }

  /** There may be more to send. */
  wake(): void {
    this.#readAgain = true;
    if (!this.#reading && !this.#closing.signal.aborted) this.#track(this.#fill());
  }

  /** Stops sending. A batch that is under way gets this long; what is not acknowledged then is sent at the next start. */
  async close(graceMs: number): Promise<void> {
    this.#closing.abort();
    await Promise.race([Promise.all(this.#moves), sleep(graceMs, undefined, { ref: false })]);
  }

  async #fill(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#readAgain && !this.#closing.signal.aborted) {
        this.#readAgain = false;
        while (this.#windowBytes < WINDOW_BYTES_MAX && (await this.#take())) {
          // Each turn hands one run of records to the lanes.
        }
      }
    } catch (error) {
      this.#refused(error);
      this.#track(this.#pause(0).then(() => this.wake()));
    } finally {
      this.#reading = false;
    }
  }

  /** Hands the next records to the lanes; false when there are none, or when they have to wait. */
  async #take(): Promise<boolean> {
    const run = await this.#options.source.read(this.#position);
    if (run === undefined) return false;
    if (run.file !== this.#file) {
      // A file of an earlier start holds an earlier epoch. Nothing of a file is sent before the cursor is durable past
      // the one before it, so that an epoch which was left does not come back after a crash.
      if (this.#window.length > 0) return false;
      if (this.#file !== undefined) await this.#options.source.storeCursor();
      this.#file = run.file;
    }
    for (const record of run.records) {
      if (this.#windowBytes >= WINDOW_BYTES_MAX) break;
      const parcel = { ...this.#options.routeOf(record.body), number: record.number, sent: false };
      this.#position = record.number + 1;
      this.#window.push(parcel);
      this.#windowBytes += parcel.frame.length;
      this.#laneOf(parcel).waiting.push(parcel);
    }
    for (const lane of this.#lanes.values())
      if (!lane.moving && lane.waiting.length > 0) this.#track(this.#move(lane));
    return true;
  }

  #laneOf({ topic, partition }: Parcel): Lane {
    const key = `${topic}/${partition}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) this.#lanes.set(key, (lane = { topic, partition, waiting: [], moving: false }));
    return lane;
  }

  async #move(lane: Lane): Promise<void> {
    lane.moving = true;
    while (lane.waiting.length > 0 && !this.#closing.signal.aborted) {
      if (batchLength(lane.waiting) === lane.waiting.length) await this.#rest(this.#options.lingerMs);
      if (this.#closing.signal.aborted) return;
      const batch = lane.waiting.splice(0, batchLength(lane.waiting));
      if (!(await this.#send(lane, batch))) return;
      for (const parcel of batch) parcel.sent = true;
      this.#options.onShipped(batch);
      this.#advance();
    }
    lane.moving = false;
  }

  /** Resolves true when the batch is acknowledged, false when the shipper was closed before. */
  async #send(lane: Lane, batch: readonly Parcel[]): Promise<boolean> {
    const values = batch.map((parcel) => parcel.frame);
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      try {
        await this.#options.log.append(lane.topic, lane.partition, values);
        this.#lastError = undefined;
        return true;
      } catch (error) {
        this.#refused(error);
        await this.#pause(attempt);
      }
    }
    return false;
  }

  /** Releases the longest run of sent parcels at the front of the window. */
  #advance(): void {
    const unsent = this.#window.findIndex((parcel) => !parcel.sent);
    const done = this.#window.splice(0, unsent === -1 ? this.#window.length : unsent);
    for (const parcel of done) this.#windowBytes -= parcel.frame.length;
    this.#options.source.release(this.#window[0]?.number ?? this.#position);
    if (done.length > 0) this.wake();
  }

  #refused(error: unknown): void {
    this.#lastError = { message: messageOf(error), atMs: Date.now() };
    this.#options.onRefused(error);
  }

  /** Waits longer after each attempt, up to a cap, with full jitter: gateways must not come back in step. */
  async #pause(attempt: number): Promise<void> {
    const { firstMs, mostMs } = this.#options.backoff;
    const capMs = Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 20));
    await this.#rest(firstMs / 2 + Math.random() * (capMs - firstMs / 2));
  }

  /** Waits, or until the shipper is closed. */
  async #rest(waitMs: number): Promise<void> {
    await sleep(waitMs, undefined, { signal: this.#closing.signal }).catch(() => {});
  }

  #track(move: Promise<void>): void {
    const tracked = move.finally(() => this.#moves.delete(tracked));
    this.#moves.add(tracked);
  }
}

function batchLength(waiting: readonly Parcel[]): number {
  let bytes = 0;
  let length = 0;
  while (length < waiting.length && length < BATCH_RECORDS_MAX) {
    bytes += waiting[length]!.frame.length;
    if (bytes > BATCH_BYTES_MAX && length > 0) break;
    length += 1;
  }
  return length;
}
