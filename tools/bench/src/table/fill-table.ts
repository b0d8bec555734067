import type { ClickHouse } from '@cairn/adapters';
import { walkDatum } from '@cairn/event';
import { type EventTable, nativeEncoder, type Owner, tableIn } from '@cairn/ingest';
import { type ChunkOptions, chunksOf, type SortedRows } from './chunks.ts';

/** Fills cairn.events as ingest does, with its encoder and its INSERT. @returns the rows. */
export async function fillTable(clickhouse: ClickHouse, options: ChunkOptions): Promise<number> {
  const table = tableIn(clickhouse);
  const owners = new Map<number, Owner>();
  let rows = 0;
  for (const chunk of chunksOf(options)) {
    const { topic, partition } = chunk;
    let owner = owners.get(partition);
    if (!owner) {
      owner = { topic, partition, name: `bench-${partition}` };
      owners.set(partition, owner);
      await table.becomeOwner(owner);
    }
    await insertChunk(table, owner, chunk);
    rows += chunk.rows.length;
  }
  return rows;
}

/** One chunk, by one INSERT. */
export async function insertChunk(table: EventTable, owner: Owner, chunk: SortedRows): Promise<void> {
  const open = nativeEncoder.open(chunk);
  for (const row of chunk.rows) {
    walkDatum(row.bytes, row.schemaId, row.start, row.end, open.places, open.placesAt);
    open.add(row);
  }
  for (const body of open.bodies()) await table.insert([{ owner, refusal: 'above-highest', body }]);
  open.release();
}
