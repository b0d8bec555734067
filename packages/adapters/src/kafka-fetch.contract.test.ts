import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Parts, startTestParts } from '@cairn/local';
import { type AssignedPartition, type LogBatch, type LogRecord, recordOf, recordValue } from '@cairn/runtime';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Kafka as Client, CompressionTypes, logLevel } from 'kafkajs';
import { type Kafka, openKafka } from './kafka.ts';

/** A Buffer's own slice would be a view. */
const copyOf = (bytes: Uint8Array | null): Uint8Array | null => bytes && new Uint8Array(bytes);

/** The one place that reaches into kafkajs, against a real broker: it must notice when a version no longer fits. */
describe('a source over record batches as they came', () => {
  let directory: string;
  let parts: Parts;
  let kafka: Kafka;
  let stock: Client;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'cairn-fetch-'));
    parts = await startTestParts({ directory, parts: ['kafka'] });
    const brokers = [parts.part('kafka').address];
    kafka = openKafka({ brokers, clientId: 'fetch' });
    stock = new Client({ brokers, logLevel: logLevel.NOTHING });
  }, 180_000);
  afterAll(async () => {
    await kafka?.[Symbol.asyncDispose]();
    await parts?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Reads a topic's only partition from an offset on, until so many records have come. */
  const read = async (topic: string, from: number, count: number): Promise<LogRecord[]> => {
    await using source = kafka.source({ group: `group-${topic}-${from}`, topics: [topic] });
    const records: LogRecord[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    setTimeout(() => reject(new Error(`${records.length} of ${count} records came`)), 30_000).unref();
    await source.run({
      onAssigned(partition: AssignedPartition) {
        partition.readFrom(from);
        partition.resume();
      },
      onBatch(_partition: AssignedPartition, batch: LogBatch) {
        // The bytes are written over afterwards.
        for (const record of batch.records) {
          records.push(recordOf(record.offset, copyOf(recordValue(record)), record.appendedAtMs));
        }
        if (records.length >= count) resolve();
      },
    });
    await promise;
    return records;
  };

  // Large enough that answers and record sets lie in memory that is used again.
  const sent = (topic: string) =>
    Array.from({ length: 500 }, (_, index) => `${topic} ${index} ${'x'.repeat(3_000)}`);

  test.each([
    ['plain', CompressionTypes.None],
    ['gzipped', CompressionTypes.GZIP],
  ])(
    'gives every %s record that a stock producer sent, once, in order, from any offset on',
    async (topic, compression) => {
      await kafka.ensureTopics([{ name: topic, partitions: 1 }]);
      const admin = stock.admin();
      await admin.connect();
      // Topics of events refuse compression; this one shall take it.
      await admin.alterConfigs({
        validateOnly: false,
        resources: [
          { type: 2, name: topic, configEntries: [{ name: 'compression.type', value: 'producer' }] },
        ],
      });
      await admin.disconnect();
      const producer = stock.producer();
      await producer.connect();
      const messages = sent(topic).map((value) => ({ key: 'a key', value, headers: { name: 'value' } }));
      for (let at = 0; at < messages.length; at += 90) {
        await producer.send({ topic, compression, messages: messages.slice(at, at + 90) });
      }
      await producer.disconnect();
      for (const from of [0, 1, 89, 90, 133, 499]) {
        const records = await read(topic, from, 500 - from);
        expect(records.map(({ offset }) => offset)).toEqual(
          Array.from({ length: 500 - from }, (_, at) => from + at),
        );
        expect(records.map((record) => String(Buffer.from(recordValue(record) ?? [])))).toEqual(
          sent(topic).slice(from),
        );
      }
    },
    120_000,
  );

  test('delivers nothing that was fetched before a partition was read from another offset, though it waits to be read', async () => {
    await kafka.ensureTopics([{ name: 'two', partitions: 2 }]);
    const values = sent('two').map((value) => Buffer.from(value));
    for (const partition of [0, 1]) await kafka.log.append('two', partition, values.slice(0, 250));
    await using source = kafka.source({ group: 'group-two', topics: ['two'] });
    const owned: AssignedPartition[] = [];
    const batches: { partition: number; first: number; last: number }[] = [];
    const begunAgain: { partition: number; at: number }[] = [];
    await source.run({
      onAssigned(partition) {
        owned[partition.partition] = partition;
        partition.readFrom(0);
        partition.resume();
      },
      onBatch({ partition }, { first, last }) {
        batches.push({ partition, first, last });
        // What the same answer brought of the other one waits now.
        const other = owned[1 - partition]!;
        if (begunAgain.length === 6 || last < 100) return;
        begunAgain.push({ partition: other.partition, at: batches.length });
        other.readFrom(0);
      },
    });
    const ends = (): boolean =>
      [0, 1].every((partition) => batches.findLast((batch) => batch.partition === partition)?.last === 249);
    for (let wait = 0; !(begunAgain.length === 6 && ends()); wait += 1) {
      if (wait === 300) throw new Error(JSON.stringify({ batches, begunAgain }));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    for (const partition of [0, 1]) {
      let next = 0;
      for (const [at, batch] of batches.entries()) {
        if (begunAgain.some((begun) => begun.at === at && begun.partition === partition)) next = 0;
        if (batch.partition !== partition) continue;
        expect(batch.first).toBe(next);
        next = batch.last + 1;
      }
    }
  }, 60_000);

  test('fetches again what could not be read, from the same offset, and passes nothing over', async () => {
    const troubles: string[] = [];
    await using source = kafka.source({
      ...{ group: 'group-again', topics: ['plain'], fetchBytesMax: 100_000 },
      onTrouble: (message) => troubles.push(message),
    });
    const offsets: number[] = [];
    const whole = Promise.withResolvers<void>();
    setTimeout(() => whole.reject(new Error(`${offsets.length} of 500 records came`)), 30_000).unref();
    let batches = 0;
    await source.run({
      onAssigned(partition) {
        partition.readFrom(0);
        partition.resume();
      },
      onBatch(_, { records }) {
        batches += 1;
        if (batches === 3) throw new Error('a bit fell over');
        for (const { offset } of records) offsets.push(offset);
        if (offsets.length >= 500) whole.resolve();
      },
    });
    await whole.promise;
    expect(offsets).toEqual(Array.from({ length: 500 }, (_, offset) => offset));
    expect(troubles).toEqual(['partition 0 of plain: a bit fell over']);
  }, 60_000);

  test('leaves other consumers of the process as kafkajs made them', async () => {
    const consumer = stock.consumer({ groupId: 'others' });
    const values: string[] = [];
    await consumer.connect();
    await consumer.subscribe({ topics: ['plain'], fromBeginning: true });
    const { promise, resolve } = Promise.withResolvers<void>();
    await consumer.run({
      async eachMessage({ message }) {
        values.push(String(message.value));
        if (values.length === 500) resolve();
      },
    });
    await promise;
    await consumer.disconnect();
    expect(values).toEqual(sent('plain'));
  }, 60_000);
});
