import { frame } from '@cairn/event';
import { describe, expect, test } from '@jest/globals';
import { LogInMemory, TOPIC } from '../../../packages/runtime/test/log-in-memory.ts';
import { SimulatedClock } from '../../../packages/runtime/test/simulated-clock.ts';
import { streamOf } from '../test/stream.ts';
import { fairWeather, rowsEncoder, TableInMemory } from '../test/table-in-memory.ts';
import { ingestPartitions } from './ingest-partitions.ts';

const PLACE = { topic: TOPIC, partition: 0 };

/** Has ingest read a log to its end. @returns what it ran into, by code. */
async function ingest(values: readonly Uint8Array[], table: TableInMemory): Promise<string[]> {
  const clock = new SimulatedClock(() => 0.5);
  const log = new LogInMemory(clock, 1);
  for (const value of values) log.append(0, value, 1_795_000_000_000);
  const troubles: string[] = [];
  const there = async (): Promise<void> => {};
  const running = ingestPartitions({
    source: log.source('one', { there, back: there, fetchMax: () => 100 }),
    table: table.through(fairWeather),
    encoder: rowsEncoder,
    kafka: { appendWithHeaders: there },
    releasedIdOf: (id) => id,
    limits: { recordsMax: 100, bytesMax: 1 << 20, ageMsMax: 1 },
    bufferBytesMax: 1 << 20,
    loadsAtOnce: 1,
    instance: 'one',
    retry: { firstMs: 100, mostMs: 100 },
    clock,
    onOpened: () => {},
    onLoaded: () => {},
    onTrouble: (_, error) => troubles.push((error as { code?: string }).code ?? String(error)),
  });
  await clock.runUntil(() => false, 150);
  const stopped = running.then((consumption) => consumption[Symbol.asyncDispose]());
  await clock.runUntil(() => false, 50);
  await stopped;
  return [...new Set(troubles)];
}

const framesOf = (...stream: Parameters<typeof streamOf>): Uint8Array[] =>
  streamOf(...stream).map((datum) => frame(1, datum));

describe('a topic that was created again, and has grown past what the table accounts for,', () => {
  const another = framesOf(9, { gateway: 'gw-2' });

  test.each<[string, Uint8Array[]]>([
    ['a row', framesOf(4)],
    ['a declared gap', [...framesOf(4), ...framesOf(4).slice(2)]],
    ['a record that was parked', [...framesOf(4), new Uint8Array([1, 2, 3])]],
  ])('is noticed when the table ends with %s', async (_, values) => {
    const table = new TableInMemory();
    expect(await ingest(values, table)).toEqual([]);
    const before = table.rowsOf(PLACE);
    expect(await ingest(another, table)).toEqual(['ledger.diverged']);
    expect(table.rowsOf(PLACE)).toEqual(before);
  });

  test.each<[string, Uint8Array[]]>([
    ['a row', framesOf(4)],
    ['a declared gap', [...framesOf(4), ...framesOf(4).slice(2)]],
    ['a record that was parked', [...framesOf(4), new Uint8Array([1, 2, 3])]],
  ])('is not mistaken for one that only grew when the table ends with %s', async (_, values) => {
    const table = new TableInMemory();
    expect(await ingest(values, table)).toEqual([]);
    const more = framesOf(3, { from: 4 });
    expect(await ingest([...values, ...more], table)).toEqual([]);
    expect(table.rowsOf(PLACE).map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(table.findings).toEqual([]);
  });
});
