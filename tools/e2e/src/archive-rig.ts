import { spawnSync } from 'node:child_process';
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ObjectStore, openObjectStore } from '@cairn/adapters';
import { type Archival, type ArchivalParts, createArchival, readArchivalConfig } from '@cairn/archival';
import { checkpointName, type EvidenceVerdict, gatewaySubject, originOf, parseVkey } from '@cairn/ledger';
import { REPOSITORY, S3_ACCESS_KEY, S3_SECRET_KEY } from '@cairn/local';
import { openRecorder, type Recorder } from '@cairn/recorder';
import { createLog, createMetrics } from '@cairn/runtime';
import { secondVerifier } from '../../../packages/cli/src/testing/go-tools.ts';
import { signingKeysOf } from '../../../services/archival/src/signing-keys.ts';
import { DeploymentKeys } from '../../../services/archival/test/deployment-keys.ts';
import { PARTITIONS, type Rig, startRig, TOPIC } from './rig.ts';

export const ORIGINS = Array.from({ length: PARTITIONS }, (_, partition) =>
  originOf({ deployment: 'e2e', topic: TOPIC, partition }),
);

/** A finding as the table has it. */
export interface Told {
  readonly code: string;
  readonly message: string;
}

/** Real parts with ingest, a gateway's recorder, and one archive (bucket, keys) of what it records. */
export interface ArchiveRig extends Rig {
  readonly store: ObjectStore;
  readonly recorder: Recorder;
  /** Environment of archival; without instance, group, health port. */
  readonly env: Readonly<Record<string, string>>;
  /** The service as it is, in this process, so that a test runs its jobs when it wants and puts parts in the place of others. */
  openArchival(parts?: ArchivalParts, env?: Readonly<Record<string, string>>): Promise<Archival>;
  /** Records so many events of an organisation and waits until the log has them. */
  record(org: string, count: number, more?: Parameters<Recorder['record']>[0]): Promise<void>;
  /** Waits until every event of the gateway is in the archive. */
  archived(): Promise<void>;
  /** Findings of archival in the table. */
  told(): Promise<Told[]>;
  /** States every key that signed something, as the holder of the root key does. */
  stateKeys(): Promise<DeploymentKeys>;
  /** What `cairn verify` says of a bucket, and the second verifier of a copy of it. */
  verdicts(root: string, bucket?: string): Promise<{ readonly ours: Verified; readonly theirs: Verified }>;
}

export interface Verified {
  readonly code: number | null;
  readonly verdict: EvidenceVerdict;
}

export interface ArchiveRigOptions {
  readonly bucket: string;
  readonly gateway?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Clock of the recorder. */
  readonly nowMicros?: () => number;
}

