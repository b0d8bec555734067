import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { completeEvent, encodeDatum, formatUuid, hexOf } from '@cairn/event';
import { type Parts, REPOSITORY, startTestParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { events as anyWholeEvent } from '../../../packages/event/test/events.ts';
import { streamOf } from '../test/stream.ts';
import { bodiesOf, holdTableToItsPromises } from '../test/table-contract.ts';
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

/** An event as the schema has it, with ids that may be any 16 bytes. */
interface AnyEvent {
  readonly event_id: Uint8Array;
  readonly call_id: Uint8Array | null;
  readonly timestamp: number;
  readonly latency_ms: number | null;
  readonly parameters_hash: Uint8Array | null;
  readonly response_hash: Uint8Array | null;
}

const anyEvent: fc.Arbitrary<AnyEvent> = fc.record({
  event_id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  call_id: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }), { nil: null }),
  timestamp: fc.integer({ min: 946_684_800_000_000, max: 2_200_000_000_000_000 }),
  latency_ms: fc.option(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { nil: null }),
  parameters_hash: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: null }),
  response_hash: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: null }),
});

describe.each([
  ['columns', nativeEncoder],
  ['Avro', avroEncoder],
])('ids and keyed hashes, filled with %s', (name, encoder) => {
  const owner = { topic: `audit.events.${name}`, partition: 0, name };
  let events: readonly AnyEvent[];
  beforeAll(async () => {
    const plain = { org_id: 'acme', gateway_id: 'gw-1', kind: 'tool_call', phase: 'single' } as const;
    events = fc.sample(anyEvent, { numRuns: 500, seed: 7 });
    const datums = events.map((event, seq) =>
      encodeDatum({
        ...completeEvent({ ...plain, capture: 'gateway', ...event }, { event_id: event.event_id }),
        epoch: 1,
        seq,
        prev_hash: new Uint8Array(32),
        key_id: '',
        signature: null,
      }),
    );
    await table.becomeOwner(owner);
    for (const body of bodiesOf(encoder, owner, datums, 0))
      await table.insert([{ owner, refusal: 'above-highest', body }]);
  });
  const read = (columns: string) =>
    clickhouse.query(`SELECT ${columns} FROM cairn.events WHERE topic = {topic:String} ORDER BY offset`, {
      topic: owner.topic,
    });

  test('any 16 bytes are read as the UUID that they are, whatever the time of the event', async () => {
    expect(await read('event_id, call_id')).toEqual(
      events.map(({ event_id, call_id }) => ({
        event_id: formatUuid(event_id),
        call_id: call_id && formatUuid(call_id),
      })),
    );
  });

  test('a keyed hash is kept as its first 16 bytes, and an absent one is absent', async () => {
    const cut = (hash: Uint8Array | null): string | null => hash && hexOf(hash.subarray(0, 16));
    expect(
      await read(
        'lower(hex(parameters_hash)) AS parameters_hash, lower(hex(response_hash)) AS response_hash',
      ),
    ).toEqual(
      events.map(({ parameters_hash, response_hash }) => ({
        parameters_hash: cut(parameters_hash),
        response_hash: cut(response_hash),
      })),
    );
  });

  test.each(['event_id', 'call_id'] as const)('an event is found by its %s, by the index', async (column) => {
    const wanted = events.findIndex(({ call_id }) => call_id !== null);
    const id = formatUuid(events[wanted]?.[column] ?? new Uint8Array(16));
    const sql = `SELECT toUInt32(offset) AS offset FROM cairn.events WHERE ${column} = {id:UUID}`;
    expect(await clickhouse.query(`${sql} AND topic = {topic:String}`, { id, topic: owner.topic })).toEqual([
      { offset: wanted },
    ]);
    const plan = await clickhouse.query<{ explain: string }>(`EXPLAIN indexes = 1 ${sql}`, { id });
    expect(plan.map(({ explain }) => explain.trim())).toContain(`Name: by_${column}`);
  });
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
      for (const body of bodiesOf(encoder, owner, hours.flat(), before * 10_000))
        await table.insert([{ owner, refusal: 'above-highest', body }]);
      expect(await parts()).toBe(before + 1);
      expect(await table.held(owner, before * 10_000)).toMatchObject({ highest: before * 10_000 + 2_999 });
      await clickhouse.exec('SYSTEM START MERGES cairn.events');
    },
  );
});

test('columns and Avro leave the very same rows of any events, linked or not', async () => {
  const sample = fc.sample(anyWholeEvent, { numRuns: 400, seed: 11 });
  const datums = sample.map(encodeDatum);
  const dumps: unknown[] = [];
  for (const [name, encoder] of [
    ['same-columns', nativeEncoder],
    ['same-avro', avroEncoder],
  ] as const) {
    const owner = { topic: `audit.events.${name}`, partition: 0, name };
    await table.becomeOwner(owner);
    for (const body of bodiesOf(encoder, owner, datums, 0, (index) => index % 3 > 0))
      await table.insert([{ owner, refusal: 'above-highest', body }]);
    dumps.push(
      await clickhouse.query(
        `SELECT * EXCEPT topic, hex(leaf_hash), hex(prev_hash), hex(signature), hex(tool_hash), hex(parameters_hash)
         FROM cairn.events WHERE topic = {topic:String} ORDER BY offset`,
        owner,
        { asterisk_include_alias_columns: 1, asterisk_include_materialized_columns: 1 },
      ),
    );
  }
  expect((dumps[0] as unknown[]).length).toBe(400);
  expect(dumps[0]).toEqual(dumps[1]);
});

describe('rollups', () => {
  test.each(['tools_by_hour', 'agents_by_hour'])('%s is answered from the projection', async (view) => {
    const plan = await clickhouse.query<{ explain: string }>(`EXPLAIN SELECT sum(calls) FROM cairn.${view}`);
    expect(plan.map(({ explain }) => explain).join('\n')).toContain('calls_by_hour');
  });
});
