import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  frameIdsAt,
  type Kafka,
  openClickHouse,
  openGuardedHttp,
  openKafka,
  openRedis,
  type Redis,
} from '@cairn/adapters';
import { SCHEMAS, topicOf } from '@cairn/event';
import { messageOf } from '@cairn/failure';
import { openServiceRecorder, type RecordDraft } from '@cairn/recorder';
import { ownTopic } from '@cairn/retention';
import { ruleMistakeText } from '@cairn/rules';
import {
  awaitTopics,
  owning,
  readRetention,
  realClock,
  type ServiceContext,
  serveHealth,
  VERSION,
} from '@cairn/runtime';
import { DeliveryStore, keyOf, refusalsOf, secretsOf } from '@cairn/webhook';
import type { AlertingConfig } from './config.ts';
import { deliverAlerts } from './deliver-alerts.ts';
import type { RulesInForce } from './fold-records.ts';
import { learnBaselines } from './learn-baselines.ts';
import { createAlertingMetrics } from './metrics.ts';
import { RecordReader } from './read-records.ts';
import { openRuleBook, type ReadRules } from './rule-book.ts';
import { watchPartitions } from './watch-partitions.ts';
import type { PartitionWindows } from './windows.ts';
import { windowsInRedis } from './windows-in-redis.ts';

/** What tests put in the place of the real systems. */
export interface AlertingParts {
  readonly kafka?: Kafka;
  readonly redis?: Redis;
}

export interface Alerting extends AsyncDisposable {
  readonly healthPort: number;
}

/**
 * Kafka against the rules, and alerts to whoever wants them. Any number of these share the partitions and the windows; each
 * tells of what it found itself.
 *
 * @throws Failure when Kafka does not answer, the rules cannot be read, or the data directory is in use.
 */
export async function createAlerting(
  config: AlertingConfig,
  context: ServiceContext,
  parts: AlertingParts = {},
): Promise<Alerting> {
  return owning((own) => startAlerting(config, context, parts, own));
}

