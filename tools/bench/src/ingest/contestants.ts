import { join } from 'node:path';
import { freePort, NODE_OPTIONS, REPOSITORY } from '@cairn/local';
import type { Contestant } from './contestant.ts';
import { kafkaEngine } from './kafka-engine.ts';
import { startProcess } from './node-process.ts';
import { python } from './python.ts';
import type { Stage } from './stage.ts';
import { insertOfText } from './text-rows.ts';

const PEERS = join(import.meta.dirname, 'peers');

const common = (
  stage: Stage,
  { topic }: { readonly topic: string },
  group: string,
): Record<string, string> => ({
  KAFKA_BROKERS: stage.parts.part('kafka').address,
  CLICKHOUSE_URL: stage.parts.part('clickhouse').address,
  BENCH_TOPIC: topic,
  BENCH_GROUP: group,
});

/** Our service as it is run in production, or with another source in its place. */
const ours = (name: string, main: string, more: Readonly<Record<string, string>> = {}): Contestant => ({
  name,
  inserts: true,
  async start(stage, from, group) {
    return startProcess(stage, process.execPath, [main], {
      ...common(stage, from, group),
      CAIRN_INGEST_GROUP: group,
      CAIRN_CLASSES: from.topic.replace('audit.events.', ''),
      CAIRN_INGEST_HEALTH_PORT: String(await freePort()),
      CAIRN_LOG_LEVEL: 'warn',
      // For profiles: BENCH_NODE_OPTIONS='--cpu-prof --cpu-prof-dir=/tmp/profiles'.
      NODE_OPTIONS: `${NODE_OPTIONS['ingest']} ${process.env['BENCH_NODE_OPTIONS'] ?? ''}`,
      ...more,
    });
  },
});

export const cairn = ours('cairn', join(REPOSITORY, 'services', 'ingest', 'src', 'main.ts'));

/** (a) What most teams would write: kafkajs, avsc, JSONEachRow. */
export const usual: Contestant = {
  name: '(a) kafkajs, avsc, JSONEachRow',
  inserts: true,
  async start(stage, from, group) {
    return startProcess(stage, process.execPath, [join(PEERS, 'usual.ts')], common(stage, from, group));
  },
};

export const peers: readonly Contestant[] = [
  usual,
  kafkaEngine('(b) Kafka engine, 1 consumer', 1),
  kafkaEngine('(b) Kafka engine, 2 consumers', 2),
  ours('(c) our service on stock kafkajs', join(PEERS, 'on-stock-kafkajs.ts')),
  ours('(d) our service on @platformatic/kafka', join(PEERS, 'on-platformatic.ts')),
  {
    name: '(e) confluent-kafka, fastavro',
    inserts: true,
    missing: () => python().missing,
    async start(stage, from, group) {
      return startProcess(stage, python().command, [join(PEERS, 'confluent.py')], {
        ...common(stage, from, group),
        BENCH_SCHEMA: join(REPOSITORY, 'schemas', 'audit-event.avsc'),
        BENCH_INSERT: insertOfText(),
      });
    },
  },
  {
    name: '(f) kcat to nowhere',
    inserts: false,
    async start(stage, { topic }) {
      const broker = stage.parts.part('kafka').address;
      // The ceiling: fetched and thrown away.
      return startProcess(
        stage,
        'kcat',
        ['-q', '-C', '-b', broker, '-t', topic, '-o', 'beginning', '-e', '-D', '', '-f', ''],
        {},
      );
    },
  },
];
