import {
  type AssignedPartition,
  type Chunk,
  type ChunkLimits,
  type Clock,
  type Consumption,
  consume,
  type PartitionWork,
  type RawSource,
  realClock,
} from '@cairn/runtime';
import { endAlerts } from './end-alerts.ts';
import { type FoldedRecords, type FoldOptions, PartitionFolder, type RulesInForce } from './fold-records.ts';
import { type OpenOptions, type OpenPartition, openPartition } from './open-partition.ts';
import { type Watched, type WatchOptions, watchChunk } from './watch-chunk.ts';
import type { PartitionWindows } from './windows.ts';

export interface WatchPartitionsOptions extends WatchOptions, FoldOptions, OpenOptions {
  readonly source: RawSource;
  /** The rules in force when a chunk begins. */
  readonly rulesNow: () => RulesInForce;
  readonly limits: ChunkLimits;
  readonly bufferBytesMax: number;
  /** How often it is looked whether alerts and windows have ended. */
  readonly endEveryMs: number;
  readonly retry?: { readonly firstMs: number; readonly mostMs: number };
  readonly clock?: Clock;
  /**
   * Called with the windows of a partition of which nothing was known, before anything of it is counted.
   *
   * @param rebuilds they were lost, and are made again from as far back as the log goes.
   */
  readonly learn?: (windows: PartitionWindows, rebuilds: boolean) => Promise<void>;
  readonly onOpened: (partition: AssignedPartition, open: OpenPartition) => void;
  readonly onWatched: (partition: AssignedPartition, chunk: Chunk<FoldedRecords>, watched: Watched) => void;
  readonly onEnded: (count: number) => void;
  readonly onTrouble: (partition: AssignedPartition | undefined, error: unknown) => void;
}

/** Most of a load is waiting: for Redis, for the disk, for Kafka. */
const LOADS_AT_ONCE = 4;

/** Of a whole chunk, how much the first of a backlog holds: a different part of it for neighbours. */
const shareOf = (partition: number): number => (1 + (partition % LOADS_AT_ONCE)) / LOADS_AT_ONCE;

/** Whether a partition's time passes by the clock. */
interface Passing {
  readonly partition: AssignedPartition;
  readonly windows: PartitionWindows;
  /** Everything that the log has was watched. */
  isCaughtUp: boolean;
  /** What ends by the clock at the moment; a chunk waits for it. */
  turn: Promise<unknown>;
}

/** Alerting without its surroundings: every record of a source against the rules, and alerts until they end. */
export async function watchPartitions(options: WatchPartitionsOptions): Promise<Consumption> {
  const clock = options.clock ?? realClock;
  const passing = new Map<string, Passing>();

  const open = async (partition: AssignedPartition): Promise<PartitionWork<FoldedRecords>> => {
    const opened = await openPartition(options, partition);
    options.onOpened(partition, opened);
    if (opened.counted === undefined || opened.rebuilds)
      await options.learn?.(opened.windows, opened.rebuilds);
    const passed: Passing = {
      partition,
      windows: opened.windows,
      isCaughtUp: opened.start >= opened.end,
      turn: Promise.resolve(),
    };
    passing.set(`${partition.topic}/${partition.partition}`, passed);
    const folder = new PartitionFolder(options, opened);
    // Where a backlog begins, so that the whole chunks of all partitions do not come to the windows at the same time.
    let begins = true;
    return {
      start: opened.start,
      gather: () => folder.gather(options.rulesNow()),
      fewer() {
        if (!begins) return undefined;
        begins = false;
        return Math.ceil(options.limits.recordsMax * shareOf(partition.partition));
      },
      async load(chunk) {
        await passed.turn;
        // Should this fail, nobody knows how far it came: nothing ends until it was taken up again.
        passed.isCaughtUp = false;
        const watched = await watchChunk(options, partition, opened, chunk);
        chunk.gathered.release();
        passed.isCaughtUp = chunk.behind <= 0;
        begins ||= passed.isCaughtUp;
        options.onWatched(partition, chunk, watched);
      },
    };
  };

  const consumption = await consume({
    source: options.source,
    open,
    limits: options.limits,
    bufferBytesMax: options.bufferBytesMax,
    loadsAtOnce: LOADS_AT_ONCE,
    onTrouble: options.onTrouble,
    ...(options.retry ? { retry: options.retry } : {}),
    clock,
  });

  /** Ends what has ended where nothing arrives. */
  const end = async (): Promise<void> => {
    const { rules } = options.rulesNow();
    for (const [name, passed] of passing) {
      if (passed.partition.lost.aborted) passing.delete(name);
      if (passed.partition.lost.aborted || !passed.isCaughtUp) continue;
      const passedTo = options.nowMs() * 1_000 - options.closeGrace;
      const ending = endAlerts(options, rules, passed.windows, passedTo, false).then(async (ended) => {
        await passed.windows.close(ended);
        if (ended.length > 0) options.onEnded(ended.length);
      });
      passed.turn = ending.catch(() => {});
      await ending;
    }
  };

  let isOver = false;
  let ending: Promise<void> = Promise.resolve();
  let callOff = (): void => {};
  const endLater = (): void => {
    callOff = clock.after(options.endEveryMs, () => {
      ending = end()
        .catch((error: unknown) => options.onTrouble(undefined, error))
        .then(() => {
          if (!isOver) endLater();
        });
    });
  };
  endLater();

  return {
    get owned() {
      return consumption.owned;
    },
    get bufferedBytes() {
      return consumption.bufferedBytes;
    },
    reopen: (topic, partition, why) => consumption.reopen(topic, partition, why),
    async [Symbol.asyncDispose]() {
      isOver = true;
      callOff();
      await ending;
      await consumption[Symbol.asyncDispose]();
    },
  };
}
