import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AuditEvent, type EncodedDraft, type EventDraft, encodeDraft, partitionOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { type Disk, realDisk } from './disk.ts';
import { raiseEpoch } from './epoch.ts';
import { newEventId } from './event-id.ts';
import type { Finding } from './finding.ts';
import { encodeHeads, recoverHeads } from './heads.ts';
import { StreamKeys } from './keys.ts';
import { decodeRouted } from './routed-frame.ts';
import { type EventLog, Shipper } from './shipper.ts';
import { Spool } from './spool.ts';
import type { Stream } from './stream.ts';
import { type Recorded, Writer } from './writer.ts';

export interface RecorderOptions {
  /** Holds the spool, the keys and the epoch. Local disk, one recorder, survives restarts. */
  readonly directory: string;
  /** Name of the installation; first part of every key's name. */
  readonly deployment: string;
  readonly gatewayId: string;
  readonly gatewayVersion: string;
  readonly environment: string;
  /** Who observes what is recorded here, unless a draft says otherwise. */
  readonly capture: AuditEvent['capture'];
  readonly log: EventLog;
  /** Topic of an organisation's events, by its retention class. */
  readonly topicOf: (orgId: string) => string;
  /** Partitions of those topics. Fixed: a stream must stay in one partition. */
  readonly partitions: number;
  /**
   * Organisations whose streams are opened at the start, whether or not they ever recorded anything: their keys are there to
   * be stated before the first call, and their silence shows. The others open at their first event.
   */
  readonly orgIds?: readonly string[];
  readonly spool?: {
    /** Bound on the spool's files; default 1 GiB. */
    readonly bytesMax?: number;
    /** Size at which the next file is begun; default 16 MiB. */
    readonly fileBytes?: number;
    /** Space held back for the recorder's own events; default 1 MiB, at least 256 KiB. */
    readonly reserveBytes?: number;
  };
  readonly seal?: {
    /** Default 256. */
    readonly everyEvents?: number;
    /** Longest time that an event is unsealed; default 1000. */
    readonly everyMs?: number;
    /** Longest silence of a stream; default 5000. */
    readonly heartbeatMs?: number;
  };
  /** `seals` signs the recorder's own events, which authenticate all before them; `every` signs each event. */
  readonly sign?: 'seals' | 'every';
  /** What `record` does without room: refuse the call, or let it go on and count the loss in a signed gap event. */
  readonly onFull?: 'refuse' | 'gap';
  readonly clock?: { nowMicros(): number };
  /** Told what an operator should know. Must not throw. */
  readonly onEvent?: (event: RecorderEvent) => void;
}

export type RecorderEvent =
  | { readonly type: 'finding'; readonly finding: Finding }
  /** The spool became full, or has room again. */
  | { readonly type: 'full' | 'room' }
  /** A batch was refused by the log and is tried again. */
  | { readonly type: 'ship-refused'; readonly error: unknown }
  /** A write failed in two files; calls are refused until one succeeds. */
  | { readonly type: 'write-failing'; readonly error: unknown };

/** An event to record. The recorder fills in what is missing: ids, time, gateway and the place in the stream. */
export type RecordDraft = Omit<
  EventDraft,
  'gateway_id' | 'gateway_version' | 'environment' | 'capture' | 'timestamp'
> &
  Partial<Pick<EventDraft, 'capture' | 'timestamp'>>;

export interface RecorderStats {
  readonly epoch: number;
  /** Events given to `record` that became durable since the start. */
  readonly recorded: number;
  /** Events acknowledged by the log since the start, of earlier starts too. */
  readonly shipped: number;
  readonly spoolBytes: number;
  /** Durable and not acknowledged by the log. */
  readonly spoolRecords: number;
  readonly oldestUnshippedMs: number;
  /** Calls that found no room or a failing disk. */
  readonly refused: number;
  readonly seals: number;
  readonly gaps: number;
  readonly findings: number;
  readonly full: boolean;
  readonly lastShipError: string | undefined;
}

