// (a) The service that most teams would write: kafkajs with big fetches, avsc, JSONEachRow through the official client,
// offsets committed after each insert. It checks no stream, computes no hash and parks nothing.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { REPOSITORY } from '@cairn/local';
import { createClient } from '@clickhouse/client';
import avsc from 'avsc';
import { Kafka, logLevel } from 'kafkajs';
import { insertOfText, textRow } from '../text-rows.ts';

const {
  KAFKA_BROKERS = '',
  CLICKHOUSE_URL = '',
  BENCH_TOPIC = '',
  BENCH_GROUP = '',
  BENCH_SESSION_MS_MAX = '30000',
} = process.env;
const schema = JSON.parse(readFileSync(join(REPOSITORY, 'schemas', 'audit-event.avsc'), 'utf8'));
const type = avsc.Type.forSchema(schema, { wrapUnions: 'never' });
const client = createClient({ url: CLICKHOUSE_URL, request_timeout: 120_000 });
const kafka = new Kafka({ brokers: KAFKA_BROKERS.split(','), clientId: 'usual', logLevel: logLevel.ERROR });
const consumer = kafka.consumer({
  groupId: BENCH_GROUP,
  sessionTimeout: Number(BENCH_SESSION_MS_MAX),
  heartbeatInterval: Math.min(3_000, Number(BENCH_SESSION_MS_MAX) / 4),
  maxBytesPerPartition: 16 * 1024 ** 2,
  maxBytes: 64 * 1024 ** 2,
});

const INSERT = insertOfText();

await consumer.connect();
await consumer.subscribe({ topics: [BENCH_TOPIC], fromBeginning: true });
await consumer.run({
  eachBatchAutoResolve: true,
  partitionsConsumedConcurrently: 2,
  async eachBatch({ batch, heartbeat, commitOffsetsIfNecessary, resolveOffset }) {
    const lines: string[] = [];
    for (const { value, offset, timestamp } of batch.messages) {
      if (value === null) continue;
      const event = type.fromBuffer(value.subarray(5)) as Record<string, unknown>;
      const facts = {
        topic: batch.topic,
        partition: batch.partition,
        offset,
        received_at: Number(timestamp),
      };
      lines.push(JSON.stringify(textRow({ ...facts, leaf_hash: '' }, event)));
    }
    if (lines.length > 0) {
      const { stream } = await client.exec({
        query: INSERT,
        values: Readable.from([lines.join('\n')], { objectMode: false }),
        clickhouse_settings: { async_insert: 0 },
      });
      for await (const _ of stream);
    }
    resolveOffset(batch.lastOffset());
    await commitOffsetsIfNecessary();
    await heartbeat();
  },
});
process.once('SIGTERM', () => void consumer.disconnect().finally(() => process.exit(0)));
