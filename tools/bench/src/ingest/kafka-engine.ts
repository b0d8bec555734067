import { AUDIT_EVENT_SCHEMA_ID, ingestedSchema, PREFIX_FIELDS } from '@cairn/event';
import { freePort, startServiceProcess } from '@cairn/local';
import type { Contestant } from './contestant.ts';
import { fieldColumns } from './field-columns.ts';

/**
 * (b) ClickHouse reads the topic itself: a Kafka table and a materialised view. Blocks and polls are large and the flush
 * is slow, in its favour; it computes no leaf hash and knows no duplicates.
 *
 * @param flushMs longest that a block waits for more rows.
 */
export const kafkaEngine = (name: string, consumers: number, flushMs = 5_000): Contestant => ({
  name,
  inserts: true,
  async start(stage, { topic }, group) {
    const healthPort = await freePort();
    const port = await freePort();
    const registry = await startServiceProcess({
      name: 'registry',
      healthPort,
      logDirectory: stage.directory,
      env: { CAIRN_REGISTRY_PORT: String(port), CAIRN_REGISTRY_HEALTH_PORT: String(healthPort) },
    });
    const { clickhouse } = stage;
    const { fields, columns } = fieldColumns(
      ingestedSchema(AUDIT_EVENT_SCHEMA_ID).fields.slice(PREFIX_FIELDS.length),
    );
    await clickhouse.exec('CREATE DATABASE IF NOT EXISTS bench');
    await clickhouse.exec(`CREATE TABLE bench.queue (${fields.map(({ name, type }) => `${name} ${type}`).join(', ')})
      ENGINE = Kafka SETTINGS kafka_broker_list = '${stage.parts.part('kafka').address}', kafka_topic_list = '${topic}',
      kafka_group_name = '${group}', kafka_format = 'AvroConfluent', kafka_num_consumers = ${consumers},
      kafka_thread_per_consumer = 1, kafka_max_block_size = 200000, kafka_poll_max_batch_size = 65536,
      kafka_poll_timeout_ms = ${Math.min(500, flushMs)}, kafka_flush_interval_ms = ${flushMs},
      format_avro_schema_registry_url = 'http://127.0.0.1:${port}'`);
    await clickhouse.exec(`CREATE MATERIALIZED VIEW bench.load TO cairn.events AS
      SELECT _topic AS topic, toInt32(_partition) AS partition, toInt64(_offset) AS offset,
        ifNull(_timestamp_ms, toDateTime64(0, 3, 'UTC')) AS received_at, toFixedString('', 32) AS leaf_hash,
        ${columns.map(({ name, expression }) => `${expression} AS ${name}`).join(', ')}
      FROM bench.queue`);
    return {
      pid: undefined,
      async [Symbol.asyncDispose]() {
        await clickhouse.exec('DROP TABLE bench.load SYNC');
        await clickhouse.exec('DROP TABLE bench.queue SYNC');
        await registry[Symbol.asyncDispose]();
      },
    };
  },
});
