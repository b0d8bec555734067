import { crc32 } from 'node:zlib';
import type { Kafka } from '@cairn/adapters';
import { PARKED_TOPIC } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import type { EventRow, EventRows } from '@cairn/native';
import type { AssignedPartition, Chunk } from '@cairn/runtime';
import type { Encoder } from './encoder.ts';
import type { EventTable, Refusal } from './event-table.ts';
import { formatIntent } from './intent.ts';
import type { OpenedPartition } from './open-partition.ts';
import { type Gap, type Parked, park, releaseRows, type SchemaIdOf, sortRecords } from './sort-records.ts';

export interface Loader {
  readonly table: EventTable;
  readonly kafka: Pick<Kafka, 'appendWithHeaders'>;
  readonly encoder: Encoder;
  readonly releasedIdOf: SchemaIdOf;
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
 * Brings every record of a chunk to its outcome. Steps that are durable are numbered; after a crash between any two, the
 * next owner reads what the table accounts for and does the rest.
 *
 * @throws Failure of Kafka or ClickHouse; then nobody knows how far it came, and the partition is opened again.
 */
export async function loadChunk(
  loader: Loader,
  partition: AssignedPartition,
  opened: OpenedPartition,
  chunk: Chunk,
): Promise<Loaded> {
  const began = performance.now();
  const { table } = loader;
  const { owner } = opened;
  const sorted = sortRecords(
    partition,
    chunk,
    opened.streams,
    opened.isCovered,
    loader.releasedIdOf,
    opened.anchor,
  );

  // 1. Intent. The offset stays; a partition that was given away is noticed here, before anything is written.
  const crc = checksum(sorted.rows.rows);
  await partition.commit(
    chunk.first,
    formatIntent({
      first: chunk.first,
      last: chunk.last,
      records: chunk.records.length,
      crc,
      owner: owner.name,
    }),
  );

  // 2. The bytes of records that cannot become rows. Repeated after a crash: the parked topic may hold one twice.
  await parkRecords(loader, partition, sorted.parked);

  // 3. What has no row, and why; what is wrong with streams. Repetition is harmless.
  const gaps = [...sorted.gaps, ...sorted.parked.map(({ gap }) => gap)];
  await table.insertGaps(owner, gaps);
  await table.insertFindings(owner, sorted.findings);

  // 4. The rows. COMMIT POINT of the chunk.
  const refused = await insertOrBisect(loader, partition, opened, sorted.rows, chunk);
  releaseRows(sorted.rows);
  return {
    rows: sorted.rows.rows.length - refused.length,
    duplicates: gaps.filter(({ reason }) => reason === 'duplicate').length,
    parked: [...sorted.parked, ...refused].map(({ gap }) => gap),
    findings: sorted.findings.length,
    tookMs: performance.now() - began,
  };
}

/**
 * Inserts rows; when the table cannot read them, halves them until the one that is at fault stands alone and is parked.
 * The walk makes this rare: it refuses whatever is not an event.
 */
async function insertOrBisect(
  loader: Loader,
  partition: AssignedPartition,
  opened: OpenedPartition,
  rows: EventRows,
  chunk: Chunk,
): Promise<Parked[]> {
  if (rows.rows.length === 0) return [];
  const bodies = loader.encoder.bodies(rows);
  // Several bodies interleave: then the second lies below the highest offset of the first.
  const refusal: Refusal =
    bodies.length === 1 && chunk.first > opened.coveredTo ? 'above-highest' : 'one-by-one';
  try {
    for (const body of bodies) await loader.table.insertBody(opened.owner, refusal, body);
    return [];
  } catch (error) {
    if (!isFailure(error, 'clickhouse.bad-rows')) throw error;
    const [only] = rows.rows;
    if (rows.rows.length > 1 || !only) {
      const middle = Math.ceil(rows.rows.length / 2);
      const half = (of: readonly EventRow[]): Promise<Parked[]> =>
        insertOrBisect(loader, partition, opened, { ...rows, rows: of }, chunk);
      const left = await half(rows.rows.slice(0, middle));
      return [...left, ...(await half(rows.rows.slice(middle)))];
    }
    const record = chunk.records.find(({ offset }) => offset === only.offset);
    if (!record) throw error;
    const parked = park(record, { reason: 'table.refused', field: '', detail: error.message.slice(0, 400) });
    await parkRecords(loader, partition, [parked]);
    await loader.table.insertGaps(opened.owner, [parked.gap]);
    return [parked];
  }
}

/** Keeps the bytes of records, with where they came from and why they are here. */
async function parkRecords(
  { kafka }: Loader,
  { topic, partition }: AssignedPartition,
  parked: readonly Parked[],
): Promise<void> {
  if (parked.length === 0) return;
  await kafka.appendWithHeaders(
    PARKED_TOPIC,
    parked.map(({ record, gap }) => ({
      value: record.value,
      headers: {
        reason: gap.reason,
        field: gap.field,
        detail: gap.detail,
        topic,
        partition: String(partition),
        offset: String(record.offset),
        received_at_ms: String(record.appendedAtMs),
        sha256: gap.valueSha256 ?? '',
      },
    })),
  );
}

function checksum(rows: readonly EventRow[]): number {
  return crc32(Buffer.from(rows.map(({ leafHash }) => leafHash).join(''), 'latin1'));
}
