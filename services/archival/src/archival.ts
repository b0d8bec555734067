import { join } from 'node:path';
import {
  type ClickHouse,
  frameIdsAt,
  type Kafka,
  type LockReport,
  type ObjectStore,
  openClickHouse,
  openKafka,
  openObjectStore,
  probeLocks,
} from '@cairn/adapters';
import { SCHEMAS, topicOf } from '@cairn/event';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import { anchorOrigin, originOf, parseVkey } from '@cairn/ledger';
import { openServiceRecorder } from '@cairn/recorder';
import { classNamed, ownTopic, type RetentionPolicy } from '@cairn/retention';
import {
  type AssignedPartition,
  awaitTopics,
  owning,
  readRetention,
  type ServiceContext,
  serveHealth,
  VERSION,
} from '@cairn/runtime';
import type { Cosigner, Stamper } from './anchor-checkpoints.ts';
import { archivalJobs } from './archival-jobs.ts';
import { archivePartitions } from './archive-partitions.ts';
import { comparedClock } from './compared-clock.ts';
import type { ArchivalConfig } from './config.ts';
import { copyStoreIn } from './copy-segments.ts';
import { restoredDaysIn } from './drop-restored-days.ts';
import type { Finding } from './finding.ts';
import { derivedIn } from './forget-derived.ts';
import { hotTableIn } from './hot-table.ts';
import { keptLogsIn } from './kept-logs.ts';
import { KnownKeys, readKeyHistory } from './known-keys.ts';
import { createArchivalMetrics } from './metrics.ts';
import { placeLeaves } from './place-leaves.ts';
import { findingEvent, jobEvent, probeEvent } from './record-events.ts';
import { recordingInto } from './record-once.ts';
import { runJob, scheduleJobs } from './schedule-jobs.ts';
import { handOutVkeys, openSigningKeys } from './signing-keys.ts';
import type { LogRetention, StoredSegment } from './write-segment.ts';

/** What tests put in the place of the real systems. */
export interface ArchivalParts {
  readonly kafka?: Kafka;
  readonly clickhouse?: ClickHouse;
  readonly store?: ObjectStore;
  /** Bucket of the query copies. */
  readonly copies?: ObjectStore;
  readonly stampers?: readonly Stamper[];
  readonly cosigners?: readonly Cosigner[];
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number;
}

export interface Archival extends AsyncDisposable {
  readonly healthPort: number;
  /** Runs a job now, whoever owns the jobs. @throws Failure `job.unknown` */
  run(job: string): Promise<void>;
}

/**
 * Kafka into the archive: segments, manifests, checkpoints, anchors, and the jobs that keep them. Any number of these share
 * the partitions; the one that has the first partition of the first class runs the jobs.
 *
 * @throws Failure when Kafka or the store does not answer, or the store cannot be relied on (`archive.store-unfit`).
 */
export async function createArchival(
  config: ArchivalConfig,
  context: ServiceContext,
  parts: ArchivalParts = {},
): Promise<Archival> {
  return owning((own) => startArchival(config, context, parts, own));
}

