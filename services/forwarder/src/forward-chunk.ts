import type { ParkedRecord } from '@cairn/adapters';
import type { AssignedPartition, Chunk, KeptRecords } from '@cairn/runtime';
import type { Lane, Refusal } from './deliver-items.ts';
import type { Item } from './destination.ts';
import { type ReadOptions, readItems } from './read-items.ts';

/** Where refused records are set aside. packages/adapters/src/parked-records.ts keeps them in SQLite. */
export interface Parking {
  /** Resolves when they are on disk, all or none. */
  park(records: readonly ParkedRecord[], nowMs: number): void;
}

export interface ForwardOptions extends ReadOptions {
  /** Name of the destination. */
  readonly name: string;
  readonly lane: Lane;
  readonly limits: { readonly itemsMax: number; readonly bytesMax: number };
  readonly parking: Parking;
  /** Resolves when what was parked stands in the trail. */
  readonly onParked: (refusals: readonly Refusal[]) => Promise<void>;
  readonly nowMs: () => number;
}

/** What became of a chunk's records. */
export interface Forwarded {
  readonly taken: number;
  readonly parked: number;
  readonly unwanted: number;
  readonly others: number;
}

/**
 * Brings every record of a chunk to its outcome at one destination: acknowledged, parked, or not wanted there. What lies below the
 * group's offset has one. A crash between a batch's acknowledgement and its commit has that one batch sent again, and no more.
 */
export async function forwardChunk(
  options: ForwardOptions,
  partition: AssignedPartition,
  chunk: Chunk<KeptRecords>,
  over: AbortSignal,
): Promise<Forwarded> {
  const { name, lane, limits, parking, onParked, nowMs } = options;
  const place = { topic: partition.topic, partition: partition.partition };
  const { items, unwanted, others } = readItems(chunk.gathered.records, place, options);
  const batches = cut(items, limits);
  let [taken, parked] = [0, 0];
  for (const [index, batch] of batches.entries()) {
    // 1. Until the destination has acknowledged or refused each of them.
    const refusals = await lane.deliver(batch, over);
    // 2. What it refuses is on disk, and told, before it counts as done.
    if (refusals.length > 0) {
      parking.park(
        refusals.map((refusal) => parkedOf(name, refusal)),
        nowMs(),
      );
      await onParked(refusals);
    }
    // 3. COMMIT POINT: everything before the next batch has its outcome.
    await partition.commit(batches[index + 1]?.[0]?.offset ?? chunk.last + 1, '');
    taken += batch.length - refusals.length;
    parked += refusals.length;
  }
  if (batches.length === 0) await partition.commit(chunk.last + 1, '');
  return { taken, parked, unwanted, others };
}

/** Batches within the limits; what is larger than one alone goes alone. */
function cut(items: readonly Item[], { itemsMax, bytesMax }: ForwardOptions['limits']): Item[][] {
  const batches: Item[][] = [];
  let bytes = 0;
  for (const item of items) {
    const last = batches.at(-1);
    if (last === undefined || last.length >= itemsMax || bytes + item.bytes + SEPARATOR_BYTES > bytesMax) {
      batches.push([item]);
      bytes = item.bytes;
    } else {
      last.push(item);
      bytes += item.bytes + SEPARATOR_BYTES;
    }
  }
  return batches;
}

/** What stands between two records in any format, the action line of `_bulk` at the most. */
const SEPARATOR_BYTES = 64;

export function parkedOf(destination: string, { item, reason }: Refusal): ParkedRecord {
  const { topic, partition, offset, appendedAtMs, eventId, value } = item;
  return { destination, topic, partition, offset, appendedAtMs, eventId, value, reason };
}
