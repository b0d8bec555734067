import { frame, partitionOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LogInMemory, TOPIC } from '../../../packages/runtime/test/log-in-memory.ts';
import { SimulatedClock } from '../../../packages/runtime/test/simulated-clock.ts';
import { GATEWAY, ORG, streamOf } from '../test/stream.ts';
import { fairWeather, type RowsBody, rowsEncoder, TableInMemory } from '../test/table-in-memory.ts';
import type { EventTable } from './event-table.ts';
import { ingestPartitions } from './ingest-partitions.ts';

const PARTITIONS = 2;
const PARTITION = partitionOf(ORG, GATEWAY, PARTITIONS);
const EVENTS = 60;

/** Loads a log into a table that refuses every body with one of these offsets in it. */
async function loadWith(poisoned: ReadonlySet<number>): Promise<{
  readonly rows: readonly number[];
  /** `offset reason` */
  readonly gaps: readonly string[];
  /** Hex. */
  readonly parked: readonly string[];
  /** Hex. */
  readonly wanted: readonly string[];
  readonly reopened: number;
}> {
  const clock = new SimulatedClock(() => 0.5);
  const log = new LogInMemory(clock, PARTITIONS);
  const frames = streamOf(EVENTS).map((datum) => frame(1, datum));
  for (const value of frames) log.append(PARTITION, value, 1_795_000_000_000);
  const memory = new TableInMemory();
  const fair = memory.through(fairWeather);
  const table: EventTable = {
    ...fair,
    async insert(insertions) {
      if (
        insertions.some(({ body }) => (body as RowsBody).stored.some(({ offset }) => poisoned.has(offset)))
      ) {
        throw new Failure({ code: 'clickhouse.bad-rows', retry: 'no', message: 'cannot be read' });
      }
      await fair.insert(insertions);
    },
  };
  let reopened = 0;
  const weather = { there: async () => {}, back: async () => {}, fetchMax: () => 25 };
  void ingestPartitions({
    source: log.source('one', weather),
    table,
    encoder: rowsEncoder,
    kafka: { appendWithHeaders: async (_topic, records) => void log.parked.push(...records) },
    releasedIdOf: (id) => id,
    limits: { recordsMax: 20, bytesMax: 1 << 20, ageMsMax: 5 },
    bufferBytesMax: 8_000,
    loadsAtOnce: 1,
    instance: 'one',
    clock,
    onOpened: () => {},
    onLoaded: () => {},
    onTrouble: () => {
      reopened += 1;
    },
  });
  const place = { topic: TOPIC, partition: PARTITION };
  const accounted = () => memory.rowsOf(place).length + memory.gapsOf(place).length;
  await clock.runUntil(() => accounted() >= EVENTS, 60_000);
  return {
    rows: memory.rowsOf(place).map(({ offset }) => offset),
    gaps: memory.gapsOf(place).map(({ first, reason }) => `${first} ${reason}`),
    parked: log.parked.map(({ value }) => Buffer.from(value ?? []).toString('hex')),
    wanted: frames.map((value) => Buffer.from(value).toString('hex')),
    reopened,
  };
}

test('rows that the table refuses are parked alone with their bytes, and every other one is loaded', async () => {
  const poisons = fc.uniqueArray(fc.nat(EVENTS - 1), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(poisons, async (poisoned) => {
      const { rows, gaps, parked, wanted } = await loadWith(new Set(poisoned));
      const inOrder = poisoned.toSorted((left, right) => left - right);
      const others = wanted.map((_, offset) => offset).filter((offset) => !poisoned.includes(offset));
      expect(rows.toSorted((left, right) => left - right)).toEqual(others);
      expect(gaps).toEqual(inOrder.map((offset) => `${offset} table.refused`));
      expect(parked).toEqual(inOrder.map((offset) => wanted[offset]));
    }),
    { numRuns: 50 },
  );
});

test('a row that stands alone is found by halving: the partition is opened again once for each half', async () => {
  const { reopened } = await loadWith(new Set([7]));
  expect(reopened).toBeGreaterThan(0);
  expect(reopened).toBeLessThanOrEqual(Math.ceil(Math.log2(20)) + 1);
});
