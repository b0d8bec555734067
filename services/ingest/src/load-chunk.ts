import { crc32 } from 'node:zlib';
import type { ClickHouse, Kafka } from '@cairn/adapters';
import { type ContainerRow, PARKED_TOPIC } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import type { AssignedPartition, Chunk } from '@cairn/runtime';
import type { Encoder } from './encoder.ts';
import { formatIntent } from './intent.ts';
import type { OpenedPartition } from './open-partition.ts';
import { type Gap, type Parked, park, type SchemaIdOf, sortRecords } from './sort-records.ts';
import { insertFindings, insertGaps, insertRows, type Refusal } from './table.ts';

export interface Loader {
  readonly clickhouse: ClickHouse;
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
  const { clickhouse } = loader;
  const { owner } = opened;
  const sorted = sortRecords(partition, chunk, opened.streams, opened.isCovered, loader.releasedIdOf);
  const refusal: Refusal = chunk.first > opened.coveredTo ? 'above-highest' : 'one-by-one';

  // 1. Intent. The offset stays; a partition that was given away is noticed here, before anything is written.
  const crc = checksum([...sorted.rows.values()].flat());
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
  await insertGaps(clickhouse, owner, gaps);
  await insertFindings(clickhouse, owner, sorted.findings);

  // 4. The rows. COMMIT POINT of the chunk.
  let rows = 0;
  const refused: Parked[] = [];
  for (const [schemaId, ofSchema] of sorted.rows) {
    refused.push(...(await insertOrBisect(loader, partition, opened, refusal, schemaId, ofSchema, chunk)));
    rows += ofSchema.length;
  }
  return {
    rows: rows - refused.length,
    duplicates: gaps.filter(({ reason }) => reason === 'duplicate').length,
    parked: [...sorted.parked, ...refused].map(({ gap }) => gap),
    findings: sorted.findings.length,
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
  refusal: Refusal,
  schemaId: number,
  rows: readonly ContainerRow[],
  chunk: Chunk,
): Promise<Parked[]> {
  try {
    await insertRows(loader.clickhouse, loader.encoder, opened.owner, refusal, schemaId, rows);
    return [];
  } catch (error) {
    if (!isFailure(error, 'clickhouse.bad-rows')) throw error;
    const [only] = rows;
    if (rows.length > 1 || !only) {
      const middle = Math.ceil(rows.length / 2);
      const left = await insertOrBisect(
        loader,
        partition,
        opened,
        refusal,
        schemaId,
        rows.slice(0, middle),
        chunk,
      );
      const right = await insertOrBisect(
        loader,
        partition,
        opened,
        refusal,
        schemaId,
        rows.slice(middle),
        chunk,
      );
      return [...left, ...right];
    }
    const record = chunk.records.find(({ offset }) => offset === only.offset);
    if (!record) throw error;
    const parked = park(record, { reason: 'table.refused', field: '', detail: error.message.slice(0, 400) });
    await parkRecords(loader, partition, [parked]);
    await insertGaps(loader.clickhouse, opened.owner, [parked.gap]);
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

function checksum(rows: readonly ContainerRow[]): number {
  return rows.reduce((crc, row) => crc32(row.leafHash, crc), 0);
}
