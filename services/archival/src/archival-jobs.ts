import { join } from 'node:path';
import type { Kafka, ObjectStore } from '@cairn/adapters';
import { EVENTS_TOPIC_PREFIX } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import { originOf, parseOrigin } from '@cairn/ledger';
import type { RecordDraft } from '@cairn/recorder';
import { type RetentionPolicy, withHolds } from '@cairn/retention';
import { type AnchorRound, anchorCheckpoints, type Cosigner, type Stamper } from './anchor-checkpoints.ts';
import { AnchorLog } from './anchor-log.ts';
import { cosignersOf, stampersOf } from './attestors.ts';
import type { ComparedClock } from './compared-clock.ts';
import type { ArchivalConfig } from './config.ts';
import { type CopyStore, copySegments } from './copy-segments.ts';
import { dropHotDays } from './drop-hot-days.ts';
import { dropRestoredDays, type RestoredDays } from './drop-restored-days.ts';
import { expireSegments } from './expire-segments.ts';
import type { Finding } from './finding.ts';
import type { Derived } from './forget-derived.ts';
import { heldBy } from './held-by.ts';
import type { HotTable } from './hot-table.ts';
import type { KnownKeys } from './known-keys.ts';
import type { ArchivalMetrics } from './metrics.ts';
import { reconcileTable } from './reconcile-table.ts';
import { decisionEvents } from './record-events.ts';
import { checkNoneLost, recordHolds } from './record-holds.ts';
import type { Job } from './schedule-jobs.ts';
import type { SigningKeys } from './signing-keys.ts';
import { type SizesSeen, verifyNotes } from './verify-notes.ts';
import { verifySegments } from './verify-segments.ts';

export interface JobParts {
  readonly config: ArchivalConfig;
  readonly kafka: Pick<Kafka, 'boundsOf'>;
  readonly store: ObjectStore;
  readonly table: HotTable;
  readonly restored: RestoredDays;
  /** What was made of segments and goes before them. */
  readonly derived: Derived;
  /** Query copies, where there is a bucket for them. */
  readonly copies?: CopyStore | undefined;
  readonly signing: SigningKeys;
  /** Read anew for each run. */
  readonly keys: () => Promise<KnownKeys>;
  readonly policy: () => RetentionPolicy;
  readonly origins: readonly string[];
  readonly stampers?: readonly Stamper[] | undefined;
  readonly cosigners?: readonly Cosigner[] | undefined;
  readonly nowMs: () => number;
  readonly clock: ComparedClock;
  readonly count: Pick<ArchivalMetrics, 'anchored' | 'compared'>;
  readonly record: (draft: RecordDraft) => Promise<void>;
  /** The same, and rejects when the event could not be recorded. */
  readonly recordSurely: (draft: RecordDraft) => Promise<void>;
  readonly onFinding: (finding: Finding) => void;
}

/** The jobs of archival by name, each with when it runs (`schedule-jobs.ts` runs them, one instance of all). */
export function archivalJobs(parts: JobParts): readonly Job[] {
  const { config, kafka, store, table, signing, keys, policy, origins, nowMs, count, record, onFinding } =
    parts;
  const { deployment, org, jobs } = config;
  const notesLockMs = config.notesLockDays * DAY_MS;
  const anchors = new AnchorLog(deployment);

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
  // Jobs share what is known of the anchor log.
  let anchoring: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(act: () => Promise<T>): Promise<T> => {
    const done = anchoring.then(act);
    anchoring = done.catch(() => {});
    return done;
  };
  const anchor = (): Promise<AnchorRound> => inTurn(runAnchor);
  const verifiedTo = { after: '' };
  const sizesSeen: SizesSeen = new Map();
  const toldFile = join(config.dataDirectory, 'holds-told');
  /** With the holds that persons have signed. @throws Failure where their statements cannot be judged: then nothing is deleted. */
  const policyWithHolds = async (): Promise<RetentionPolicy> => {
    const holds = await heldBy(store, (await keys()).history);
    await checkNoneLost(toldFile, holds);
    return withHolds(policy(), holds.holds);
  };

  return [
    { name: 'anchor', when: jobs.anchor, run: async () => ({ ...(await anchor()) }) },
    {
      name: 'verify',
      when: jobs.verify,
      async run() {
        const known = await keys();
        let found = 0;
        const find = (finding: Finding): void => {
          found += 1;
          onFinding(finding);
        };
        await inTurn(() => anchors.catchUp(store, known)).catch((error: unknown) => {
          if (!isFailure(error, 'archive.broken')) throw error;
          const { origin, size: at } = anchors;
          find({ reason: 'checkpoint-form', origin, at, detail: messageOf(error) });
        });
        const notes = await verifyNotes({ store, keys: known, origins, anchors, onFinding: find }, sizesSeen);
        const options = { store, keys: known, origins, count: config.verifySegments, nowMs, onFinding: find };
        return { ...(await verifySegments(options, verifiedTo)), notes, found };
      },
    },
    {
      name: 'reconcile',
      when: jobs.reconcile,
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
      when: jobs.hot,
      run: async () => ({
        ...(await dropHotDays({
          store,
          keys: await keys(),
          table,
          originOf: ({ topic, partition }) => originOf({ deployment, topic, partition }),
          policy: policy(),
          nowMs,
          logFirst: async ({ topic, partition }) => (await kafka.boundsOf(topic)).get(partition)?.first ?? 0,
          onFinding,
        })),
        restoredDropped: await dropRestoredDays(parts.restored, nowMs()),
      }),
    },
    {
      name: 'holds',
      when: jobs.holds,
      async run() {
        const { history } = await keys();
        if (history === undefined) return { statements: (await heldBy(store, history)).next.number };
        return { ...(await recordHolds({ store, history, org, toldFile, record: parts.recordSurely })) };
      },
    },
    {
      name: 'expire',
      when: jobs.expire,
      run: async () => ({
        ...(await expireSegments({
          checkClock: parts.clock.check,
          store,
          signing,
          keys: await keys(),
          origins,
          classOf: (origin) => parseOrigin(origin).topic.slice(EVENTS_TOPIC_PREFIX.length),
          policy: policyWithHolds,
          anchors,
          anchor,
          derived: parts.derived,
          notesLockMs,
          nowMs,
          onDecided: async (manifest, what) => {
            for (const draft of decisionEvents(manifest, what, org)) await record(draft);
          },
        })),
      }),
    },
    ...(parts.copies === undefined ? [] : [copyJob(parts, parts.copies)]),
  ];
}

function copyJob({ config, store, keys, origins }: JobParts, copies: CopyStore): Job {
  return {
    name: 'copy',
    when: config.jobs.copy,
    async run() {
      const { segments } = config.copies;
      return { ...(await copySegments({ store, copies, keys: await keys(), origins, count: segments })) };
    },
  };
}

const DAY_MS = 86_400_000;
