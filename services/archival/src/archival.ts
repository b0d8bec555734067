import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ClickHouse,
  checkSchemaIds,
  type Kafka,
  type LockReport,
  type ObjectStore,
  openClickHouse,
  openKafka,
  openObjectStore,
  probeLocks,
  underRegistryIds,
} from '@cairn/adapters';
import { EVENTS_TOPIC_PREFIX, SCHEMAS, topicOf } from '@cairn/event';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import { originOf, parseOrigin, parseVkey } from '@cairn/ledger';
import { openRecorder, type RecordDraft, type Recorder } from '@cairn/recorder';
import { classNamed, classOf, type RetentionPolicy } from '@cairn/retention';
import {
  type AssignedPartition,
  readRetention,
  type ServiceContext,
  serveHealth,
  VERSION,
} from '@cairn/runtime';
import { type AnchorRound, anchorCheckpoints, type Cosigner, type Stamper } from './anchor-checkpoints.ts';
import { AnchorLog } from './anchor-log.ts';
import { archivePartitions } from './archive-partitions.ts';
import { cosignersOf, stampersOf } from './attestors.ts';
import type { ArchivalConfig } from './config.ts';
import { copySegments, copyStoreIn } from './copy-segments.ts';
import { dropHotDays } from './drop-hot-days.ts';
import { dropRestoredDays, restoredDaysIn } from './drop-restored-days.ts';
import { expireSegments } from './expire-segments.ts';
import type { Finding } from './finding.ts';
import { derivedIn } from './forget-derived.ts';
import { hotTableIn } from './hot-table.ts';
import { KnownKeys, readKeyHistory } from './known-keys.ts';
import { createArchivalMetrics } from './metrics.ts';
import { reconcileTable } from './reconcile-table.ts';
import { decisionEvents, findingEvent, jobEvent, probeEvent } from './record-events.ts';
import { type Job, runJob, scheduleJobs } from './schedule-jobs.ts';
import { openSigningKeys } from './signing-keys.ts';
import { verifySegments } from './verify-segments.ts';
import type { LogRetention } from './write-segment.ts';

