import { Failure, isFailure } from '@cairn/failure';
import type {
  AssignedPartition,
  Chunk,
  ChunkLimits,
  Clock,
  Consumption,
  PartitionWork,
  RawSource,
} from '@cairn/runtime';
import { consume, type KeptRecords, Pages, realClock, Shelf } from '@cairn/runtime';
import type { Finding } from './finding.ts';
import { type OpenLog, type OpenOptions, openPartition } from './open-partition.ts';
import { type Taken, takeRecords } from './take-records.ts';
import { type LogRetention, type SegmentOptions, type StoredSegment, writeSegment } from './write-segment.ts';

export interface ArchivePartitionsOptions extends OpenOptions, Omit<SegmentOptions, 'retention'> {
  readonly source: RawSource;
  readonly retentionOf: (topic: string) => LogRetention;
  readonly limits: ChunkLimits;
  readonly bufferBytesMax: number;
  /** Longest that an event is taken and not archived. */
  readonly segmentAgeMsMax: number;
  readonly retry?: { readonly firstMs: number; readonly mostMs: number };
  readonly clock?: Clock;
  readonly onOpened: (partition: AssignedPartition, log: OpenLog) => void;
  readonly onTaken: (partition: AssignedPartition, chunk: Chunk<KeptRecords>, taken: Taken) => void;
  readonly onStored: (partition: AssignedPartition, stored: StoredSegment, tookMs: number) => void;
  readonly onFinding: (finding: Finding) => void;
  readonly onTrouble: (partition: AssignedPartition, error: unknown) => void;
}

export interface Archiving extends Consumption {
  /** When the broker received the oldest event that is taken and not archived; undefined when there is none. */
  readonly unarchivedSinceMs: number | undefined;
}

/** Archival without its surroundings: every event of a source into exactly one segment of its partition's log. */
export async function archivePartitions(options: ArchivePartitionsOptions): Promise<Archiving> {
  const clock = options.clock ?? realClock;
  /** The latest work on each partition. It goes on by its own clock, so it is ended before another one begins. */
  const works = new Map<string, LogWork>();
  const pages = new Pages(options.bufferBytesMax + options.limits.bytesMax);
  let consumption: Consumption | undefined;

  const open = async (partition: AssignedPartition): Promise<LogWork> => {
    const { topic, partition: number } = partition;
    const key = `${topic} ${number}`;
    await works.get(key)?.end();
    const log = await openPartition(options, partition);
    for (const finding of log.findings) options.onFinding(finding);
    options.onOpened(partition, log);
    const work = logWork(options, clock, partition, log, new Shelf(pages), (error) =>
      consumption?.reopen(topic, number, error),
    );
    works.set(key, work);
    return work;
  };

  const started = await consume({
    source: options.source,
    open,
    limits: options.limits,
    bufferBytesMax: options.bufferBytesMax,
    onTrouble: options.onTrouble,
    ...(options.retry ? { retry: options.retry } : {}),
    clock,
  });
  consumption = started;
  return {
    get owned() {
      return started.owned;
    },
    get bufferedBytes() {
      return started.bufferedBytes;
    },
    get unarchivedSinceMs() {
      const since = [...works.values()].flatMap((work) => work.unarchivedSinceMs ?? []);
      return since.length === 0 ? undefined : Math.min(...since);
    },
    reopen: (topic, partition, why) => started.reopen(topic, partition, why),
    async [Symbol.asyncDispose]() {
      await started[Symbol.asyncDispose]();
      await Promise.all([...works.values()].map((work) => work.end()));
    },
  };
}

interface LogWork extends PartitionWork<KeptRecords> {
  readonly unarchivedSinceMs: number | undefined;
  /** Afterwards this work does nothing any more. What it has taken and not written is taken again by the next. */
  end(): Promise<void>;
}

/** One log while this process writes it: chunks are taken and segments ended one after the other, never side by side. */
function logWork(
  options: ArchivePartitionsOptions,
  clock: Clock,
  partition: AssignedPartition,
  log: OpenLog,
  shelf: Shelf,
  onTrouble: (error: unknown) => void,
): LogWork {
  const { segmentAgeMsMax, nowMs } = options;
  const retention = options.retentionOf(partition.topic);
  let turn: Promise<void> = Promise.resolve();
  /** Once a step has failed nobody knows how far it came: this work does nothing any more. */
  let isOver = false;
  let isCaughtUp = false;
  /** Of the segment that is being filled: when its first event was taken, and when the broker received it. */
  let begun: { readonly takenAtMs: number; readonly receivedAtMs: number } | undefined;

  const inTurn = (act: () => Promise<void>): Promise<void> => {
    const done = turn.then(async () => {
      if (isOver) throw workOver(log.origin);
      try {
        await act();
      } catch (error) {
        isOver = true;
        throw error;
      }
    });
    turn = done.catch(() => {});
    return done;
  };

  const endSegment = async (): Promise<void> => {
    const { segment } = log;
    if (segment === undefined) return;
    const beganMs = clock.nowMs();
    log.segment = undefined;
    const stored = await writeSegment({ ...options, retention }, partition, log, segment.close());
    begun = undefined;
    options.onStored(partition, stored, clock.nowMs() - beganMs);
  };

  const isOld = (): boolean => {
    if (begun === undefined || log.fixedEnd !== undefined) return false;
    // Far behind, the broker's time would cut a segment from every chunk.
    if (isCaughtUp && nowMs() - begun.receivedAtMs >= segmentAgeMsMax) return true;
    return clock.nowMs() - begun.takenAtMs >= segmentAgeMsMax;
  };

  const look = (): void => {
    if (isOver || partition.lost.aborted) return;
    inTurn(async () => {
      if (partition.lost.aborted) return;
      if (isCaughtUp) for (const finding of log.watches.silent(nowMs())) options.onFinding(finding);
      if (isOld()) await endSegment();
    }).then(again, (error: unknown) => {
      if (!isFailure(error, 'archive.work-over')) onTrouble(error);
    });
  };
  let callOff = (): void => {};
  const again = (): void => {
    if (!isOver) callOff = clock.after(Math.max(10, segmentAgeMsMax / 8), look);
  };
  again();

  return {
    start: log.start,
    gather: () => shelf.gather(),
    get unarchivedSinceMs() {
      return isOver ? undefined : begun?.receivedAtMs;
    },
    load: (chunk) =>
      inTurn(async () => {
        const { oldestAppendedAtMs: receivedAtMs } = chunk;
        const taken = await takeRecords(log, chunk, endSegment, options.onFinding);
        chunk.gathered.release();
        isCaughtUp = chunk.behind <= 0;
        if (log.segment === undefined) begun = undefined;
        else begun ??= { takenAtMs: clock.nowMs(), receivedAtMs: receivedAtMs ?? nowMs() };
        options.onTaken(partition, chunk, taken);
        if (isOld()) await endSegment();
      }),
    async end() {
      isOver = true;
      callOff();
      await turn;
    },
  };
}

function workOver(origin: string): Failure {
  return new Failure({
    code: 'archive.work-over',
    retry: 'yes',
    message: `the work on ${origin} had ended; it is taken up again`,
  });
}
