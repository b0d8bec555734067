import { spawnSync } from 'node:child_process';
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ObjectStore, openObjectStore } from '@cairn/adapters';
import { gatewaySubject, openManifest, originOf, parseVkey, readSegment } from '@cairn/ledger';
import {
  freePort,
  REPOSITORY,
  S3_ACCESS_KEY,
  S3_SECRET_KEY,
  type ServiceProcess,
  startServiceProcess,
} from '@cairn/local';
import { openRecorder, type Recorder } from '@cairn/recorder';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type OpensslAuthority, startAuthority } from '../../../packages/adapters/test/openssl-authority.ts';
import { hotTableIn } from '../../../services/archival/src/hot-table.ts';
import { KnownKeys } from '../../../services/archival/src/known-keys.ts';
import { reconcileTable } from '../../../services/archival/src/reconcile-table.ts';
import { signingKeysOf } from '../../../services/archival/src/signing-keys.ts';
import { auditBucket } from '../../../services/archival/test/audit-bucket.ts';
import { DeploymentKeys } from '../../../services/archival/test/deployment-keys.ts';
import { drained, PARTITIONS, type Rig, startRig, TOPIC } from './rig.ts';

const DEPLOYMENT = 'e2e';
const BUCKET = 'evidence';
const KILLS = 4;
const ORGS = ['acme', 'borealis', 'cobalt', 'dune'];

