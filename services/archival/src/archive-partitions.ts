import type {
  AssignedPartition,
  Chunk,
  ChunkLimits,
  Clock,
  Consumption,
  PartitionWork,
  RawSource,
} from '@cairn/runtime';
import { consume, realClock } from '@cairn/runtime';
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
  readonly onTaken: (partition: AssignedPartition, chunk: Chunk, taken: Taken) => void;
  readonly onStored: (partition: AssignedPartition, stored: StoredSegment, tookMs: number) => void;
  readonly onFinding: (finding: Finding) => void;
  readonly onTrouble: (partition: AssignedPartition, error: unknown) => void;
}

/** Archival without its surroundings: every event of a source into exactly one segment of its partition's log. */
export async function archivePartitions(options: ArchivePartitionsOptions): Promise<Consumption> {
  const clock = options.clock ?? realClock;

  const open = async (partition: AssignedPartition): Promise<PartitionWork> => {
    const log = await openPartition(options, partition);
    for (const finding of log.findings) options.onFinding(finding);
    options.onOpened(partition, log);
    const work = partitionWork(options, clock, partition, log, (error) =>
      consumption.reopen(partition.topic, partition.partition, error),
    );
    return work;
  };

  const consumption = await consume({
    source: options.source,
    open,
    limits: options.limits,
    bufferBytesMax: options.bufferBytesMax,
    onTrouble: options.onTrouble,
    ...(options.retry ? { retry: options.retry } : {}),
    clock,
  });
  return consumption;
}

/** One log while this process writes it: chunks are taken and segments ended one after the other, never side by side. */
function partitionWork(
  options: ArchivePartitionsOptions,
  clock: Clock,
  partition: AssignedPartition,
  log: OpenLog,
  onTrouble: (error: unknown) => void,
): PartitionWork {
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
      if (isOver) return;
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

  const end = async (): Promise<void> => {
    const { segment } = log;
    if (segment === undefined) return;
    const beganMs = clock.nowMs();
    log.segment = undefined;
    begun = undefined;
    const stored = await writeSegment({ ...options, retention }, partition, log, segment.close());
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
      if (isOld()) await end();
    }).then(
      () => clock.after(Math.max(10, segmentAgeMsMax / 8), look),
      (error: unknown) => onTrouble(error),
    );
  };
  const callOff = clock.after(Math.max(10, segmentAgeMsMax / 8), look);
  partition.lost.addEventListener('abort', callOff, { once: true });

  return {
    start: log.start,
    load: (chunk) =>
      inTurn(async () => {
        const { oldestAppendedAtMs: receivedAtMs } = chunk;
        const taken = await takeRecords(log, chunk, end, options.onFinding);
        isCaughtUp = chunk.behind <= 0;
        if (log.segment === undefined) begun = undefined;
        else begun ??= { takenAtMs: clock.nowMs(), receivedAtMs: receivedAtMs ?? nowMs() };
        options.onTaken(partition, chunk, taken);
        if (isOld()) await end();
      }),
  };
}
