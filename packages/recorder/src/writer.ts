import { setTimeout as sleep } from 'node:timers/promises';
import { AUDIT_EVENT_SCHEMA_ID, type EncodedDraft, frame } from '@cairn/event';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import { isErrno } from './disk.ts';
import { encodeHeads, type HeadsOwner, type Standing } from './heads.ts';
import { checkOrgId, isOrgId, type StreamKeys } from './keys.ts';
import { gap, type OwnEvent, type OwnKind, seal, streamClose, streamOpen } from './own-events.ts';
import { encodeRouted, withDatum } from './routed-frame.ts';
import type { Spool } from './spool.ts';
import { type ChainedEvent, Stream, type Untold } from './stream.ts';

/** Proof that an event was recorded, and its place. */
export interface Recorded {
  readonly eventId: Uint8Array;
  readonly epoch: number;
  /** Place in the stream; -1 when it was counted and not recorded. */
  readonly seq: number;
  /** SHA-256 over the event: its identity in the ledger. 32 zero bytes when it was not recorded. */
  readonly leafHash: Uint8Array;
  /** False only with `onFull: 'gap'`: there was no room, the loss is counted, and a signed gap event will say so. */
  readonly durable: boolean;
}

export interface WriterOptions {
  readonly spool: Spool;
  readonly keys: StreamKeys;
  readonly owner: HeadsOwner;
  readonly epoch: number;
  /** Where each stream stood when the spool was opened; kept up to date for the heads of new files. */
  readonly standings: Map<string, Standing>;
  /** Fills in an event of the recorder's own, and encodes it. */
  readonly encode: (orgId: string, event: OwnEvent) => EncodedDraft;
  readonly topicOf: (orgId: string) => string;
  readonly partitionOf: (orgId: string) => number;
  readonly sealEveryEvents: number;
  readonly signEvery: boolean;
  readonly onFull: 'refuse' | 'gap';
  readonly batchBytesMax: number;
  /** Between two tries of a write that fails, and of taking space again. */
  readonly retryMs: number;
  readonly clock: { nowMicros(): number };
  readonly monotonicMs: () => number;
  readonly clockShiftMs: () => number;
  /** A write failed twice; it is tried again until it succeeds. */
  readonly onFailing: (error: unknown) => void;
}

const BATCH_RECORDS_MAX = 512;
/** Calls that wait for the disk. Beyond it a disk that hangs would take the memory with it. */
const WAITING_MAX = 20_000;

interface EventTask {
  readonly what: 'event';
  readonly orgId: string;
  readonly event: EncodedDraft;
  readonly resolve: (recorded: Recorded) => void;
  readonly reject: (error: unknown) => void;
}

/** A task that needs a place in a stream. */
type PlacedTask = EventTask | { readonly what: 'own'; readonly orgId: string; readonly kind: OwnKind };

type Task = PlacedTask | { readonly what: 'marker'; readonly resolve: () => void };

/** Events at their places, not yet durable. */
interface Batch {
  readonly placed: {
    readonly stream: Stream;
    readonly chained: ChainedEvent;
    readonly task: EventTask | undefined;
    readonly kind: OwnKind | 'event';
  }[];
  readonly bodies: Uint8Array[];
  bytes: number;
}

/**
 * The one writer: it numbers, chains, signs and appends, so that the order in the spool is the order of the streams.
 * While one batch is being synced the next gathers: that is the group commit.
 */