export interface Recorder extends AsyncDisposable {
  /**
   * Resolves when the event is on disk: it survives kill -9 and will be sent, in order. Rejects with a `Failure`:
   * `event.invalid`, `event.too-large`, `spool.full`, `spool.no-space`, `spool.failed`, `spool.busy`, `recorder.closed`. After
   * `spool.failed` and `spool.no-space` the event may still be recorded; the call it is about must not go on.
   */
  record(draft: RecordDraft): Promise<Recorded>;
  /** True when everything recorded before is acknowledged by the log, false when that took longer than this. */
  flush(timeoutMs?: number): Promise<boolean>;
  stats(): RecorderStats;
  /** Organisations that have a key here. */
  readonly orgIds: readonly string[];
  /** Verifier key of an organisation's streams, for whoever checks them; it must have recorded something. */
  vkeyOf(orgId: string): string;
  /**
   * Refuses new events, closes every stream, sends what it can within the deadline (default 5 s) and keeps the rest
   * for the next start.
   */
  close(deadlineMs?: number): Promise<void>;
}

const SPOOL_BYTES_MAX = 1024 ** 3;
const FILE_BYTES = 16 * 1024 ** 2;
const RESERVE_BYTES = 1024 ** 2;
const RESERVE_BYTES_MIN = 256 * 1024;
const BATCH_BYTES_MAX = 256 * 1024;
const CLOSE_DEADLINE_MS = 5_000;
/** How often a full spool tells again how many calls found no room, and heartbeats when the log is away as well. */
const FULL_PACE_MS = 60_000;

/** What tests put in the place of the real disk and the real waiting. */
export interface RecorderParts {
  readonly disk?: Disk;
  /**
   * Waits, in milliseconds: before a failed write is tried again, before the moved cursor is stored, for a batch to fill,
   * between sends.
   */
  readonly pace?: {
    readonly retryMs: number;
    readonly cursorMs: number;
    readonly lingerMs: number;
    readonly backoff: { readonly firstMs: number; readonly mostMs: number };
  };
}

/**
 * Storing the cursor is a synced write beside those of the events, which wait a little longer for it. A crash sends what was
 * sent since it was stored again, and readers drop it by its place in the stream.
 */
const PACE = {
  retryMs: 250,
  cursorMs: 500,
  lingerMs: 20,
  backoff: { firstMs: 100, mostMs: 10_000 },
};

/**
 * Opens the recorder in its directory. Everything an earlier run left is sent first-come; each stream known from then
 * is opened again, in a new epoch.
 *
 * 1 lock the directory; 2 read the spool; 3 raise the epoch; 4 begin the first spool file of a new directory; 5 open
 * the streams; 6 send. After 3 nothing that an earlier run numbered can be numbered again; a crash before 5 leaves an
 * epoch without events. Keys are made after 4, so a key beside an empty spool directory means that the spool was lost.
 */
