import { crc32 } from 'node:zlib';
import type { Kafka } from '@cairn/adapters';
import { PARKED_TOPIC } from '@cairn/event';
import { Failure, isFailure } from '@cairn/failure';
import type { AssignedPartition, Chunk } from '@cairn/runtime';
import type { OpenRows } from './encoder.ts';
import type { Body, EventTable, Gap, Insertion, Refusal } from './event-table.ts';
import { formatIntent } from './intent.ts';
import type { OpenedPartition } from './open-partition.ts';
import { gapsOfHoles, type Parked, type Sorted } from './sort-records.ts';

export interface Loader {
  readonly table: Pick<EventTable, 'insertGaps' | 'insertFindings'>;
  /** Rows into the table, with those of other partitions: group-inserts.ts. */
  readonly insert: (insertion: Insertion) => Promise<void>;
  readonly kafka: Pick<Kafka, 'appendWithHeaders'>;
}

/** What a chunk came to. */
export interface Loaded {
  readonly rows: number;
  readonly duplicates: number;
  readonly parked: readonly Gap[];
  readonly findings: number;
  readonly tookMs: number;
}

/**
 * Brings every record of a chunk to the outcome for which it was sorted. Steps that are durable are numbered; after a crash
 * between any two, the next owner reads what the table accounts for and does the rest.
 *
 * @throws Failure of Kafka or ClickHouse; then nobody knows how far it came, and the partition is opened again. Failure
 *   `ingest.rows-refused` when the table cannot read one of several rows: the chunk must come again in smaller ones.
 */
export async function loadChunk(
  loader: Loader,
  partition: AssignedPartition,
  opened: OpenedPartition,
  chunk: Chunk<Sorted>,
): Promise<Loaded> {
  const began = performance.now();
  const { table } = loader;
  const { owner } = opened;
  const { first, last, count: records, gathered: sorted } = chunk;
  const { rows } = sorted;

  // 1. Intent. The offset stays; a partition that was given away is noticed here, before anything is written.
  await partition.commit(
    first,
    formatIntent({ first, last, records, crc: checksum(rows.leafHashes), owner: owner.name }),
  );

  // 2. The bytes of records that cannot become rows. Repeated after a crash: the parked topic may hold one twice.
  await parkRecords(loader, partition, sorted.parked);

  // 3. What has no row, and why; what is wrong with streams. Repetition is harmless.
  const gaps = [...gapsOfHoles(chunk, opened), ...sorted.gaps, ...sorted.parked.map(({ gap }) => gap)];
  await table.insertGaps(owner, gaps);
  await table.insertFindings(owner, sorted.findings);

  // 4. The rows. COMMIT POINT of the chunk.
  const refused = await insertRows(loader, partition, opened, first, rows.bodies(), sorted.single);
  const loaded = rows.count - refused.length;
  // Only now: after a failure the connection may still be reading them.
  rows.release();
  return {
    rows: loaded,
    duplicates: gaps.filter(({ reason }) => reason === 'duplicate').length,
    parked: [...sorted.parked, ...refused].map(({ gap }) => gap),
    findings: sorted.findings.length,
    tookMs: performance.now() - began,
  };
}

/**
 * Inserts rows. One that the table cannot read is parked when it stands alone; several must come again in smaller chunks
 * until it does. The walk makes this rare: it refuses whatever is not an event.
 *
 * @returns what was parked.
 */
async function insertRows(
  loader: Loader,
  partition: AssignedPartition,
  opened: OpenedPartition,
  first: number,
  bodies: readonly Body[],
  single: Parked | undefined,
): Promise<Parked[]> {
  // Several bodies interleave: then the second lies below the highest offset of the first.
  const refusal: Refusal = bodies.length === 1 && first > opened.coveredTo ? 'above-highest' : 'one-by-one';
  try {
    for (const body of bodies) await loader.insert({ owner: opened.owner, refusal, body });
    return [];
  } catch (error) {
    if (!isFailure(error, 'clickhouse.bad-rows')) throw error;
    if (single === undefined) throw rowsRefused(partition, bodies, error);
    const parked = { ...single, gap: { ...single.gap, detail: error.message.slice(0, 400) } };
    await parkRecords(loader, partition, [parked]);
    await loader.table.insertGaps(opened.owner, [parked.gap]);
    return [parked];
  }
}

function rowsRefused(
  { topic, partition }: AssignedPartition,
  bodies: readonly Body[],
  cause: Failure,
): Failure {
  const rows = bodies.reduce((sum, { count }) => sum + count, 0);
  return new Failure({
    code: 'ingest.rows-refused',
    retry: 'yes',
    message: `the table refuses one of ${rows} rows of partition ${partition} of ${topic} from offset ${bodies[0]?.first} on: ${cause.message}`,
    cause,
  });
}

/** A record may be as large as the parked topic takes them, and has headers there besides: beyond this it is parked in pieces. */
const PIECE_BYTES_MAX = 512 * 1024;

function piecesOf(value: Uint8Array | null): (Uint8Array | null)[] {
  if (value === null || value.length <= PIECE_BYTES_MAX) return [value];
  const count = Math.ceil(value.length / PIECE_BYTES_MAX);
  return Array.from({ length: count }, (_, at) =>
    value.subarray(at * PIECE_BYTES_MAX, (at + 1) * PIECE_BYTES_MAX),
  );
}

/**
 * Keeps the bytes of records, with where they came from and why they are here. Pieces of one record follow each other and say so
 * (`piece`: `1/2`); the hash is of the whole.
 */
async function parkRecords(
  { kafka }: Loader,
  { topic, partition }: AssignedPartition,
  parked: readonly Parked[],
): Promise<void> {
  if (parked.length === 0) return;
  await kafka.appendWithHeaders(
    PARKED_TOPIC,
    parked.flatMap(({ value, gap }) =>
      piecesOf(value).map((piece, at, pieces) => ({
        value: piece,
        headers: {
          ...(pieces.length === 1 ? {} : { piece: `${at + 1}/${pieces.length}` }),
          reason: gap.reason,
          field: gap.field,
          detail: gap.detail,
          topic,
          partition: String(partition),
          offset: String(gap.first),
          received_at_ms: String(gap.receivedAtMs),
          sha256: gap.valueSha256 ?? '',
        },
      })),
    ),
  );
}

const checksum = (pieces: OpenRows['leafHashes']): number =>
  pieces.reduce((crc, piece) => crc32(piece, crc), 0);
