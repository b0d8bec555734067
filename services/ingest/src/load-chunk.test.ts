import type { KeyedValue } from '@cairn/adapters';
import type { AssignedPartition, Chunk } from '@cairn/runtime';
import { expect, test } from '@jest/globals';
import { loadChunk } from './load-chunk.ts';
import type { OpenedPartition } from './open-partition.ts';
import type { Sorted } from './sort-records.ts';

test('a record that is as large as a topic takes is parked whole, in pieces that fit beside their headers', async () => {
  const value = new Uint8Array(1_048_000).map((_, at) => at);
  const gap = { first: 0, last: 0, reason: 'frame.magic', field: '', detail: '', orgId: '', gatewayId: '' };
  const gathered = {
    rows: { leafHashes: [], bodies: () => [], release: () => {}, count: 0 },
    gaps: [],
    findings: [],
    parked: [{ value, gap: { ...gap, receivedAtMs: 1, valueSha256: 'of the whole' } }],
  } as unknown as Sorted;
  const kept: KeyedValue[] = [];
  await loadChunk(
    {
      table: { insertGaps: async () => {}, insertFindings: async () => {} },
      insert: async () => {},
      kafka: { appendWithHeaders: async (_topic, records) => void kept.push(...records) },
    },
    { topic: 't', partition: 0, commit: async () => {} } as unknown as AssignedPartition,
    { owner: { name: 'one' }, isCovered: () => false } as unknown as OpenedPartition,
    { first: 0, last: 0, count: 1, holes: [], gathered } as unknown as Chunk<Sorted>,
  );
  expect(kept.map(({ headers }) => [headers['piece'], headers['sha256']])).toEqual([
    ['1/2', 'of the whole'],
    ['2/2', 'of the whole'],
  ]);
  expect(Buffer.concat(kept.map((one) => one.value ?? new Uint8Array())).equals(value)).toBe(true);
});