/** What tests put in the place of the real systems. */
export interface ArchivalParts {
  readonly kafka?: Kafka;
  readonly clickhouse?: ClickHouse;
  readonly store?: ObjectStore;
  /** Bucket of the query copies. */
  readonly copies?: ObjectStore;
  readonly stampers?: readonly Stamper[];
  readonly cosigners?: readonly Cosigner[];
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
  const own = new AsyncDisposableStack();
  try {
    return await startArchival(config, context, parts, own);
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

async function startArchival(
  config: ArchivalConfig,
  { log, metrics }: Pick<ServiceContext, 'log' | 'metrics'>,
  parts: ArchivalParts,
  own: AsyncDisposableStack,
): Promise<Archival> {
  const { deployment, org } = config;
  const nowMs = Date.now;
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
  const ids =
    config.schemaRegistryUrl === undefined
      ? undefined
      : await checkSchemaIds({ url: config.schemaRegistryUrl }, SCHEMAS);
  const count = createArchivalMetrics(metrics, nowMs);

  await store.ensureBucket();
  await copyBucket?.ensureBucket();
  const probed = await probeLocks(store);
  count.probed(probed);
  log.info({ ...probed }, 'the locks of the store were probed');
  if (probed.missing.length > 0) throw storeUnfit(probed);
  const signing = await openSigningKeys(
    config.keyDirectory ?? join(config.dataDirectory, 'keys'),
    deployment,
  );
  const keys = async (): Promise<KnownKeys> =>
    new KnownKeys(signing, rootKey && (await readKeyHistory(store, deployment, rootKey)));
  await untilThere(kafka, topics, log);
  const partitions = await partitionsOf(kafka, topics);

  const recorder = await openRecorder({
    directory: join(config.dataDirectory, 'recorder'),
    deployment,
    gatewayId: config.instance,
    gatewayVersion: VERSION,
    environment: config.environment,
    capture: 'system',
    log: ids ? underRegistryIds(kafka.log, ids) : kafka.log,
    topicOf: (orgId) => ownTopic(policy, orgId, topics),
    partitions: partitions[0]?.partitions ?? 1,
    seal: { heartbeatMs: HEARTBEAT_MS },
    onEvent: (event) => log.warn({ ...event }, 'the recorder of archival’s own events'),
  });
  own.use(recorder);
  const record = recordingInto(recorder, count.unrecorded, log);
  const onFinding = (finding: Finding): void => {
    count.found(finding);
    log.error({ ...finding }, 'found');
    void record(findingEvent(finding, org));
  };
  await record(probeEvent(probed, org));

  // The one instance that has this partition runs the jobs.
  let jobs: AssignedPartition | undefined;
  const notesLockMs = config.notesLockDays * DAY_MS;
  const consumption = await archivePartitions({
    source: kafka.source({
      group: config.kafka.group,
      topics,
      sessionMsMax: config.kafka.sessionMsMax,
      onTrouble: (reason) => log.warn({ reason }, 'reading from Kafka is in trouble'),
    }),
    store,
    deployment,
    signing,
    keys,
    releasedIdOf: (framedId) => (ids ? ids.releasedIdOf(framedId) : framedId),
    retentionOf: (topic) => retentions.get(topic)!,
    watch: { unsealedMax: UNSEALED_MAX, silenceMsMax: config.silenceMsMax },
    notesLockMs,
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

  const anchors = new AnchorLog(deployment);
  const origins = partitions.flatMap(({ topic, partitions: number }) =>
    Array.from({ length: number }, (_, partition) => originOf({ deployment, topic, partition })),
  );
  const runAnchor = async (): Promise<AnchorRound> => {
    const round = await anchorCheckpoints(
      {
        store,
        signing,
        keys: await keys(),
        origins,
        stampers: parts.stampers ?? (await stampersOf(config.timestampAuthorities)),
        cosigners: parts.cosigners ?? cosignersOf(config.witnesses),
        notesLockMs,
        nowMs,
      },
      anchors,
    );
    count.anchored(round, nowMs());
    return round;
  };
  // Two jobs ask for rounds; they share what is known of the anchor log.
  let anchoring: Promise<unknown> = Promise.resolve();
  const anchor = (): Promise<AnchorRound> => {
    const round = anchoring.then(runAnchor);
    anchoring = round.catch(() => {});
    return round;
  };
  const table = hotTableIn(clickhouse);
  const verifiedTo = { after: '' };
  const all: Job[] = [
    { name: 'anchor', when: config.jobs.anchor, run: async () => ({ ...(await anchor()) }) },
    {
      name: 'verify',
      when: config.jobs.verify,
      run: async () => {
        const options = {
          store,
          keys: await keys(),
          origins,
          count: config.verifySegments,
          nowMs,
          onFinding,
        };
        return { ...(await verifySegments(options, verifiedTo)) };
      },
    },
    {
      name: 'reconcile',
      when: config.jobs.reconcile,
      async run() {
        const fromMs = config.reconcileDays === 0 ? 0 : nowMs() - config.reconcileDays * DAY_MS;
        // What came within the last minutes may not be loaded yet.
        const toMs = nowMs() - config.reconcileGraceMs;
        const options = { store, keys: await keys(), table, origins, fromMs, toMs, onFinding };
        const reconciled = await reconcileTable(options);
        count.compared(reconciled.rows, reconciled.differing);
        return { ...reconciled };
      },
    },
    {
      name: 'hot',
      when: config.jobs.hot,
      run: async () => ({
        ...(await dropHotDays({
          store,
          keys: await keys(),
          table,
          originOf: ({ topic, partition }) => originOf({ deployment, topic, partition }),
          policy: policyNow(),
          nowMs,
          logFirst: async ({ topic, partition }) => (await kafka.boundsOf(topic)).get(partition)?.first ?? 0,
          onFinding,
        })),
        restoredDropped: await dropRestoredDays(restoredDaysIn(clickhouse), nowMs()),
      }),
    },
    {
      name: 'expire',
      when: config.jobs.expire,
      run: async () => ({
        ...(await expireSegments({
          store,
          signing,
          keys: await keys(),
          origins,
          classOf: (origin) => parseOrigin(origin).topic.slice(EVENTS_TOPIC_PREFIX.length),
          policy: policyNow,
          anchors,
          anchor,
          derived: derivedIn(clickhouse, copyBucket),
          notesLockMs,
          nowMs,
          onDecided: async (manifest, what) => {
            for (const draft of decisionEvents(manifest, what, org)) await record(draft);
          },
        })),
      }),
    },
  ];
  if (copyBucket !== undefined) {
    all.push({
      name: 'copy',
      when: config.jobs.copy,
      run: async () => ({
        ...(await copySegments({
          store,
          copies: copyStoreIn(clickhouse, config.copies.collection, copyBucket),
          keys: await keys(),
          origins,
          count: config.copies.segments,
        })),
      }),
    });
  }
  const onRun = async (run: Awaited<ReturnType<typeof runJob>>): Promise<void> => {
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
/** Archival says little of its own; a sign of life each half minute is enough. */
const HEARTBEAT_MS = 30_000;
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

/** Where this service's own events of an organisation go: to its class, where that is one that is archived here. */
function ownTopic(policy: RetentionPolicy, orgId: string, topics: readonly string[]): string {
  const chosen = classOf(policy, orgId, Date.now());
  const topic = chosen && topicOf(chosen.class);
  return topic !== undefined && topics.includes(topic) ? topic : topics[0]!;
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

/** Findings that are recorded within a minute; more are counted and logged, and the verifier finds them again. */
const RECORDED_MAX = 200;

/**
 * Records events of archival's own. A finding that comes again unchanged is recorded once for each start. Evidence is written
 * whether or not its findings can be recorded: they can be found again from it.
 */
function recordingInto(
  recorder: Pick<Recorder, 'record'>,
  onUnrecorded: () => void,
  log: ServiceContext['log'],
): (draft: RecordDraft) => Promise<void> {
  const told = new Set<string>();
  let minute = 0;
  let within = 0;
  return async (draft) => {
    if (draft.kind === 'alert') {
      const key = `${draft.org_id} ${draft.error_code} ${draft.error_message} ${draft.detail}`;
      if (told.has(key)) return;
      if (told.size >= 10_000) told.clear();
      told.add(key);
      const now = Math.floor(Date.now() / 60_000);
      within = now === minute ? within + 1 : 1;
      minute = now;
      if (within > RECORDED_MAX) return onUnrecorded();
    }
    try {
      await recorder.record(draft);
    } catch (error) {
      if (!isFailure(error)) throw error;
      onUnrecorded();
      log.error({ reason: messageOf(error), event: draft.error_code }, 'an event could not be recorded');
    }
  };
}

/** The gateways create the topics, since they decide on the partitions; until then there is nothing to archive. */
async function untilThere(
  kafka: Kafka,
  topics: readonly string[],
  log: ServiceContext['log'],
): Promise<void> {
  for (const topic of topics) {
    for (let wait = 0; (await kafka.partitionsOf(topic)) === undefined; wait += 1) {
      if (wait % 30 === 0) log.warn({ topic }, 'waiting for the topic, which the first gateway creates');
      await sleep(1_000);
    }
  }
}

async function partitionsOf(
  kafka: Kafka,
  topics: readonly string[],
): Promise<{ readonly topic: string; readonly partitions: number }[]> {
  return Promise.all(
    topics.map(async (topic) => ({ topic, partitions: (await kafka.partitionsOf(topic)) ?? 0 })),
  );
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
