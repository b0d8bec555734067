import { randomBytes } from 'node:crypto';
import { type ClickHouse, frameIdsAt, type Kafka, openClickHouse, openKafka } from '@cairn/adapters';
import { PARKED_TOPIC, SCHEMAS, topicOf } from '@cairn/event';
import { Failure, messageOf } from '@cairn/failure';
import { awaitTopics, owning, type ServiceContext, serveHealth } from '@cairn/runtime';
import type { IngestConfig } from './config.ts';
import { type Encoder, nativeEncoder } from './encoder.ts';
import { ingestPartitions } from './ingest-partitions.ts';
import { createIngestMetrics } from './metrics.ts';
import { tableIn } from './table-in-clickhouse.ts';
import { type LedgerState, verifyLedger } from './verify-ledger.ts';

/** What tests put in the place of the real systems. */
export interface IngestParts {
  readonly kafka?: Kafka;
  readonly clickhouse?: ClickHouse;
  readonly encoder?: Encoder;
}

export interface Ingest extends AsyncDisposable {
  readonly healthPort: number;
}

/**
 * Kafka into ClickHouse, each event once. Any number of these share the partitions.
 *
 * @throws Failure when Kafka or ClickHouse does not answer, or the tables are missing.
 */
export async function createIngest(
  config: IngestConfig,
  { log, metrics }: ServiceContext,
  parts: IngestParts = {},
): Promise<Ingest> {
  return owning((own) => startIngest(config, { log, metrics }, parts, own));
}

async function startIngest(
  config: IngestConfig,
  { log, metrics }: Pick<ServiceContext, 'log' | 'metrics'>,
  parts: IngestParts,
  own: AsyncDisposableStack,
): Promise<Ingest> {
  log.level = config.logLevel;
  const kafka =
    parts.kafka ?? own.use(openKafka({ brokers: config.kafka.brokers, clientId: 'cairn-ingest' }));
  const clickhouse = parts.clickhouse ?? own.use(openClickHouse(config.clickhouse));
  const ids = await frameIdsAt(config.schemaRegistryUrl, SCHEMAS);
  const topics = config.classes.map(topicOf);
  const count = createIngestMetrics(metrics);

  await requireTables(clickhouse);
  await kafka.ensureTopics([{ name: PARKED_TOPIC, partitions: 1 }]);
  await awaitTopics(kafka, topics, log);

  const consumption = await ingestPartitions({
    source: kafka.source({
      group: config.kafka.group,
      topics,
      sessionMsMax: config.kafka.sessionMsMax,
      onTrouble: (reason) => log.warn({ reason }, 'reading from Kafka is in trouble'),
    }),
    table: tableIn(clickhouse),
    kafka,
    encoder: parts.encoder ?? nativeEncoder,
    releasedIdOf: ids.releasedIdOf,
    limits: config.chunk,
    bufferBytesMax: config.bufferBytesMax,
    loadsAtOnce: config.loadsAtOnce,
    instance: randomBytes(6).toString('hex'),
    onOpened({ topic, partition }, { start, coveredTo, rewound }) {
      log.info({ topic, partition, start, coveredTo, rewound }, 'partition opened');
      if (rewound > 0) count.rewound(rewound);
    },
    onLoaded(partition, chunk, loaded) {
      count.loaded(partition, chunk, loaded);
      const { topic, partition: number } = partition;
      for (const { reason, field, detail, first: offset } of loaded.parked) {
        log.warn({ topic, partition: number, offset, reason, field, detail }, 'parked');
      }
    },
    onTrouble({ topic, partition }, error) {
      count.troubled();
      log.warn({ topic, partition, reason: messageOf(error) }, 'the partition is opened again');
    },
  });
  own.defer(() => consumption[Symbol.asyncDispose]());

  let before: readonly LedgerState[] = [];
  const verify = async (): Promise<void> => {
    try {
      const states = await verifyLedger(clickhouse, topics, daysAgo(2));
      count.verified(states);
      for (const state of states) {
        if (state.missing === 0 && state.doubled === 0) continue;
        log.error({ ...state }, 'the ledger does not add up');
        // Once may be a chunk on its way; what stays missing is read from the log again.
        if (state.missing > 0 && before.some((other) => isSame(other, state) && other.missing > 0)) {
          consumption.reopen(state.topic, state.partition, ledgerMissing(state));
        }
      }
      before = states;
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'the ledger could not be verified');
    }
  };
  const verifier = setInterval(() => void verify(), config.verifyEveryMs);
  own.defer(() => clearInterval(verifier));

  count.buffered(() => ({ bytes: consumption.bufferedBytes, partitions: consumption.owned }));
  const health = own.use(
    await serveHealth({
      ...config.health,
      service: 'ingest',
      metrics,
      ready: async () => {
        const [broker, table] = await Promise.all([kafka.ping(), clickhouse.ping()]);
        const checks = { kafka: broker ? 'ok' : 'unreachable', clickhouse: table ? 'ok' : 'unreachable' };
        return { ok: broker && table, checks };
      },
    }),
  );
  return { healthPort: health.port, [Symbol.asyncDispose]: () => own.disposeAsync() };
}

const isSame = (left: LedgerState, right: LedgerState): boolean =>
  left.topic === right.topic && left.partition === right.partition;

function ledgerMissing({ topic, partition, missing }: LedgerState): Failure {
  return new Failure({
    code: 'ledger.missing',
    retry: 'later',
    message: `${missing} offsets of partition ${partition} of ${topic} are neither rows nor declared gaps`,
    mend: 'They are read from Kafka again. If Kafka has them no longer, restore the table from the archive.',
  });
}

const DAY_MS = 86_400_000;

function daysAgo(days: number): string {
  return new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);
}

async function requireTables(clickhouse: ClickHouse): Promise<void> {
  const [row] = await clickhouse.query<{ found: number }>(
    `SELECT toUInt32(count()) AS found FROM system.tables
     WHERE database = 'cairn' AND name IN ('events', 'ingest_gaps', 'stream_findings', 'ingest_owners')`,
  );
  if (row?.found === 4) return;
  throw new Failure({
    code: 'clickhouse.no-tables',
    retry: 'no',
    message: 'the tables of the database cairn are missing',
    mend: 'Run: cairn migrate',
  });
}