describe(`the archive on real parts, archival killed -9 ${KILLS} times`, () => {
  let rig: Rig;
  let store: ObjectStore;
  let recorder: Recorder;
  let authority: OpensslAuthority;
  let archival: ServiceProcess;
  let env: Record<string, string>;
  let keys: DeploymentKeys;
  const origins = Array.from({ length: PARTITIONS }, (_, partition) =>
    originOf({ deployment: DEPLOYMENT, topic: TOPIC, partition }),
  );

  beforeAll(async () => {
    rig = await startRig({}, ['s3']);
    const endpoint = rig.parts.part('s3').address;
    store = await openObjectStore({
      endpoint,
      bucket: BUCKET,
      accessKey: S3_ACCESS_KEY,
      secretKey: S3_SECRET_KEY,
    });
    authority = await startAuthority('tsa');
    const ca = join(rig.directory, 'ca.pem');
    writeFileSync(ca, authority.authority.caCertificates);
    recorder = await openRecorder({
      directory: join(rig.directory, 'recorder'),
      deployment: DEPLOYMENT,
      gatewayId: 'gw-archive',
      gatewayVersion: '0',
      environment: 'test',
      capture: 'gateway',
      log: rig.kafka.log,
      topicOf: () => TOPIC,
      partitions: PARTITIONS,
    });
    const healthPort = await freePort();
    env = {
      ...rig.parts.env(),
      CAIRN_DEPLOYMENT: DEPLOYMENT,
      S3_BUCKET: BUCKET,
      S3_ACCESS_KEY,
      S3_SECRET_KEY,
      CAIRN_ARCHIVAL_DATA_DIRECTORY: join(rig.directory, 'archival'),
      CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX: '400',
      CAIRN_ARCHIVAL_CHUNK_AGE_MS_MAX: '50',
      CAIRN_ARCHIVAL_SESSION_MS_MAX: '2000',
      CAIRN_ARCHIVAL_JOB_ANCHOR: '*/2 * * * * *',
      CAIRN_TIMESTAMP_AUTHORITIES: `tsa=${authority.authority.url}=${ca}`,
      CAIRN_ARCHIVAL_HEALTH_PORT: String(healthPort),
    };
    archival = await startServiceProcess({
      name: 'archival',
      healthPort,
      logDirectory: join(rig.directory, 'log'),
      env,
    });
    const read = (role: string): KeyObject =>
      createPrivateKey(readFileSync(join(rig.directory, 'archival', 'keys', `${role}.pem`), 'utf8'));
    const signing = { log: read('log'), archive: read('archive'), anchor: read('anchor') };
    keys = new DeploymentKeys(DEPLOYMENT, origins, signingKeysOf(signing, DEPLOYMENT));
  }, 240_000);

  afterAll(async () => {
    await archival?.[Symbol.asyncDispose]();
    await recorder?.close();
    await authority?.[Symbol.asyncDispose]();
    await store?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
  }, 60_000);

  test('holds every event once, as ClickHouse has them, and an auditor finds it intact', async () => {
    let going = true;
    let recorded = 0;
    const lanes = ORGS.map(async (org_id) => {
      for (let call = 0; going; call += 1) {
        await recorder.record({ org_id, kind: 'tool_call', phase: 'single', tool_name: `tool-${call % 7}` });
        recorded += 1;
        await sleep(2);
      }
    });
    for (let kill = 0; kill < KILLS; kill += 1) {
      await sleep(300 + Math.random() * 2_500);
      await archival.kill9();
      await archival.start();
    }
    going = false;
    await Promise.all(lanes);
    expect(recorded).toBeGreaterThan(1_000);
    for (const org of ORGS)
      keys.state('gateway', gatewaySubject(org, 'gw-archive'), parseVkey(recorder.vkeyOf(org)));
    const vkey = readFileSync(join(rig.directory, 'archival', 'recorder', 'keys', 'cairn.vkey'), 'utf8');
    keys.state('gateway', gatewaySubject('cairn', 'archival'), parseVkey(vkey.trim()));
    await keys.store(store, new Date(Date.now() + 60_000));
    await recorder.close(20_000);
    await drained(rig);
    await untilArchived();

    // The archive is behind by its age at most, and archival says something itself now and then.
    await archival.stop();
    const ledger = await drained(rig);
    expect(ledger.every(({ missing, doubled }) => missing === 0 && doubled === 0)).toBe(true);

    const { logs, anchors, strange } = await auditBucket(store, DEPLOYMENT, keys.root.key);
    expect(strange).toEqual([]);
    const reports = [...logs.values()];
    expect(reports.map(({ verdict, findings }) => [verdict, findings])).toEqual(
      reports.map(() => ['intact', []]),
    );
    expect(reports.flatMap(({ streams }) => streams.filter(({ verdict }) => verdict !== 'intact'))).toEqual(
      [],
    );

    const archived = await leavesByOffset();
    const rows = await rig.clickhouse.query<{ partition: number; offset: number; leaf: string }>(
      `SELECT partition, offset, lower(hex(leaf_hash)) AS leaf FROM cairn.events ORDER BY partition, offset`,
      {},
      { output_format_json_quote_64bit_integers: 0 },
    );
    const rowKeys = new Set(rows.map(({ partition, offset, leaf }) => `${partition} ${offset} ${leaf}`));
    expect(archived.filter((leaf) => !rowKeys.has(leaf))).toEqual([]);
    expect(new Set(archived).size).toBe(archived.length);
    // Everything that the gateway recorded is archived; of archival's own stream the last heartbeats may not be.
    const own = await rig.clickhouse.query<{ partition: number; offset: number; leaf: string }>(
      `SELECT partition, offset, lower(hex(leaf_hash)) AS leaf FROM cairn.events WHERE gateway_id = 'gw-archive'`,
      {},
      { output_format_json_quote_64bit_integers: 0 },
    );
    const inArchive = new Set(archived);
    expect(own.length).toBeGreaterThan(recorded);
    expect(
      own.filter(({ partition, offset, leaf }) => !inArchive.has(`${partition} ${offset} ${leaf}`)),
    ).toEqual([]);

    expect(anchors).toMatchObject({ verdict: 'intact' });
    expect(anchors.checkpoints.size).toBeGreaterThan(0);
  }, 240_000);

  test('openssl verifies the timestamps over the anchor log', async () => {
    const stamps = await Array.fromAsync(store.list('anchor/timestamp/'));
    expect(stamps.length).toBeGreaterThan(0);
    const { key } = stamps.at(-1)!;
    const size = key.slice('anchor/timestamp/'.length, 'anchor/timestamp/'.length + 20);
    const response = await store.get(key, { bytesMax: 1 << 20 });
    const note = await store.get(`anchor/checkpoint/${size}.note`, { bytesMax: 1 << 20 });
    expect(authority.verify(response, note)).toContain('Verification: OK');
  });

  test('the command line verifies the bucket with the root key alone, and finds nothing broken', async () => {
    const main = join(REPOSITORY, 'packages', 'cli', 'src', 'main.ts');
    const said = spawnSync(process.execPath, [main, 'verify', `s3://${BUCKET}`, '--json'], {
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'],
        S3_ENDPOINT: rig.parts.part('s3').address,
        S3_ACCESS_KEY,
        S3_SECRET_KEY,
        CAIRN_ROOT_KEY: keys.root.key.vkey,
      },
    });
    const verdict = JSON.parse(said.stdout) as {
      deployment: string;
      verdict: string;
      logs: { verdict: string; size: number; proven: number }[];
    };
    expect(verdict.deployment).toBe(DEPLOYMENT);
    // What came after the last round of the anchor log is not anchored yet.
    expect(['intact', 'not verifiable here']).toContain(verdict.verdict);
    expect(said.status).toBe(verdict.verdict === 'intact' ? 0 : 2);
    for (const { size, proven } of verdict.logs) expect(proven).toBe(size);
    expect(verdict.logs.length).toBeGreaterThan(0);
  }, 60_000);

  test('what was found of the store is in the trail', async () => {
    const [event] = await rig.clickhouse.query<{ method: string; result_status: string; detail: string }>(
      `SELECT method, result_status, detail FROM cairn.events WHERE kind = 'admin' AND method = 'store/probe' LIMIT 1`,
    );
    expect(event).toMatchObject({ result_status: 'success' });
    expect(JSON.parse(event!.detail).holds).toContain('deletion-refused');
  });

  test('rows that an administrator rewrote or deleted are named', async () => {
    await rig.ingest.stop();
    const known = await KnownKeys.read(keys.signing, async () => undefined);
    const reconcile = async () => {
      const details: string[] = [];
      const sum = await reconcileTable({
        store,
        keys: known,
        table: hotTableIn(rig.clickhouse),
        origins,
        fromMs: 0,
        toMs: Number.POSITIVE_INFINITY,
        onFinding: ({ origin, detail }) => void details.push(`${origin.split('/')[2]}: ${detail}`),
      });
      return { sum, details: details.sort() };
    };
    const before = await reconcile();
    expect(before.details).toEqual([]);
    expect(before.sum.rows).toBeGreaterThan(1_000);
    const [{ partition } = { partition: 0 }] = await rig.clickhouse.query<{ partition: number }>(
      `SELECT partition FROM cairn.events WHERE gateway_id = 'gw-archive' AND offset > 50 LIMIT 1`,
    );
    const sync = { mutations_sync: 2 };
    await rig.clickhouse.exec(
      `ALTER TABLE cairn.events UPDATE task = 'forged' WHERE partition = ${partition} AND offset = 11`,
      sync,
    );
    await rig.clickhouse.exec(
      `ALTER TABLE cairn.events DELETE WHERE partition = ${partition} AND offset = 17`,
      sync,
    );
    expect((await reconcile()).details).toEqual([
      `${partition}: offset 17 has no row`,
      `${partition}: the row of offset 11 differs in task`,
    ]);
  }, 120_000);

  /** Waits until everything that the gateway recorded is in the table and in the archive. */
  async function untilArchived(): Promise<void> {
    const deadline = performance.now() + 90_000;
    while (!(await isCovered()) || !(await isAnchored())) {
      if (performance.now() > deadline) throw new Error('not everything was archived');
      await sleep(500);
    }
  }

  /** The anchor log holds something, and an authority has stamped it. */
  async function isAnchored(): Promise<boolean> {
    return (await Array.fromAsync(store.list('anchor/timestamp/'))).length > 0;
  }

  /** Every partition's log reaches the last event of the gateway. */
  async function isCovered(): Promise<boolean> {
    const rows = await rig.clickhouse.query<{ partition: number; last: number }>(
      `SELECT partition, max(offset) AS last FROM cairn.events WHERE gateway_id = 'gw-archive' GROUP BY partition`,
      {},
      { output_format_json_quote_64bit_integers: 0 },
    );
    const lasts = new Map<number, number>();
    for await (const { key } of store.list(`manifest/${TOPIC}/`)) {
      const note = await store.get(key, { bytesMax: 1 << 24 });
      const { offsets, origin } = openManifest(note, [keys.signing.archive.key]);
      lasts.set(Number(origin.split('/')[2]), offsets.last);
    }
    return rows.length > 0 && rows.every(({ partition, last }) => (lasts.get(partition) ?? -1) >= last);
  }

  /** `partition offset leaf` of every leaf, in order. */
  async function leavesByOffset(): Promise<string[]> {
    const leaves: string[] = [];
    for await (const { key } of store.list(`manifest/${TOPIC}/`)) {
      const note = await store.get(key, { bytesMax: 1 << 24 });
      const manifest = openManifest(note, [keys.signing.archive.key]);
      const parts = await Promise.all(
        manifest.objects.map(async (object) => ({
          schemaId: object.schema,
          bytes: await store.get(object.key, { bytesMax: 1 << 28 }),
        })),
      );
      const partition = manifest.origin.split('/')[2];
      readSegment(manifest, parts, ({ offset, hash }) => {
        leaves.push(`${partition} ${offset} ${Buffer.from(hash, 'latin1').toString('hex')}`);
      });
    }
    return leaves;
  }
});
