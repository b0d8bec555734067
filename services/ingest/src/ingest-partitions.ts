import type { Kafka } from '@cairn/adapters';
import { isFailure } from '@cairn/failure';
import type {
  AssignedPartition,
  Chunk,
  ChunkLimits,
  Clock,
  Consumption,
  LogRecord,
  PartitionWork,
  RawSource,
} from '@cairn/runtime';
import { consume } from '@cairn/runtime';
import type { Encoder } from './encoder.ts';
import type { EventTable } from './event-table.ts';
import { type Loaded, loadChunk } from './load-chunk.ts';
import { type OpenedPartition, openPartition } from './open-partition.ts';
import type { SchemaIdOf } from './sort-records.ts';

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

  const open = async (partition: AssignedPartition): Promise<PartitionWork> => {
    openings += 1;
    const opened = await openPartition(table, partition, `${options.instance}-${openings}`);
    options.onOpened(partition, opened);
    const key = `${partition.topic} ${partition.partition}`;
    let next = opened.start;
    const suspect = (): Suspect | undefined => {
      const found = suspects.get(key);
      return found !== undefined && next <= found.last ? found : undefined;
    };
    return {
      start: opened.anchor?.offset ?? opened.start,
      fewer: () => suspect()?.recordsMax,
      async load(chunk, release) {
        const records = chunk.records.length;
        try {
          const loaded = await loadChunk(options, partition, opened, chunk, release);
          next = chunk.last + 1;
          options.onLoaded(partition, chunk, loaded);
        } catch (error) {
          if (isFailure(error, 'ingest.rows-refused')) {
            const last = Math.max(chunk.last, suspect()?.last ?? 0);
            suspects.set(key, { last, recordsMax: Math.ceil(records / 2) });
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
function onDifferentDays(left: LogRecord, right: LogRecord): boolean {
  return dayOf(left) !== dayOf(right);
}

const DAY_MS = 86_400_000;
const dayOf = ({ appendedAtMs }: LogRecord): number => Math.floor(appendedAtMs / DAY_MS);
