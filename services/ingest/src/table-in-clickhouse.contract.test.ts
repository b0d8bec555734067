import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { type Parts, REPOSITORY, startTestParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { streamOf } from '../test/stream.ts';
import { holdTableToItsPromises, rowsOf } from '../test/table-contract.ts';
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

describe('an insert', () => {
  test.each([
    ['columns', nativeEncoder],
    ['Avro', avroEncoder],
  ])(
    'as %s is one part, all or none of it, however many organisations, hours and rows it holds',
    async (_, encoder) => {
      const owner = { topic: 'audit.events.parts', partition: 0, name: `parts-${_}` };
      await clickhouse.exec('SYSTEM STOP MERGES cairn.events');
      const parts = async (): Promise<number> => {
        const [row] = await clickhouse.query<{ count: number }>(
          `SELECT toUInt32(uniqExact(_part)) AS count FROM cairn.events WHERE topic = {topic:String}`,
          owner,
        );
        return row?.count ?? 0;
      };
      await table.becomeOwner(owner);
      const before = await parts();
      const hours = Array.from({ length: 60 }, (_, hour) =>
        streamOf(50, {
          org: `org-${hour % 7}`,
          epoch: hour,
          timestamp: 1_795_000_000_000_000 + hour * 3_600_000_000,
        }),
      );
      const rows = rowsOf(0, hours.flat(), before * 10_000, owner.topic);
      for (const body of encoder.bodies(rows)) await table.insertBody(owner, 'above-highest', body);
      expect(await parts()).toBe(before + 1);
      expect(await table.held(owner, before * 10_000)).toMatchObject({ highest: before * 10_000 + 2_999 });
      await clickhouse.exec('SYSTEM START MERGES cairn.events');
    },
  );
});

describe('rollups', () => {
  test.each(['tools_by_hour', 'agents_by_hour'])('%s is answered from the projection', async (view) => {
    const plan = await clickhouse.query<{ explain: string }>(`EXPLAIN SELECT sum(calls) FROM cairn.${view}`);
    expect(plan.map(({ explain }) => explain).join('\n')).toContain('calls_by_hour');
  });
});
