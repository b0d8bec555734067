import {
  type AssignedPartition,
  type Chunk,
  type ChunkLimits,
  type Clock,
  type Consumption,
  consume,
  type KeptRecords,
  Pages,
  type RawSource,
  Shelf,
} from '@cairn/runtime';
import { type Forwarded, type ForwardOptions, forwardChunk } from './forward-chunk.ts';

export interface ForwardPartitionsOptions extends ForwardOptions {
  readonly source: RawSource;
  /** Where the destination begins the very first time. */
  readonly start: 'earliest' | 'latest';
  readonly chunk: ChunkLimits;
  readonly bufferBytesMax: number;
  readonly clock: Clock;
  readonly onOpened: (partition: AssignedPartition, start: number) => void;
  /** Offsets that the log let go of before they were forwarded. Resolves when that stands in the trail. */
  readonly onLost: (partition: AssignedPartition, count: number) => Promise<void>;
  readonly onForwarded: (partition: AssignedPartition, chunk: Chunk, forwarded: Forwarded) => void;
  readonly onTrouble: (partition: AssignedPartition, error: unknown) => void;
}

/**
 * Everything that the log holds to one destination, in the order of each partition, as a consumer group of its own. One chunk at a time:
 * what a crash can double is one batch.
 */
export async function forwardPartitions(options: ForwardPartitionsOptions): Promise<Consumption> {
  const stopping = new AbortController();
  const pages = new Pages(options.bufferBytesMax + options.chunk.bytesMax);
  const consumption = await consume({
    source: options.source,
    async open(partition) {
      const start = await openPartition(options, partition);
      options.onOpened(partition, start);
      const over = AbortSignal.any([partition.lost, stopping.signal]);
      const shelf = new Shelf(pages);
      return {
        start,
        gather: () => shelf.gather(),
        async load(chunk: Chunk<KeptRecords>) {
          const forwarded = await forwardChunk(options, partition, chunk, over);
          chunk.gathered.release();
          options.onForwarded(partition, chunk, forwarded);
        },
      };
    },
    limits: options.chunk,
    bufferBytesMax: options.bufferBytesMax,
    loadsAtOnce: 1,
    onTrouble: options.onTrouble,
    clock: options.clock,
  });
  return {
    get owned() {
      return consumption.owned;
    },
    get bufferedBytes() {
      return consumption.bufferedBytes;
    },
    reopen: (topic, partition, why) => consumption.reopen(topic, partition, why),
    async [Symbol.asyncDispose]() {
      // What is not acknowledged by now is sent again by whoever comes next.
      stopping.abort();
      await consumption[Symbol.asyncDispose]();
    },
  };
}

/** Where to go on: behind what the group has committed. Where it begins is committed before the first record is read. */
async function openPartition(
  { start, onLost }: ForwardPartitionsOptions,
  partition: AssignedPartition,
): Promise<number> {
  const [{ offset }, { first, end }] = await Promise.all([partition.committed(), partition.bounds()]);
  if (offset === undefined) {
    const begin = start === 'latest' ? end : first;
    await partition.commit(begin, '');
    return begin;
  }
  if (offset < first) await onLost(partition, first - offset);
  return Math.max(offset, first);
}
