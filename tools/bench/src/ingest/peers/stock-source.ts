import type { Kafka as LogClient, SourceOptions } from '@cairn/adapters';
import { type AssignedPartition, type LogBatch, type RawSource, recordOf } from '@cairn/runtime';
import { Kafka, logLevel } from 'kafkajs';

/**
 * A source as kafkajs gives it without our reading of record batches: for the comparison only, so it knows neither
 * fencing nor retries.
 */
export function stockSource(
  brokers: readonly string[],
  log: LogClient,
  { group, topics }: SourceOptions,
): RawSource {
  const client = new Kafka({ brokers: [...brokers], clientId: 'stock', logLevel: logLevel.ERROR });
  const consumer = client.consumer({
    groupId: group,
    sessionTimeout: 30_000,
    maxWaitTimeInMs: 200,
    maxBytesPerPartition: 4 * 1024 ** 2,
    maxBytes: 32 * 1024 ** 2,
  });
  const owned = new Map<string, AssignedPartition>();
  return {
    async run(sink) {
      consumer.on(consumer.events.GROUP_JOIN, async ({ payload }) => {
        for (const [topic, numbers] of Object.entries(payload.memberAssignment)) {
          for (const partition of numbers) {
            const handle = assigned(consumer, log, topic, partition, numbers.length);
            owned.set(`${topic} ${partition}`, handle);
            sink.onAssigned(handle);
          }
        }
      });
      await consumer.connect();
      await consumer.subscribe({ topics: [...topics], fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 8,
        async eachBatch({ batch, resolveOffset }) {
          const handle = owned.get(`${batch.topic} ${batch.partition}`);
          const first = Number(batch.firstOffset() ?? 0);
          const read: LogBatch = {
            first,
            last: Number(batch.lastOffset()),
            highWatermark: Number(batch.highWatermark),
            records: batch.messages.map(({ offset, value, timestamp }) =>
              recordOf(Number(offset), value, Number(timestamp)),
            ),
          };
          if (handle) sink.onBatch(handle, read);
          resolveOffset(batch.lastOffset());
        },
      });
    },
    [Symbol.asyncDispose]: () => consumer.disconnect(),
  };
}

function assigned(
  consumer: ReturnType<Kafka['consumer']>,
  log: LogClient,
  topic: string,
  partition: number,
  partitions: number,
): AssignedPartition {
  const here = [{ topic, partitions: [partition] }];
  return {
    topic,
    partition,
    partitions,
    generation: 1,
    lost: new AbortController().signal,
    committed: async () => ({ offset: undefined, metadata: '' }),
    bounds: async () => (await log.boundsOf(topic)).get(partition) ?? { first: 0, end: 0 },
    commit: (offset, metadata) =>
      consumer.commitOffsets([{ topic, partition, offset: String(offset), metadata }]),
    readFrom: (offset) => consumer.seek({ topic, partition, offset: String(offset) }),
    pause: () => consumer.pause(here),
    resume: () => consumer.resume(here),
  };
}