export async function openRecorder(options: RecorderOptions, parts: RecorderParts = {}): Promise<Recorder> {
  check(options);
  const disk = parts.disk ?? realDisk;
  await disk.makeDirectory(options.directory);
  const lock = disk.lock(options.directory);
  try {
    return await open(options, disk, parts.pace ?? PACE, lock);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

async function open(
  options: RecorderOptions,
  disk: Disk,
  pace: typeof PACE,
  lock: Disposable,
): Promise<Recorder> {
  const { directory, deployment, gatewayId, onEvent } = options;
  const clock = options.clock ?? { nowMicros: () => Date.now() * 1000 };
  const nowMs = () => Math.floor(clock.nowMicros() / 1000);
  const owner = { deployment, gatewayId };
  let findings = 0;
  let wake = () => {};
  const onFinding = (finding: Finding) => {
    findings += 1;
    onEvent?.({ type: 'finding', finding });
  };

  const spool = await Spool.open({
    disk,
    directory: join(directory, 'spool'),
    ...spoolBounds(options),
    cursorMs: pace.cursorMs,
    nowMs,
    onFinding,
    onChange: () => wake(),
  });
  const keys = await StreamKeys.open(disk, join(directory, 'keys'), deployment, gatewayId);
  const { standings, epoch: seen } = recoverHeads(owner, spool.recovered);
  const { epoch, stored } = await raiseEpoch(disk, directory, seen, nowMs());
  const { fresh, headLost } = spool.recovered;
  if (!stored && !(fresh && keys.orgIds.length === 0)) {
    onFinding({ code: 'epoch.lost', file: 'epoch', message: `The epoch goes on at ${epoch}.` });
  }
  // An organisation with a key has recorded something, or was about to when the spool still told of no loss.
  for (const orgId of keys.orgIds) {
    if (!standings.has(orgId) && (fresh || headLost))
      standings.set(orgId, { head: undefined, unknown: true });
  }
  if (spool.recovered.files.length === 0) await spool.begin(encodeHeads(owner, standings));

  const writer = new Writer({
    spool,
    keys,
    owner,
    epoch,
    standings,
    encode: (orgId, event) => encode({ org_id: orgId, ...event }),
    topicOf: options.topicOf,
    partitionOf: (orgId) => partitionOf(orgId, gatewayId, options.partitions),
    sealEveryEvents: options.seal?.everyEvents ?? 256,
    signEvery: options.sign === 'every',
    onFull: options.onFull ?? 'refuse',
    batchBytesMax: Math.min(BATCH_BYTES_MAX, spoolBounds(options).reserveBytes / 4),
    retryMs: pace.retryMs,
    clock,
    monotonicMs: () => performance.now(),
    clockShiftMs: clockShift(nowMs),
    onFailing: (error) => onEvent?.({ type: 'write-failing', error }),
  });
  for (const orgId of new Set([...standings.keys(), ...keys.orgIds, ...(options.orgIds ?? [])]))
    writer.own(orgId, 'stream_open');
  await Promise.race([writer.settled(), sleep(CLOSE_DEADLINE_MS, undefined, { ref: false })]);

  let shipped = 0;
  const ownFirst = spool.recovered.next;
  const shipper = new Shipper({
    source: spool,
    log: options.log,
    routeOf: decodeRouted,
    onShipped: (parcels) => {
      shipped += parcels.length;
      for (const { orgId, number } of parcels) {
        const stream = number >= ownFirst ? writer.streams.get(orgId) : undefined;
        if (stream !== undefined) stream.counts.shipped += 1;
      }
    },
    lingerMs: pace.lingerMs,
    backoff: pace.backoff,
    onRefused: (error) => onEvent?.({ type: 'ship-refused', error }),
  });
  wake = () => shipper.wake();
  wake();

  const pulse = startPulse(options, writer, spool, shipper, onEvent);
  let closing: Promise<void> | undefined;

  function encode(draft: RecordDraft): EncodedDraft {
    const event_id = draft.event_id ?? newEventId(nowMs());
    return encodeDraft(
      {
        ...draft,
        gateway_id: gatewayId,
        gateway_version: options.gatewayVersion,
        environment: options.environment,
        capture: draft.capture ?? options.capture,
        timestamp: draft.timestamp ?? clock.nowMicros(),
      },
      { event_id },
    );
  }

  async function flush(timeoutMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    const untilMs = performance.now() + timeoutMs;
    const settled = writer.settled().then(() => true);
    if (!(await within(settled, untilMs))) return false;
    const end = spool.end;
    while (spool.sent < end) {
      if (performance.now() >= untilMs) return false;
      await sleep(5);
    }
    await spool.storeCursor().catch(() => {});
    return true;
  }

  async function close(deadlineMs = CLOSE_DEADLINE_MS): Promise<void> {
    const untilMs = performance.now() + deadlineMs;
    pulse[Symbol.dispose]();
    for (const { orgId, open } of writer.streams.values()) if (open) writer.own(orgId, 'stream_close');
    await flush(deadlineMs);
    writer.stop();
    await shipper.close(Math.max(100, untilMs - performance.now()));
    await spool.close();
    lock[Symbol.dispose]();
  }

  return {
    record: async (draft) => {
      if (closing !== undefined) throw closed();
      return writer.record(draft.org_id, encode(draft));
    },
    flush,
    stats: () => ({
      epoch,
      recorded: writer.counts.recorded,
      shipped,
      spoolBytes: spool.bytes,
      spoolRecords: spool.depth,
      oldestUnshippedMs: spool.oldestMs,
      refused: writer.counts.refused,
      seals: writer.counts.seals,
      gaps: writer.counts.gaps,
      findings,
      full: spool.full,
      lastShipError: shipper.lastError?.message,
    }),
    get orgIds() {
      return keys.orgIds;
    },
    vkeyOf: (orgId) => keys.get(orgId)?.vkey ?? noKey(orgId),
    close: (deadlineMs) => (closing ??= close(deadlineMs)),
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}

/** Asks for seals, heartbeats and gap events when they are due. */
function startPulse(
  options: RecorderOptions,
  writer: Writer,
  spool: Spool,
  shipper: Shipper,
  onEvent: RecorderOptions['onEvent'],
): Disposable {
  const everyMs = options.seal?.everyMs ?? 1000;
  const heartbeatMs = options.seal?.heartbeatMs ?? 5000;
  let wasFull = spool.full;
  const due = (stream: Stream, nowMs: number) => {
    if (!stream.open) return 'stream_open';
    // A full spool whose log is away has room for few events: they are for gaps.
    const paceMs = spool.full && shipper.lastError !== undefined ? FULL_PACE_MS : 0;
    if (stream.untold !== undefined && nowMs - stream.toldAtMs >= (spool.full ? FULL_PACE_MS : 0))
      return 'gap';
    if (stream.unsealed > 0 && nowMs - stream.unsealedSinceMs >= Math.max(everyMs, paceMs)) return 'seal';
    if (nowMs - stream.signedAtMs >= Math.max(heartbeatMs, paceMs)) return 'seal';
    return undefined;
  };
  const beat = () => {
    if (spool.full !== wasFull) onEvent?.({ type: (wasFull = spool.full) ? 'full' : 'room' });
    if (writer.failing) return;
    const nowMs = performance.now();
    for (const stream of writer.streams.values()) {
      const kind = due(stream, nowMs);
      if (kind !== undefined) writer.own(stream.orgId, kind);
    }
    // Their first call was refused: only a stream can say so.
    for (const orgId of writer.untold.keys()) writer.own(orgId, 'stream_open');
    if (spool.full) writer.nudge();
  };
  const timer = setInterval(beat, Math.max(5, Math.min(250, everyMs / 4, heartbeatMs / 4))).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Milliseconds by which the wall clock has moved against the monotonic one since the start. */
function clockShift(nowMs: () => number): () => number {
  const startMs = nowMs() - performance.now();
  return () => Math.round(nowMs() - performance.now() - startMs);
}

async function within(done: Promise<boolean>, untilMs: number): Promise<boolean> {
  if (untilMs === Number.POSITIVE_INFINITY) return done;
  const timer = new AbortController();
  const late = sleep(Math.max(0, untilMs - performance.now()), false, { signal: timer.signal }).catch(
    () => false,
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    timer.abort();
  }
}

function spoolBounds({ spool }: RecorderOptions): {
  bytesMax: number;
  fileBytes: number;
  reserveBytes: number;
} {
  const bytesMax = spool?.bytesMax ?? SPOOL_BYTES_MAX;
  // At least four files, so that sending always frees some.
  const fileBytes = Math.min(spool?.fileBytes ?? FILE_BYTES, Math.floor(bytesMax / 4));
  return { bytesMax, fileBytes, reserveBytes: spool?.reserveBytes ?? RESERVE_BYTES };
}

function check(options: RecorderOptions): void {
  const { bytesMax, reserveBytes } = spoolBounds(options);
  const wrong =
    (!(reserveBytes >= RESERVE_BYTES_MIN) && `spool.reserveBytes is below ${RESERVE_BYTES_MIN}`) ||
    (!(bytesMax >= 4 * RESERVE_BYTES_MIN) && `spool.bytesMax is below ${4 * RESERVE_BYTES_MIN}`) ||
    (!(Number.isInteger(options.partitions) && options.partitions > 0) &&
      'partitions is not a positive integer');
  if (wrong) throw new Failure({ code: 'recorder.options', retry: 'no', message: `Recorder: ${wrong}.` });
}

function closed(): Failure {
  return new Failure({ code: 'recorder.closed', retry: 'no', message: 'The recorder is closed.' });
}

function noKey(orgId: string): never {
  const message = `Organisation ${JSON.stringify(orgId)} has recorded nothing yet, so it has no key.`;
  throw new Failure({ code: 'recorder.no-key', retry: 'no', message });
}
