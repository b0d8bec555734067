import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { type Parts, REPOSITORY, startTestParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { holdTableToItsPromises } from '../test/table-contract.ts';
import { avroEncoder, nativeEncoder } from './encoder.ts';
import type { EventTable } from './event-table.ts';
import { tableIn } from './table-in-clickhouse.ts';

let directory: string;
let parts: Parts;
let clickhouse: ClickHouse;
let table: EventTable;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-table-'));
  parts = await startTestParts({ directory, parts: ['clickhouse'] });
  clickhouse = openClickHouse({ url: parts.part('clickhouse').address });
  await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
  table = tableIn(clickhouse);
}, 120_000);
afterAll(async () => {
  await clickhouse?.[Symbol.asyncDispose]();
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

describe('the table in ClickHouse, filled with columns', () => {
  holdTableToItsPromises(() => ({ table, encoder: nativeEncoder }));
});

describe('the table in ClickHouse, filled with Avro', () => {
  beforeAll(async () => {
    for (const name of ['events', 'ingest_gaps', 'ingest_owners']) {
      await clickhouse.exec(`TRUNCATE TABLE cairn.${name} SYNC`);
    }
  });
  holdTableToItsPromises(() => ({ table, encoder: avroEncoder }));
});

describe('rollups', () => {
  test.each(['tools_by_hour', 'agents_by_hour'])('%s is answered from the projection', async (view) => {
    const plan = await clickhouse.query<{ explain: string }>(`EXPLAIN SELECT sum(calls) FROM cairn.${view}`);
    expect(plan.map(({ explain }) => explain).join('\n')).toContain('calls_by_hour');
  });
});