async function startAlerting(
  config: AlertingConfig,
  { log, metrics, onReload }: ServiceContext,
  parts: AlertingParts,
  own: AsyncDisposableStack,
): Promise<Alerting> {
  log.level = config.logLevel;
  const nowMs = Date.now;
  const policy = readRetention(config.retentionFile);
  const topics = config.classes.map(topicOf);
  const count = createAlertingMetrics(metrics, nowMs);
  const kafka =
    parts.kafka ?? own.use(openKafka({ brokers: config.kafka.brokers, clientId: 'cairn-alerting' }));
  const redis = parts.redis ?? own.use(openRedis({ url: config.redisUrl }));
  const ids = await frameIdsAt(config.schemaRegistryUrl, SCHEMAS);
  await awaitTopics(kafka, topics, log);

  const recorder = own.use(
    await openServiceRecorder(config, {
      gatewayVersion: VERSION,
      log: ids.under(kafka.log),
      topicOf: (orgId) => ownTopic(policy, orgId, topics, Date.now()),
      partitions: (await kafka.partitionsOf(topics[0]!)) ?? 1,
      onEvent: (event) => log.warn({ ...event }, 'the recorder of alerting’s own events'),
    }),
  );

  // Windows of correlations that were replaced are not looked for.
  let inForce: RulesInForce;
  const useRules = (read: ReadRules): void => {
    inForce = { rules: read.rules, reader: new RecordReader(read.rules.fieldsRead) };
    count.ruled(read);
    for (const mistake of read.mistakes)
      log.error({ mistake: ruleMistakeText(mistake) }, 'a rule does not run');
    const { detections, correlations } = read.rules;
    log.info(
      { hash: read.hash, detections: detections.length, correlations: correlations.length },
      'rules in force',
    );
  };
  const ruleBook = own.use(
    await openRuleBook({
      directory: config.rulesDirectory,
      lookEveryMs: config.rulesEveryMs,
      onChanged(now, before) {
        useRules(now);
        recorder
          .record(rulesEvent(now, before.hash, config.org))
          .catch((error: unknown) =>
            log.error({ reason: messageOf(error) }, 'a rule change is not recorded'),
          );
      },
      onTrouble: (error) => log.error({ reason: messageOf(error) }, 'the rules stay what they were'),
    }),
  );
  useRules(ruleBook.current);
  await recorder.record(rulesEvent(ruleBook.current, '', config.org));
  onReload(async () => void (await ruleBook.reload()));

  mkdirSync(config.dataDirectory, { recursive: true });
  const store = own.use(new DeliveryStore(join(config.dataDirectory, 'deliveries.sqlite')));
  const { webhooks } = config;
  // A file that cannot be read is told of now, and not with the first alert.
  for (const endpoint of webhooks.endpoints) {
    secretsOf(endpoint);
    keyOf(endpoint);
  }
  const delivering = own.use(
    deliverAlerts({
      store,
      webhooks,
      httpOf: () => openGuardedHttp({ refusalOf: refusalsOf(webhooks.network) }),
      clock: realClock,
      nowMs,
      onAttempt(delivery, attempt, next) {
        count.attempted(delivery, attempt, next);
        if (next === 'delivered') return;
        const { endpoint, attempts, alert } = delivery;
        log.warn({ endpoint, alert: alert.id, attempts: attempts + 1, next, ...attempt }, 'not delivered');
      },
      onTrouble: (error) => log.error({ reason: messageOf(error) }, 'the deliveries on disk are in trouble'),
    }),
  );
  const forgetting = setInterval(() => store.forget(nowMs()), FORGET_EVERY_MS);
  own.defer(() => clearInterval(forgetting));

  const table = config.clickhouse && own.use(openClickHouse(config.clickhouse));
  let hasLearned = false;
  /** Once for each process: windows are shared by all partitions. */
  const learn = async (windows: PartitionWindows, rebuilds: boolean): Promise<void> => {
    if (table === undefined || hasLearned) return;
    hasLearned = true;
    const readBackMs = rebuilds ? LOG_KEPT_MS : config.backlogMsMax;
    try {
      const hours = await learnBaselines(table, windows, inForce.rules, (nowMs() - readBackMs) * 1_000);
      log.info({ hours }, 'baselines learned from the table');
    } catch (error) {
      log.warn(
        { reason: messageOf(error) },
        'baselines are not learned; their floors decide until they are known',
      );
    }
  };

  const lateness = config.latenessMsMax * 1_000;
  const consumption = await watchPartitions({
    source: kafka.source({
      group: config.kafka.group,
      topics,
      sessionMsMax: config.kafka.sessionMsMax,
      onTrouble: (reason) => log.warn({ reason }, 'reading from Kafka is in trouble'),
    }),
    windows: windowsInRedis({
      redis,
      deployment: config.deployment,
      lateness,
      correlationOf: (id) => inForce.rules.correlations.find((one) => one.id === id),
    }),
    recorder,
    promise: (alerts) => void delivering.add(alerts),
    rulesNow: () => inForce,
    bounds: { lateness, ahead: config.aheadMsMax * 1_000 },
    quiet: config.quietMs * 1_000,
    releasedIdOf: ids.releasedIdOf,
    offsetAt: (topic, partition, timeMs) => kafka.offsetAt(topic, partition, timeMs),
    spanMs: () => spanMsOf(inForce, config),
    backlogMsMax: config.backlogMsMax,
    nowMs,
    limits: config.chunk,
    bufferBytesMax: config.bufferBytesMax,
    endEveryMs: config.endEveryMs,
    closeGrace: config.closeGraceMs * 1_000,
    learn,
    onOpened({ topic, partition }, { start, counted, told, rebuilds }) {
      log.info({ topic, partition, start, counted, told, rebuilds }, 'partition opened');
      if (rebuilds) count.rebuilt();
    },
    onWatched: count.watched,
    onAlert(alert) {
      count.told(alert);
      const { id, what, rule, orgId, level } = alert;
      log.info({ id, what, rule, orgId, level, count: alert.count }, 'alert');
    },
    onEnded: (ended) => log.debug({ ended }, 'alerts ended'),
    onTrouble(partition, error) {
      count.troubled();
      const { topic, partition: number } = partition ?? {};
      log.warn({ topic, partition: number, reason: messageOf(error) }, 'taken up again');
    },
  });
  own.defer(() => consumption[Symbol.asyncDispose]());
  count.owed(() => store.counts());

  const health = own.use(
    await serveHealth({
      ...config.health,
      service: 'alerting',
      metrics,
      ready: async () => {
        const [broker, windows] = await Promise.all([kafka.ping(), redis.ping()]);
        const checks = {
          kafka: broker ? 'ok' : 'unreachable',
          redis: windows ? 'ok' : 'unreachable',
          spool: recorder.stats().full ? 'full' : 'ok',
        };
        return { ok: broker && windows, checks };
      },
    }),
  );
  return { healthPort: health.port, [Symbol.asyncDispose]: () => own.disposeAsync() };
}

/** How long topics keep what they hold; deploy/kafka/topic-settings.json. */
const LOG_KEPT_MS = 7 * 86_400_000;
const FORGET_EVERY_MS = 3_600_000;

/** How far back windows reach, twice: an alert that is open began some time before its last window. */
function spanMsOf({ rules }: RulesInForce, { latenessMsMax, quietMs, closeGraceMs }: AlertingConfig): number {
  const spans = rules.correlations.map(({ timespan }) => timespan / 1_000);
  return 2 * (Math.max(quietMs, ...spans) + latenessMsMax + closeGraceMs);
}

/** The rules that are in force from now on. */
function rulesEvent({ hash, mistakes, rules }: ReadRules, before: string, org: string): RecordDraft {
  return {
    org_id: org,
    kind: 'policy_change',
    phase: 'single',
    service: 'alerting',
    method: 'rules/loaded',
    result_status: mistakes.length === 0 ? 'success' : 'failure',
    detail: JSON.stringify({
      before,
      correlations: rules.correlations.length,
      detections: rules.detections.length,
      hash,
      mistakes: mistakes.length,
    }),
  };
}