export class Writer {
  readonly streams = new Map<string, Stream>();
  /** Refusals of organisations that have no stream yet. */
  readonly untold = new Map<string, Untold>();
  readonly counts = { recorded: 0, refused: 0, seals: 0, gaps: 0 };
  readonly #options: WriterOptions;
  #tasks: Task[] = [];
  #running = false;
  /** A batch whose write failed. Its numbers are taken and it may be on disk, so it goes before anything else. */
  #stuck: Batch | undefined;
  #stopped = false;
  #roomTriedMs = Number.NEGATIVE_INFINITY;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Resolves when the event is durable; rejects when it was refused. */
  record(orgId: string, event: EncodedDraft): Promise<Recorded> {
    return new Promise((resolve, reject) => {
      const task: EventTask = { what: 'event', orgId, event, resolve, reject };
      if (this.#stuck !== undefined) this.#refuse(task, failing());
      else if (this.#tasks.length >= WAITING_MAX) this.#refuse(task, busy());
      else this.#submit(task);
    });
  }

  /** Asks for an event of the recorder's own; at most one per stream is waiting. */
  own(orgId: string, kind: OwnKind): void {
    const stream = this.streams.get(orgId);
    if (stream?.ownDue === true && kind !== 'stream_close') return;
    if (stream !== undefined) stream.ownDue = true;
    this.#submit({ what: 'own', orgId, kind });
  }

  /** Resolves when everything that was submitted before is durable or refused. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.#submit({ what: 'marker', resolve }));
  }

  /** Makes a turn, so that a full spool looks for room also when nobody calls. */
  nudge(): void {
    this.#submit({ what: 'marker', resolve: () => {} });
  }

  /** True while a batch that was numbered cannot be written. */
  get failing(): boolean {
    return this.#stuck !== undefined;
  }

  /** Gives up a write that keeps failing. */
  stop(): void {
    this.#stopped = true;
  }

  #submit(task: Task): void {
    this.#tasks.push(task);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    // One turn later, so that calls made together share the first write.
    await Promise.resolve();
    while ((this.#tasks.length > 0 || this.#stuck !== undefined) && !this.#stopped) await this.#turn();
    this.#running = false;
  }

  async #turn(): Promise<void> {
    if (this.#stuck !== undefined) {
      if (!(await this.#commit(this.#stuck))) await sleep(this.#options.retryMs, undefined, { ref: false });
      return;
    }
    if (this.#options.spool.full) await this.#makeRoom();
    const batch: Batch = { placed: [], bodies: [], bytes: 0 };
    const markers: (() => void)[] = [];
    let taken = 0;
    for (; taken < this.#tasks.length && !this.#isLarge(batch); taken++) {
      const task = this.#tasks[taken]!;
      if (task.what === 'marker') markers.push(task.resolve);
      else {
        // A wait for each event would cost as much as its hash.
        const open = this.streams.has(task.orgId) || (await this.#openStream(task));
        if (open && !this.#place(task, batch) && task.what === 'event') await this.#refuseFull(task);
      }
    }
    this.#tasks.splice(0, taken);
    if (batch.bodies.length === 0 || (await this.#commit(batch))) for (const resolve of markers) resolve();
    else this.#tasks.unshift(...markers.map((resolve) => ({ what: 'marker' as const, resolve })));
  }

  async #makeRoom(): Promise<void> {
    const nowMs = this.#options.monotonicMs();
    if (nowMs - this.#roomTriedMs < this.#options.retryMs) return;
    this.#roomTriedMs = nowMs;
    await this.#options.spool.makeRoom();
  }

  #isLarge(batch: Batch): boolean {
    return batch.bodies.length >= BATCH_RECORDS_MAX || batch.bytes >= this.#options.batchBytesMax;
  }

  /** Makes the stream of a task ready for its first event; false when it cannot be, and the task is then done with. */
  async #openStream(task: PlacedTask): Promise<boolean> {
    const { orgId } = task;
    try {
      checkOrgId(orgId);
      const { keys, owner, epoch, standings } = this.#options;
      const previous = standings.get(orgId) ?? { head: undefined, unknown: false };
      const key = await keys.getOrCreate(orgId).catch((error: unknown) => {
        throw isFailure(error) ? error : keyNotStored(orgId, error);
      });
      const stream = new Stream(orgId, owner.gatewayId, key, epoch, previous);
      stream.untold = this.untold.get(orgId);
      stream.counts.refused = stream.untold?.count ?? 0;
      this.untold.delete(orgId);
      this.streams.set(orgId, stream);
      return true;
    } catch (error) {
      // A disk that fails refuses the call, here as in the spool; what is wrong with the event is no loss.
      if (task.what === 'event' && isFailure(error) && error.retry === 'later') this.#refuse(task, error);
      else this.#failed(task, error);
      return false;
    }
  }

  /** False when there is no room for it. */
  #place(task: PlacedTask, batch: Batch): boolean {
    const { signEvery, sealEveryEvents } = this.#options;
    try {
      const stream = this.streams.get(task.orgId)!;
      if (task.what === 'own') stream.ownDue = false;
      if (!stream.open && !this.#placeOwn(stream, 'stream_open', batch)) return false;
      if (task.what === 'own') {
        if (task.kind !== 'stream_open') this.#placeOwn(stream, task.kind, batch);
        return true;
      }
      const chained = stream.place(task.event.body, signEvery);
      if (!this.#add(batch, stream, chained, task, 'event')) return false;
      if (stream.unsealed >= sealEveryEvents) this.#placeOwn(stream, 'seal', batch);
    } catch (error) {
      this.#failed(task, error);
    }
    return true;
  }

  /** A key that cannot be stored, or an event that has no canonical form: this task's failure and no other's. */
  #failed(task: PlacedTask, error: unknown): void {
    if (task.what === 'event') task.reject(error);
    else this.#options.onFailing(error);
  }

  /** False when not even an own event fits; it is asked for again later. */
  #placeOwn(stream: Stream, kind: OwnKind, batch: Batch): boolean {
    const { clockShiftMs, encode } = this.#options;
    const event = {
      stream_open: () => streamOpen(stream.previous),
      seal: () => seal(stream, clockShiftMs()),
      gap: () => gap(stream, clockShiftMs()),
      stream_close: () => streamClose(stream, clockShiftMs()),
    }[kind]();
    const placed = stream.place(encode(stream.orgId, event).body, true);
    const fits = this.#add(batch, stream, placed, undefined, kind);
    if (fits && kind === 'gap') {
      stream.untold = undefined;
      stream.toldAtMs = this.#options.monotonicMs();
    }
    return fits;
  }

  #add(
    batch: Batch,
    stream: Stream,
    chained: ChainedEvent,
    task: EventTask | undefined,
    kind: OwnKind | 'event',
  ) {
    const body = withDatum(this.#headOf(stream), chained.datum);
    if (!this.#options.spool.fits(batch.bytes + body.length, kind !== 'event')) return false;
    stream.advance(chained, this.#options.monotonicMs());
    if (kind === 'event') stream.counts.recorded += 1;
    batch.placed.push({ stream, chained, task, kind });
    batch.bodies.push(body);
    batch.bytes += body.length;
    return true;
  }

  #headOf(stream: Stream): Uint8Array {
    const { orgId } = stream;
    const topic = this.#options.topicOf(orgId);
    if (stream.route?.topic !== topic) {
      const partition = this.#options.partitionOf(orgId);
      const opening = frame(AUDIT_EVENT_SCHEMA_ID, new Uint8Array());
      stream.route = { topic, head: encodeRouted({ orgId, topic, partition, frame: opening }) };
    }
    return stream.route.head;
  }

  /** The commit point: after it the events are part of history, and the shipper may send them. */
  async #commit(batch: Batch): Promise<boolean> {
    const { spool, owner, standings } = this.#options;
    try {
      await spool.append(batch.bodies, () => encodeHeads(owner, standings));
    } catch (error) {
      this.#stuck = batch;
      this.#options.onFailing(error);
      this.#refuseWaiting(batch, error);
      return false;
    }
    this.#stuck = undefined;
    const last = new Map(batch.placed.map(({ stream, chained }) => [stream.orgId, chained.head]));
    for (const [orgId, head] of last) standings.set(orgId, { head, unknown: false });
    for (const { chained, task, kind } of batch.placed) {
      if (kind === 'event') this.counts.recorded += 1;
      else if (kind === 'seal') this.counts.seals += 1;
      else if (kind === 'gap') this.counts.gaps += 1;
      const { epoch, seq, hash } = chained.head;
      task?.resolve({ eventId: task.event.event_id, epoch, seq, leafHash: hash, durable: true });
    }
    return true;
  }

  readonly #refused = new WeakSet<Batch>();

  /** Nobody waits for a disk that fails. The events of the batch itself may yet be recorded; that is no harm. */
  #refuseWaiting(batch: Batch, error: unknown): void {
    // The batch is tried again and again; who waited for it is told once, and counted once.
    if (!this.#refused.has(batch)) {
      this.#refused.add(batch);
      for (const { task } of batch.placed) if (task !== undefined) this.#refuse(task, error);
    }
    for (const task of this.#tasks) if (task.what === 'event') this.#refuse(task, error);
    this.#tasks = this.#tasks.filter((task) => task.what !== 'event');
  }

  async #refuseFull(task: EventTask): Promise<void> {
    await this.#options.spool.declareFull().catch(() => {});
    this.#refuse(task, full());
  }

  #refuse(task: EventTask, error: unknown): void {
    this.counts.refused += 1;
    const stream = this.streams.get(task.orgId);
    const nowMicros = this.#options.clock.nowMicros();
    const before = stream === undefined ? this.untold.get(task.orgId) : stream.untold;
    const { count, fromMicros } = before ?? { count: 0, fromMicros: nowMicros };
    const untold = { count: count + 1, fromMicros, toMicros: nowMicros };
    if (stream !== undefined) {
      stream.counts.refused += 1;
      stream.untold = untold;
    } else if (isOrgId(task.orgId)) this.untold.set(task.orgId, untold);
    const { epoch, onFull } = this.#options;
    const eventId = task.event.event_id;
    if (onFull === 'refuse') task.reject(error);
    else task.resolve({ eventId, epoch, seq: -1, leafHash: new Uint8Array(32), durable: false });
  }
}

function full(): Failure {
  return new Failure({
    code: 'spool.full',
    retry: 'later',
    message: 'The spool has no room: events are recorded faster than they are sent, or the disk is full.',
    publicMessage: 'The audit trail cannot take this call at the moment.',
    mend: 'See whether Kafka is reachable; raise spool.bytesMax or free disk space.',
  });
}

function failing(): Failure {
  return new Failure({
    code: 'spool.failed',
    retry: 'later',
    message: 'The spool cannot be written; the last batch is being tried again.',
    publicMessage: 'The audit trail cannot take this call at the moment.',
    mend: 'See the disk of the spool.',
  });
}

function busy(): Failure {
  return new Failure({
    code: 'spool.busy',
    retry: 'later',
    message: `${WAITING_MAX} calls are waiting for the spool's disk.`,
    publicMessage: 'The audit trail cannot take this call at the moment.',
    mend: 'See whether the disk of the spool answers.',
  });
}

/** Whoever records is told in the same words as when the spool's disk fails: it is the same disk. */
function keyNotStored(orgId: string, cause: unknown): Failure {
  return new Failure({
    code: isErrno(cause, 'ENOSPC') ? 'spool.no-space' : 'spool.failed',
    retry: 'later',
    message: `the key of the streams of ${orgId} could not be stored: ${messageOf(cause)}`,
    publicMessage: 'The audit trail cannot take this call at the moment.',
    mend: 'Check the disk of the recorder’s directory.',
    cause,
  });
}