export async function startArchiveRig(options: ArchiveRigOptions): Promise<ArchiveRig> {
  const { bucket, gateway = 'gw-archive' } = options;
  const rig = await startRig({}, ['s3']);
  const own = new AsyncDisposableStack();
  own.use(rig);
  const { directory } = rig;
  const endpoint = rig.parts.part('s3').address;
  const s3 = { endpoint, bucket, accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY };
  const store = own.use(await openObjectStore(s3));
  await store.ensureBucket();
  const nowMicros = options.nowMicros ?? (() => Date.now() * 1_000);
  const recorder = own.use(
    await openRecorder({
      directory: join(directory, 'recorder'),
      deployment: 'e2e',
      gatewayId: gateway,
      gatewayVersion: '0',
      environment: 'test',
      capture: 'gateway',
      log: rig.kafka.log,
      topicOf: () => TOPIC,
      partitions: PARTITIONS,
      clock: { nowMicros },
      // What a test records is all that comes.
      seal: { heartbeatMs: 3_600_000 },
    }),
  );
  const env = {
    ...rig.parts.env(),
    CAIRN_DEPLOYMENT: 'e2e',
    S3_BUCKET: bucket,
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
    CAIRN_ARCHIVAL_DATA_DIRECTORY: join(directory, 'archival'),
    CAIRN_ARCHIVAL_KEY_DIRECTORY: join(directory, 'keys'),
    CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX: '300',
    CAIRN_ARCHIVAL_CHUNK_AGE_MS_MAX: '50',
    CAIRN_ARCHIVAL_SESSION_MS_MAX: '2000',
    CAIRN_ARCHIVAL_SILENCE_MS_MAX: '3600000',
    CAIRN_ARCHIVAL_RECONCILE_GRACE_MS: '0',
    CAIRN_ARCHIVAL_VERIFY_SEGMENTS: '100000',
    // Jobs run when a test says so.
    CAIRN_ARCHIVAL_JOB_ANCHOR: 'off',
    CAIRN_ARCHIVAL_JOB_VERIFY: 'off',
    CAIRN_ARCHIVAL_JOB_RECONCILE: 'off',
    CAIRN_ARCHIVAL_JOB_HOT: 'off',
    CAIRN_ARCHIVAL_JOB_EXPIRE: 'off',
    CAIRN_ARCHIVAL_HEALTH_PORT: '0',
    ...options.env,
  };
  const orgs = new Set<string>();
  let keys: DeploymentKeys | undefined;
  const stated = new Set<string>();

  const stateKeys = async (): Promise<DeploymentKeys> => {
    const read = (role: string): KeyObject =>
      createPrivateKey(readFileSync(join(env.CAIRN_ARCHIVAL_KEY_DIRECTORY, `${role}.pem`), 'utf8'));
    const signing = { log: read('log'), archive: read('archive'), anchor: read('anchor') };
    keys ??= new DeploymentKeys('e2e', ORIGINS, signingKeysOf(signing, 'e2e'));
    for (const org of orgs) {
      if (stated.has(org)) continue;
      stated.add(org);
      keys.state('gateway', gatewaySubject(org, gateway), parseVkey(recorder.vkeyOf(org)));
    }
    // Archival tells each organisation what becomes of its events, so it has a key for each.
    for (const instance of readdirSync(directory).filter((name) => name.startsWith('archival'))) {
      const folder = join(directory, instance, 'recorder', 'keys');
      for (const file of readdirSync(folder).filter((name) => name.endsWith('.vkey'))) {
        const org = file.slice(0, -'.vkey'.length);
        if (stated.has(`${instance} ${org}`)) continue;
        stated.add(`${instance} ${org}`);
        const vkey = readFileSync(join(folder, file), 'utf8').trim();
        keys.state('gateway', gatewaySubject(org, instance), parseVkey(vkey));
      }
    }
    await keys.store(store, new Date(Date.now() + 60_000));
    return keys;
  };

  const isArchived = async (): Promise<boolean> => {
    const rows = await rig.clickhouse.query<{ partition: number; last: number }>(
      `SELECT partition, max(offset) AS last FROM cairn.events WHERE gateway_id = {gateway:String} GROUP BY partition`,
      { gateway },
      { output_format_json_quote_64bit_integers: 0 },
    );
    if (rows.length === 0) return false;
    for (const { partition, last } of rows) if ((await lastArchived(store, partition)) < last) return false;
    return true;
  };

  return {
    directory,
    parts: rig.parts,
    kafka: rig.kafka,
    clickhouse: rig.clickhouse,
    ingest: rig.ingest,
    store,
    recorder,
    env,
    async openArchival(parts = {}, more = {}) {
      const file = join(directory, 'log', 'archival-here.log');
      mkdirSync(dirname(file), { recursive: true });
      // At once, for tests read what it says.
      const destination = { write: (line: string) => appendFileSync(file, line) };
      const log = createLog({ name: 'archival', destination });
      const context = { log, metrics: createMetrics('archival'), onReload: () => {} };
      return createArchival(readArchivalConfig({ ...env, ...more }), context, parts);
    },
    async record(org, count, more) {
      orgs.add(org);
      const draft = more ?? { org_id: org, kind: 'tool_call', phase: 'single' };
      await Promise.all(
        Array.from({ length: count }, (_, call) =>
          recorder.record({ ...draft, tool_name: `tool-${call % 7}` }),
        ),
      );
      if (!(await recorder.flush(30_000))) throw new Error('the log did not take what was recorded');
    },
    async archived() {
      const { recorded } = recorder.stats();
      await eventually('everything is in the table', async () => {
        const [row] = await rig.clickhouse.query<{ rows: number }>(
          `SELECT toUInt32(count()) AS rows FROM cairn.events
           WHERE gateway_id = {gateway:String} AND kind NOT IN ('seal', 'stream_open', 'stream_close', 'gap')`,
          { gateway },
        );
        return (row?.rows ?? 0) >= recorded;
      });
      await eventually('everything is in the archive', isArchived);
    },
    told: () =>
      rig.clickhouse.query<Told>(
        `SELECT error_code AS code, error_message AS message FROM cairn.events
         WHERE kind = 'alert' AND service = 'archival' ORDER BY partition, offset`,
      ),
    stateKeys,
    async verdicts(root, which = bucket) {
      const main = join(REPOSITORY, 'packages', 'cli', 'src', 'main.ts');
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [main, 'verify', `s3://${which}`, '--json'],
        {
          encoding: 'utf8',
          maxBuffer: 2 ** 26,
          env: {
            PATH: process.env['PATH'],
            S3_ENDPOINT: endpoint,
            S3_ACCESS_KEY,
            S3_SECRET_KEY,
            CAIRN_ROOT_KEY: root,
          },
        },
      );
      if (stdout === '') throw new Error(`cairn verify gave no verdict: ${stderr}`);
      const ours = { code: status, verdict: JSON.parse(stdout) as EvidenceVerdict };
      await using from = await openObjectStore({ ...s3, bucket: which });
      const copy = join(directory, `copy-${which}-${Date.now()}`);
      for await (const { key } of from.list('')) {
        const path = join(copy, key);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, await from.get(key, { bytesMax: 2 ** 30 }));
      }
      return { ours, theirs: secondVerifier(copy, root) as Verified };
    },
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}

/** Last offset of a partition that the bucket holds, committed by a checkpoint; −1 while the last segment is not. */
export async function lastArchived(store: ObjectStore, partition: number): Promise<number> {
  const names = await Array.fromAsync(store.list(`manifest/${TOPIC}/${partition}/`));
  const key = names.at(-1)?.key;
  if (key === undefined) return -1;
  const note = Buffer.from(await store.get(key, { bytesMax: 1 << 24 })).toString();
  const { end, offsets } = JSON.parse(note.slice(0, note.indexOf('\n'))) as {
    end: number;
    offsets: { last: number };
  };
  const isCommitted = (await store.head(checkpointName(ORIGINS[partition]!, end))) !== undefined;
  return isCommitted ? offsets.last : -1;
}

/** @throws when it is not so after a while. */
export async function eventually(what: string, holds: () => Promise<boolean>, msMax = 60_000): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`after ${msMax} ms it does not hold: ${what}`);
    await sleep(100);
  }
}

/** A retention policy that keeps events for a day. @param holds as YAML, such as `[]`. */
export const dayPolicy = (holds: string): string => `version: 1
regimes:
  short:
    title: A day
    basis: practice
    source: this test
    says: Kept for a day.
    keep_at_least: 1 day
classes:
  standard: { regimes: [short] }
hot_days: 1
default_class: standard
organisations: {}
lock_renewal: { by: 12 months, when_under: 6 months }
holds: ${holds}
`;
