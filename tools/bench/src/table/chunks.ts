import { AUDIT_EVENT_SCHEMA_ID, leafHash, partitionOf, walkDatum } from '@cairn/event';
import type { EventRow } from '@cairn/native';
import { streamsOf } from '@cairn/traffic';

export interface ChunkOptions {
  readonly events: number;
  /** Rows of one insert; the last of a partition is smaller. */
  readonly rowsMax: number;
  readonly partitions?: number;
  readonly gateways?: number;
  /** Of one gateway. The default lets an agent think for two seconds between two calls. */
  readonly eventsPerSecond?: number;
  /** Of one gateway, at the same time. */
  readonly sessions?: number;
  /** Microseconds since 1970 of the first event. */
  readonly startMicros?: number;
}

/** Events that a gateway sends together; the broker gives them one time. */
const BATCH_EVENTS = 20;
/** From the last event of a batch to the broker's time of it. */
const ON_THE_WAY_MS = 12;

/** Rows of one partition, in order of offset. */
export interface SortedRows {
  readonly topic: string;
  readonly partition: number;
  readonly rows: readonly EventRow[];
}

interface Filling {
  readonly partition: number;
  next: number;
  rows: EventRow[];
}

/**
 * Realistic traffic as ingest has it when it has sorted a chunk: rows in order of offset, as many gateways wrote them
 * into the partitions of one topic.
 */
export function* chunksOf({
  events,
  rowsMax,
  partitions = 4,
  gateways = 32,
  eventsPerSecond = 50,
  ...more
}: ChunkOptions): Generator<SortedRows> {
  const filling = Array.from(
    { length: partitions },
    (_, partition): Filling => ({ partition, next: 0, rows: [] }),
  );
  const batches = new Map<string, { org: string; seq: number; datum: Uint8Array }[]>();
  const deliver = (gateway: string): SortedRows | undefined => {
    const batch = batches.get(gateway) ?? [];
    batches.delete(gateway);
    const here = filling[partitionOf(batch[0]!.org, gateway, partitions)]!;
    const last = walkDatum(batch.at(-1)!.datum, AUDIT_EVENT_SCHEMA_ID);
    if (!last.ok) throw new Error(`a generated event is none: ${last.reason}`);
    const receivedAtMs = Math.floor(last.timestampMicros / 1_000) + ON_THE_WAY_MS;
    for (const { seq, datum } of batch) {
      here.rows.push({
        offset: here.next++,
        receivedAtMs,
        leafHash: Buffer.from(leafHash(AUDIT_EVENT_SCHEMA_ID, datum)).toString('latin1'),
        linked: seq > 0,
        schemaId: AUDIT_EVENT_SCHEMA_ID,
        bytes: datum,
        start: 0,
        end: datum.length,
      });
    }
    return here.rows.length >= rowsMax ? chunkOf(here) : undefined;
  };

  for (const { org, gateway, seq, datum } of streamsOf({ ...more, seed: 1, gateways, eventsPerSecond }).take(
    events,
  )) {
    const batch = batches.get(gateway) ?? [];
    if (batch.length === 0) batches.set(gateway, batch);
    batch.push({ org, seq, datum });
    const chunk = batch.length === BATCH_EVENTS ? deliver(gateway) : undefined;
    if (chunk) yield chunk;
  }
  for (const gateway of [...batches.keys()]) {
    const chunk = deliver(gateway);
    if (chunk) yield chunk;
  }
  for (const here of filling) if (here.rows.length > 0) yield chunkOf(here);
}

function chunkOf(here: Filling): SortedRows {
  const { partition, rows } = here;
  here.rows = [];
  return { topic: 'audit.events.standard', partition, rows };
}