async function startArchival(
  config: ArchivalConfig,
  { log, metrics }: Pick<ServiceContext, 'log' | 'metrics'>,
  parts: ArchivalParts,
  own: AsyncDisposableStack,
): Promise<Archival> {
  log.level = config.logLevel;
  const { deployment, org } = config;
  const nowMs = parts.nowMs ?? Date.now;
  const policyNow = (): RetentionPolicy => readRetention(config.retentionFile);
  const policy = policyNow();
  const retentions = new Map(config.classes.map((name) => [topicOf(name), retentionOf(policy, name)]));
  const topics = [...retentions.keys()];
  const rootKey = config.rootVkey === undefined ? undefined : parseVkey(config.rootVkey);
  const kafka =
    parts.kafka ?? own.use(openKafka({ brokers: config.kafka.brokers, clientId: 'cairn-archival' }));
  const clickhouse = parts.clickhouse ?? own.use(openClickHouse(config.clickhouse));
  const store = parts.store ?? own.use(await openObjectStore(config.s3));
  const copyBucket =
    parts.copies ??
    (config.copies.bucket === undefined
      ? undefined
      : own.use(await openObjectStore({ ...config.s3, bucket: config.copies.bucket })));
  const ids = await frameIdsAt(config.schemaRegistryUrl, SCHEMAS);
  const count = createArchivalMetrics(metrics, nowMs);

  await store.ensureBucket();
  await copyBucket?.ensureBucket();
  const probed = await probeLocks(store, { nowMs });
  const clock = comparedClock(probed, nowMs);
  count.probed(probed);
  log.info({ ...probed }, 'the locks of the store were probed');
  if (probed.missing.length > 0) throw storeUnfit(probed);
  const keyDirectory = config.keyDirectory ?? join(config.dataDirectory, 'keys');
  const signing = await openSigningKeys(keyDirectory, deployment);
  const partitions = await awaitTopics(kafka, topics, log);
  const origins = partitions.flatMap(({ topic, partitions: number }) =>
    Array.from({ length: number }, (_, partition) => originOf({ deployment, topic, partition })),
  );
  await handOutVkeys(keyDirectory, signing, origins);

  const recorder = await openServiceRecorder(config, {
    gatewayVersion: VERSION,
    log: ids.under(kafka.log),
    topicOf: (orgId) => ownTopic(policy, orgId, topics, Date.now()),
    partitions: partitions[0]?.partitions ?? 1,
    onEvent: (event) => log.warn({ ...event }, 'the recorder of archival’s own events'),
  });
  own.use(recorder);
  const keys = (): Promise<KnownKeys> =>
    KnownKeys.read(
      signing,
      async () => rootKey && (await readKeyHistory(store, deployment, rootKey)),
      (orgId, gatewayId) =>
        gatewayId === config.instance && recorder.orgIds.includes(orgId)
          ? parseVkey(recorder.vkeyOf(orgId))
          : undefined,
    );
  const record = recordingInto(recorder, count.unrecorded, log);
  const onFinding = (finding: Finding): void => {
    count.found(finding);
    log.error({ ...finding }, 'found');
    void record(findingEvent(finding, org));
  };
  await record(probeEvent(probed, org));
  const tellClock = (): void => {
    const finding = clock.finding(anchorOrigin(deployment));
    if (finding !== undefined) onFinding(finding);
  };
  tellClock();

  const table = hotTableIn(clickhouse);
  /** Beside the work, which ClickHouse does not hold up: what is not written here the job `reconcile` writes. */
  const place = ({ manifest }: StoredSegment): void => {
    placeLeaves(store, table, manifest).catch((error: unknown) =>
      log.warn(
        { origin: manifest.origin, first: manifest.first, reason: messageOf(error) },
        'leaves not placed',
      ),
    );
  };

  // The one instance that has this partition runs the jobs.
  let jobs: AssignedPartition | undefined;
  const consumption = await archivePartitions({
    source: kafka.source({
      group: config.kafka.group,
      topics,
      sessionMsMax: config.kafka.sessionMsMax,
      onTrouble: (reason) => log.warn({ reason }, 'reading from Kafka is in trouble'),
    }),
    store,
    kept: keptLogsIn(join(config.dataDirectory, 'logs')),
    deployment,
    signing,
    keys,
    releasedIdOf: ids.releasedIdOf,
    retentionOf: (topic) => retentions.get(topic)!,
    watch: { unsealedMax: UNSEALED_MAX, silenceMsMax: config.silenceMsMax },
    notesLockMs: config.notesLockDays * DAY_MS,
    nowMs,
    limits: config.chunk,
    bufferBytesMax: config.bufferBytesMax,
    segmentAgeMsMax: config.segment.ageMsMax,
    onOpened(partition, opened) {
      const { origin, committed, start, fixedEnd } = opened;
      const { vkey } = signing.log(origin).key;
      log.info({ origin, committed, start, fixedEnd, vkey }, 'log opened');
      if (partition.topic === topics[0] && partition.partition === 0) jobs = partition;
    },
    onTaken: count.taken,
    onStored(partition, stored, tookMs) {
      count.stored(partition, stored, tookMs);
      place(stored);
      const { first, end, origin } = stored.manifest;
      log.debug({ origin, first, end, bytes: stored.bytes, tookMs }, 'segment stored');
    },
    onFinding,
    onTrouble({ topic, partition }, error) {
      count.troubled();
      log.warn({ topic, partition, reason: messageOf(error) }, 'the log is taken up again');
      const finding = troubleFinding(originOf({ deployment, topic, partition }), error);
      if (finding !== undefined) onFinding(finding);
    },
  });
  own.defer(() => consumption[Symbol.asyncDispose]());
  count.unarchived(() => consumption.unarchivedSinceMs);

  const all = archivalJobs({
    config,
    kafka,
    store,
    table,
    restored: restoredDaysIn(clickhouse),
    derived: derivedIn(clickhouse, copyBucket),
    copies: copyBucket && copyStoreIn(clickhouse, config.copies.collection, copyBucket),
    signing,
    keys,
    policy: policyNow,
    origins,
    stampers: parts.stampers,
    cosigners: parts.cosigners,
    nowMs,
    clock,
    count,
    record,
    recordSurely: async (draft) => void (await recorder.record(draft)),
    onFinding,
  });
  const onRun = async (run: Awaited<ReturnType<typeof runJob>>): Promise<void> => {
    tellClock();
    count.ran(run, nowMs());
    log[run.outcome === 'success' ? 'info' : 'error']({ ...run }, 'job ran');
    await record(jobEvent(run, org));
  };
  own.use(scheduleJobs(all, { isOwner: () => jobs !== undefined && !jobs.lost.aborted, onRun }));

  const health = own.use(
    await serveHealth({
      ...config.health,
      service: 'archival',
      metrics,
      ready: async () => {
        const [broker, bucket] = await Promise.all([kafka.ping(), isThere(store)]);
        const checks = {
          kafka: broker ? 'ok' : 'unreachable',
          s3: bucket ? 'ok' : 'unreachable',
          spool: recorder.stats().full ? 'full' : 'ok',
        };
        return { ok: broker && bucket, checks };
      },
    }),
  );
  return {
    healthPort: health.port,
    async run(name) {
      const job = all.find((one) => one.name === name);
      if (job === undefined)
        throw new Failure({ code: 'job.unknown', retry: 'no', message: `there is no job ${name}` });
      await onRun(await runJob(job));
    },
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}

const DAY_MS = 86_400_000;
/** What a recorder seals at the latest. */
const UNSEALED_MAX = 256;

/** @throws Failure `class.unknown`, `archive.mode` */
function retentionOf(policy: RetentionPolicy, name: string): LogRetention {
  const retentionClass = classNamed(policy, name);
  if (retentionClass.objectLock === 'COMPLIANCE')
    return { retentionClass, policy: policy.hash, renewal: policy.lockRenewal };
  throw new Failure({
    code: 'archive.mode',
    retry: 'no',
    message: `class ${name} asks for locks in ${retentionClass.objectLock} mode, and archival locks in COMPLIANCE mode alone`,
    mend: 'Set object_lock of the class to COMPLIANCE, or do not archive it.',
  });
}

/** Findings that a failure of a log comes from. Told once for each way in which it failed, not for each attempt. */
function troubleFinding(origin: string, error: unknown): Finding | undefined {
  if (!isFailure(error)) return undefined;
  const reasons = {
    'archive.rollback': 'log-rollback',
    'archive.second-writer': 'second-writer',
    'archive.broken': 'manifest-form',
    'archive.read-back': 'read-back',
  } as const;
  const reason = reasons[error.code as keyof typeof reasons];
  return reason && { reason, origin, at: -1, detail: messageOf(error) };
}

async function isThere(store: ObjectStore): Promise<boolean> {
  return store.head('anchor').then(
    () => true,
    () => false,
  );
}

function storeUnfit({ missing, behaviours }: LockReport): Failure {
  const seen = behaviours
    .filter(({ name }) => missing.includes(name))
    .map(({ name, seen: what }) => `${name}: ${what}`);
  return new Failure({
    code: 'archive.store-unfit',
    retry: 'no',
    message: `the object store does not keep what it is given: ${seen.join('; ')}`,
    mend: 'Use a store whose Object Lock in COMPLIANCE mode, versions and conditional puts hold.',
  });
}
