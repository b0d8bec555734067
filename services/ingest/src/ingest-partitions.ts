import type { Kafka } from '@cairn/adapters';
import { isFailure } from '@cairn/failure';
import { Acceptance } from '@cairn/ledger';
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
import type { Encoder } from './encoder.ts';
import type { EventTable } from './event-table.ts';
import { groupInserts } from './group-inserts.ts';
import { type Loaded, loadChunk } from './load-chunk.ts';
import { type OpenedPartition, openPartition } from './open-partition.ts';
import { openSorted, type SchemaIdOf, type Sorted } from './sort-records.ts';

export interface IngestPartitionsOptions {
  readonly source: RawSource;
  readonly table: EventTable;
  readonly kafka: Pick<Kafka, 'appendWithHeaders'>;
  readonly encoder: Encoder;
  readonly releasedIdOf: SchemaIdOf;
  readonly limits: ChunkLimits;
  readonly bufferBytesMax: number;
  readonly loadsAtOnce: number;
  /** Unique to this process. */
  readonly instance: string;
  readonly retry?: { readonly firstMs: number; readonly mostMs: number };
  readonly clock?: Clock;
  readonly onOpened: (partition: AssignedPartition, opened: OpenedPartition) => void;
  readonly onLoaded: (partition: AssignedPartition, chunk: Chunk, loaded: Loaded) => void;
  readonly onTrouble: (partition: AssignedPartition, error: unknown) => void;
}

/** Ingest without its surroundings: every record of a source into the table or to its named outcome. */
export async function ingestPartitions(options: IngestPartitionsOptions): Promise<Consumption> {
  const { table, limits } = options;
  const suspects = new Map<string, Suspect>();
  let openings = 0;
  const insert = groupInserts({ table, clock: options.clock ?? realClock });
  const loader = { table, kafka: options.kafka, insert };

  const open = async (partition: AssignedPartition): Promise<PartitionWork<Sorted>> => {
    openings += 1;
    const opened = await openPartition(table, partition, `${options.instance}-${openings}`);
    options.onOpened(partition, opened);
    const { topic, partition: number, partitions } = partition;
    const { releasedIdOf } = options;
    const acceptance = new Acceptance({ partition: number, partitions, releasedIdOf }, opened.streams);
    const sorting = { ...opened, topic, partition: number, acceptance };
    const key = `${topic} ${number}`;
    let next = opened.start;
    return {
      start: opened.anchor?.offset ?? opened.start,
      gather: () => openSorted(sorting, options.encoder.open(sorting)),
      fewer(first) {
        const suspect = suspects.get(key);
        return suspect !== undefined && first <= suspect.last ? suspect.recordsMax : undefined;
      },
      async load(chunk, letGo) {
        letGo();
        try {
          const loaded = await loadChunk(loader, partition, opened, chunk);
          next = chunk.last + 1;
          options.onLoaded(partition, chunk, loaded);
        } catch (error) {
          if (isFailure(error, 'ingest.rows-refused')) {
            const last = Math.max(chunk.last, suspects.get(key)?.last ?? 0);
            suspects.set(key, { last, recordsMax: Math.ceil(chunk.count / 2) });
          }
          throw error;
        }
      },
      // Kafka's own tools then show that nothing waits. The table stays what decides.
      idle: () => partition.commit(next, ''),
    };
  };

  return consume({
    source: options.source,
    open,
    limits,
    bufferBytesMax: options.bufferBytesMax,
    loadsAtOnce: options.loadsAtOnce,
    loadBytesMax: limits.bytesMax,
    splitBetween: onDifferentDays,
    onTrouble: options.onTrouble,
    ...(options.retry ? { retry: options.retry } : {}),
    ...(options.clock ? { clock: options.clock } : {}),
  });
}

/** The table refused one of the rows up to an offset, nobody knows which: chunks are halved until it stands alone. */
interface Suspect {
  /** Inclusive. */
  readonly last: number;
  readonly recordsMax: number;
}

/** An insert is one part of the table, and the table's parts are cut by the broker's day. */
const onDifferentDays = (leftMs: number, rightMs: number): boolean =>
  Math.floor(leftMs / DAY_MS) !== Math.floor(rightMs / DAY_MS);

const DAY_MS = 86_400_000;
