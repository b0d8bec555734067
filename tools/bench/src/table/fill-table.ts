import type { ClickHouse } from '@cairn/adapters';
import { nativeEncoder, type Owner, tableIn } from '@cairn/ingest';
import { type ChunkOptions, chunksOf } from './chunks.ts';

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
    for (const body of nativeEncoder.bodies(chunk)) await table.insertBody(owner, 'above-highest', body);
    rows += chunk.rows.length;
  }
  return rows;
}
