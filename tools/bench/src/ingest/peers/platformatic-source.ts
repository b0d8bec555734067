import type { Kafka as LogClient, SourceOptions } from '@cairn/adapters';
import { type AssignedPartition, type LogRecord, type RawSource, recordOf } from '@cairn/runtime';
import { Consumer, type MessagesStream, MessagesStreamModes } from '@platformatic/kafka';

/** Messages of one partition that are handed over together. */
const BATCH = 1_000;

/** A source over @platformatic/kafka: for the comparison only, so it knows neither rebalances nor retries. */
export function platformaticSource(
  brokers: readonly string[],
  log: LogClient,
  { group, topics }: SourceOptions,
): RawSource {
  const consumer = new Consumer({
    groupId: group,
    clientId: 'platformatic',
    bootstrapBrokers: [...brokers],
    sessionTimeout: 30_000,
  });
  let stream: MessagesStream<Buffer, Buffer, Buffer, Buffer> | undefined;
  return {
    async run(sink) {
      await consumer.topics.trackAll(...topics);
      await consumer.joinGroup({});
      const starts = new Map<number, number>();
      const paused = new Set<number>();
      const handles = new Map<number, AssignedPartition>();
      const topic = topics[0] ?? '';
      const partitions = consumer.assignments?.find((entry) => entry.topic === topic)?.partitions ?? [];
      const begin = async (): Promise<void> => {
        stream = await consumer.consume({
          topics: [topic],
          mode: MessagesStreamModes.MANUAL,
          offsets: [...starts].map(([partition, offset]) => ({ topic, partition, offset: BigInt(offset) })),
          autocommit: false,
          maxWaitTime: 200,
          maxBytes: 32 * 1024 ** 2,
          highWaterMark: 8_192,
        });
        const waiting = new Map<number, LogRecord[]>();
        const hand = (partition: number): void => {
          const records = waiting.get(partition) ?? [];
          waiting.set(partition, []);
          const handle = handles.get(partition);
          const [first] = records;
          if (!handle || !first) return;
          const last = records.at(-1)!.offset;
          sink.onBatch(handle, { first: first.offset, last, records, highWatermark: last + 1 });
        };
        stream.on('data', ({ partition, offset, value, timestamp }) => {
          let records = waiting.get(partition);
          if (!records) waiting.set(partition, (records = []));
          records.push(recordOf(Number(offset), value, Number(timestamp)));
          if (records.length >= BATCH) hand(partition);
        });
        setInterval(() => partitions.forEach(hand), 100).unref();
      };
      for (const partition of partitions) {
        const handle: AssignedPartition = {
          topic,
          partition,
          partitions: partitions.length,
          generation: 1,
          lost: new AbortController().signal,
          committed: async () => ({ offset: undefined, metadata: '' }),
          bounds: async () => (await log.boundsOf(topic)).get(partition) ?? { first: 0, end: 0 },
          // This client sends no metadata with a commit.
          commit: (offset) =>
            consumer.commit({ offsets: [{ topic, partition, offset: BigInt(offset), leaderEpoch: -1 }] }),
          readFrom(offset) {
            starts.set(partition, offset);
            if (starts.size === partitions.length) void begin();
          },
          pause() {
            paused.add(partition);
            stream?.pause();
          },
          resume() {
            paused.delete(partition);
            if (paused.size === 0) stream?.resume();
          },
        };
        handles.set(partition, handle);
        sink.onAssigned(handle);
      }
    },
    async [Symbol.asyncDispose]() {
      await consumer.close(true);
    },
  };
}
