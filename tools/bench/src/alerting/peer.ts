// What one would write first: kafkajs with big fetches, every event decoded by avsc, the rules asked one by one, and for each
// window that an event belongs to a sorted set in Redis, pipelined. It shares our compiled conditions, so that what is compared is
// the road of an event and not the text of a rule. It knows no redelivery, no lateness, no baseline and no absence, and tells
// nobody.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AUDIT_EVENT_SCHEMA_ID, FRAME_HEAD_BYTES, formatUuid, releasedSchema } from '@cairn/event';
import { type Correlation, type RuleEvent, readRules, windowKey } from '@cairn/rules';
import avsc, { type Schema } from 'avsc';
import { Redis } from 'ioredis';
import { Kafka, logLevel } from 'kafkajs';

const {
  KAFKA_BROKERS = '',
  REDIS_URL = '',
  BENCH_TOPIC = '',
  BENCH_GROUP = '',
  CAIRN_RULES = '',
} = process.env;
const files = readdirSync(CAIRN_RULES).filter((name) => name.endsWith('.yml'));
const { rules } = readRules(
  files.map((file) => ({ file, text: readFileSync(join(CAIRN_RULES, file), 'utf8') })),
);
const schema = releasedSchema(AUDIT_EVENT_SCHEMA_ID).schema as unknown as Schema;
const type = avsc.Type.forSchema(schema, { wrapUnions: 'never' });
const redis = new Redis(REDIS_URL);
const kafka = new Kafka({ brokers: KAFKA_BROKERS.split(','), clientId: 'peer', logLevel: logLevel.ERROR });
const consumer = kafka.consumer({
  groupId: BENCH_GROUP,
  sessionTimeout: 300_000,
  maxBytesPerPartition: 16 * 1024 ** 2,
  maxBytes: 64 * 1024 ** 2,
});

let alerts = 0;
let watched = 0;

/** Adds an event to its window, forgets what is too old and counts: three commands, as it is written everywhere. */
function countInRedis(
  pipeline: ReturnType<Redis['pipeline']>,
  correlation: Correlation,
  key: string,
  event: RuleEvent,
  member: string,
): void {
  const time = event.timestamp ?? 0;
  const spanMs = Math.ceil(correlation.timespan / 1_000);
  pipeline.zadd(key, time, member);
  pipeline.zremrangebyscore(key, '-inf', time - correlation.timespan);
  pipeline.zcard(key);
  pipeline.pexpire(key, spanMs);
}

await consumer.connect();
await consumer.subscribe({ topics: [BENCH_TOPIC], fromBeginning: true });
await consumer.run({
  partitionsConsumedConcurrently: 2,
  async eachBatch({ batch, heartbeat }) {
    const pipeline = redis.pipeline();
    const asked: Correlation[] = [];
    for (const { value } of batch.messages) {
      if (value === null) continue;
      const event = type.fromBuffer(value.subarray(FRAME_HEAD_BYTES)) as RuleEvent;
      for (const detection of rules.detections) {
        if (!detection.matches(event)) continue;
        if (detection.alerts) alerts += 1;
        for (const correlation of rules.correlations) {
          for (const [slot, source] of correlation.sources.entries()) {
            if (source.rule !== detection.id) continue;
            const group = source.groupFields.map((field) => field(event));
            if (group.includes(undefined)) continue;
            const isCount = correlation.type === 'event_count' || correlation.type === 'baseline';
            const label = correlation.type === 'value_count' ? source.valueOf?.(event) : String(slot);
            const member = isCount ? formatUuid(event.event_id as Uint8Array) : label;
            if (member === undefined) continue;
            const key = `peer:${windowKey(correlation, [event.org_id ?? '', ...(group as string[])])}`;
            countInRedis(pipeline, correlation, key, event, member);
            asked.push(correlation);
          }
        }
      }
    }
    const answers = (await pipeline.exec()) ?? [];
    for (const [index, correlation] of asked.entries())
      if (correlation.holds(Number(answers[4 * index + 2]?.[1]))) alerts += 1;
    watched += batch.messages.length;
    process.send?.({ events: watched, alerts });
    await heartbeat();
  },
});
process.once('SIGTERM', () => void consumer.disconnect().finally(() => process.exit(0)));
process.once('disconnect', () => process.exit(0));
