// One partition of a log in memory, archived step by step, so that a test can fail each call of the store in turn.
import type { ObjectStore } from '@cairn/adapters';
import { frame } from '@cairn/event';
import { gatewaySubject, type LogReport, type NoteSigner, originOf } from '@cairn/ledger';
import { type LogRecord, Pages, recordOf, Shelf } from '@cairn/runtime';
import { ObjectStoreInMemory } from '../../../packages/adapters/test/object-store-in-memory.ts';
import type { Gateway } from '../../../packages/ledger/test/deployment.ts';
import type { KeptLogs } from '../src/kept-logs.ts';
import { KnownKeys, readKeyHistory } from '../src/known-keys.ts';
import { type OpenLog, openPartition } from '../src/open-partition.ts';
import { takeRecords } from '../src/take-records.ts';
import { type StoredSegment, writeSegment } from '../src/write-segment.ts';
import { type Audit, auditBucket } from './audit-bucket.ts';
import { DeploymentKeys } from './deployment-keys.ts';
import { DEPLOYMENT, retention } from './simulation.ts';

export const TOPIC = 'audit.events.standard';
export const ORIGIN = originOf({ deployment: DEPLOYMENT, topic: TOPIC, partition: 0 });
export const NOW_MS = 1_795_000_000_000;

/** A gateway whose key is stated. */
export type KnownGateway = Pick<Gateway, 'org' | 'gateway'> & { readonly signer: Pick<NoteSigner, 'key'> };

/** A topic of one partition, a bucket, and the keys. */
export class Rig {
  nowMs = NOW_MS;
  readonly bucket = new ObjectStoreInMemory(() => this.nowMs);
  readonly records: LogRecord[] = [];
  readonly keys = new DeploymentKeys(DEPLOYMENT, [ORIGIN]);
  readonly commits: number[] = [];
  /** First offset that the log still holds. */
  logFirst = 0;
  /** What openings came to; absent keeps nothing. */
  kept: KeptLogs | undefined;

  static async with(gateways: readonly KnownGateway[]): Promise<Rig> {
    const rig = new Rig();
    for (const { org, gateway, signer } of gateways)
      rig.keys.state('gateway', gatewaySubject(org, gateway), signer.key);
    await rig.bucket.ensureBucket();
    await rig.keys.store(rig.bucket, new Date(NOW_MS + 86_400_000));
    return rig;
  }

  append(...datums: readonly Uint8Array[]): void {
    for (const datum of datums)
      this.records.push(recordOf(this.records.length, frame(1, datum), NOW_MS + this.records.length));
  }

  async knownKeys(): Promise<KnownKeys> {
    return KnownKeys.read(this.keys.signing, () =>
      readKeyHistory(this.bucket, DEPLOYMENT, this.keys.root.key),
    );
  }

  open(store: ObjectStore = this.bucket): Promise<OpenLog> {
    return openPartition(
      {
        store,
        kept: this.kept,
        deployment: DEPLOYMENT,
        keys: () => this.knownKeys(),
        watch: { unsealedMax: 256, silenceMsMax: 60_000 },
        releasedIdOf: (id) => id,
      },
      {
        topic: TOPIC,
        partition: 0,
        partitions: 1,
        bounds: async () => ({ first: this.logFirst, end: this.records.length }),
      },
    );
  }

  /** Opens the log and archives everything, a segment for every so many records. */
  async archive(every: number, store: ObjectStore = this.bucket): Promise<OpenLog> {
    const log = await this.open(store);
    const end = async (): Promise<void> => void (await this.endSegment(log, store));
    for (let from = log.start; from < this.records.length; from += every) {
      await this.take(log, this.records.slice(from, from + every), end);
      if (log.segment !== undefined && log.fixedEnd === undefined) await end();
    }
    return log;
  }

  async take(log: OpenLog, records: readonly LogRecord[], end: () => Promise<void>) {
    const findings: { reason: string; detail: string }[] = [];
    const gathered = new Shelf(new Pages(0)).gather();
    gathered.add(records);
    const chunk = {
      first: records[0]!.offset,
      last: records.at(-1)!.offset,
      count: records.length,
      gathered,
      oldestAppendedAtMs: records[0]!.appendedAtMs,
      holes: [],
      behind: 0,
    };
    await takeRecords(log, chunk, end, ({ reason, detail }) => void findings.push({ reason, detail }));
    return findings;
  }

  async endSegment(log: OpenLog, store: ObjectStore = this.bucket): Promise<StoredSegment> {
    const segment = log.segment!.close();
    log.segment = undefined;
    const options = {
      store,
      kept: this.kept,
      signing: this.keys.signing,
      retention,
      notesLockMs: 86_400_000,
      nowMs: () => this.nowMs,
    };
    return writeSegment(options, { commit: async (offset) => void this.commits.push(offset) }, log, segment);
  }

  audit(): Promise<Audit> {
    return auditBucket(this.bucket, DEPLOYMENT, this.keys.root.key);
  }

  async report(): Promise<LogReport> {
    const report = (await this.audit()).logs.get(ORIGIN);
    if (report === undefined) throw new Error('there is no log');
    return report;
  }
}
