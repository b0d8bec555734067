import { createPrivateKey, type KeyObject } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openObjectStore } from '@cairn/adapters';
import { gatewaySubject, originOf, parseVkey } from '@cairn/ledger';
import { freePort, S3_ACCESS_KEY, S3_SECRET_KEY, startServiceProcess } from '@cairn/local';
import { afterAll, expect, test } from '@jest/globals';
import { signingKeysOf } from '../../../services/archival/src/signing-keys.ts';
import { auditBucket } from '../../../services/archival/test/audit-bucket.ts';
import { DeploymentKeys } from '../../../services/archival/test/deployment-keys.ts';
import { lastArchived } from './archive-rig.ts';
import { randomOf } from './chaos-random.ts';
import { startChaosRig, until } from './chaos-rig.ts';
import { NO_FAULTS } from './oracle.ts';
import { drained, PARTITIONS, TOPIC } from './rig.ts';

/** Stands in the test's name, so that a failing run says in which order it started. */
const SEED = Number(process.env['CHAOS_SEED'] ?? Math.floor(Math.random() * 1e9));
const BUCKET = 'evidence';
const GATEWAY = 'gw-0';
const INSTANCE = 'archival-0';

const directory = mkdtempSync(join(tmpdir(), 'cairn-machine-'));
afterAll(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));

test(`the machine stops: gateway, ingest, archival, Kafka, ClickHouse and S3 are killed at one blow and started in any order; every acknowledged event is in the table and in the archive once (seed ${SEED})`, async () => {
  await using rig = await startChaosRig(directory, ['s3']);
  const gateway = await rig.startProducer(GATEWAY);
  const ingest = await rig.startIngest('ingest-0');
  const healthPort = await freePort();
  const data = join(directory, INSTANCE);
  const endpoint = rig.parts.part('s3').address;
  await using archival = await startServiceProcess({
    name: 'archival',
    healthPort,
    logDirectory: join(directory, 'log', INSTANCE),
    env: {
      ...rig.parts.env(),
      CAIRN_DEPLOYMENT: 'e2e',
      CAIRN_ARCHIVAL_INSTANCE: INSTANCE,
      S3_BUCKET: BUCKET,
      S3_ACCESS_KEY,
      S3_SECRET_KEY,
      CAIRN_ARCHIVAL_DATA_DIRECTORY: data,
      CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX: '400',
      CAIRN_ARCHIVAL_CHUNK_AGE_MS_MAX: '50',
      CAIRN_ARCHIVAL_SESSION_MS_MAX: '2000',
      CAIRN_ARCHIVAL_JOB_ANCHOR: '*/2 * * * * *',
      CAIRN_ARCHIVAL_HEALTH_PORT: String(healthPort),
    },
  });
  const s3 = { endpoint, bucket: BUCKET, accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY };
  await using store = await openObjectStore(s3);
  const archivedTo = () =>
    Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => lastArchived(store, partition)));
  await until('segments are written', async () => Math.max(...(await archivedTo())) > 50, 60_000);

  const { kafka, clickhouse, s3: bucket } = rig.parts.parts;
  const all = [gateway.process, ingest, archival, kafka!, clickhouse!, bucket!];
  for (const { pid } of all) process.kill(pid!, 'SIGKILL');
  await Promise.all(all.map((one) => one.kill9()));
  await Promise.all(shuffled(all).map((one, place) => startedAfter(one, place * 200)));

  const acknowledged = rig.acknowledged().length;
  await until('events are recorded again', () => rig.acknowledged().length > acknowledged + 100);
  await gateway.finish();
  await drained(rig);
  const rows = await rig.clickhouse.query<{ partition: number; offset: number; leaf: string }>(
    `SELECT partition, offset, lower(hex(leaf_hash)) AS leaf FROM cairn.events WHERE gateway_id = {gateway:String}`,
    { gateway: GATEWAY },
    { output_format_json_quote_64bit_integers: 0 },
  );
  const last = (partition: number): number =>
    Math.max(-1, ...rows.filter((row) => row.partition === partition).map(({ offset }) => offset));
  const isArchived = async () => (await archivedTo()).every((offset, partition) => offset >= last(partition));
  await until('everything is archived', isArchived, 60_000);
  await archival.stop();
  // Not before: archival records its runs, and between two looks at the log there would be one more.
  const { faults } = await rig.judge();
  expect(faults).toEqual(NO_FAULTS);

  const keys = statedKeys(data);
  await keys.store(store, new Date(Date.now() + 60_000));
  const { logs, anchors, strange } = await auditBucket(store, 'e2e', keys.root.key);
  expect(strange).toEqual([]);
  expect(anchors.verdict).toBe('intact');
  const found = [...logs.values()].map(({ origin, verdict, findings, proven, size }) => ({
    origin,
    verdict,
    findings,
    unproven: size - proven,
  }));
  expect(found).toEqual(
    found.map(({ origin }) => ({ origin, verdict: 'intact', findings: [], unproven: 0 })),
  );
  const streams = [...logs.values()].flatMap((log) =>
    log.streams.filter(({ gatewayId }) => gatewayId === GATEWAY),
  );
  expect(streams.reduce((sum, { events }) => sum + events, 0)).toBe(rows.length);
}, 240_000);

/** Started as a supervisor does: again until it is there. What it needs may not be there yet. */
async function startedAfter(one: { start(): Promise<void> }, waitMs: number): Promise<void> {
  await sleep(waitMs);
  for (let left = 20; ; left -= 1) {
    try {
      await one.start();
      return;
    } catch (error) {
      if (left === 0) throw error;
      await sleep(500);
    }
  }
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  const { next } = randomOf(SEED, 'order');
  return items
    .map((item) => ({ item, at: next() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item);
}

/** Every key that signed something, stated as the holder of the root key does. */
function statedKeys(data: string): DeploymentKeys {
  const read = (role: string): KeyObject =>
    createPrivateKey(readFileSync(join(data, 'keys', `${role}.pem`), 'utf8'));
  const origins = Array.from({ length: PARTITIONS }, (_, partition) =>
    originOf({ deployment: 'e2e', topic: TOPIC, partition }),
  );
  const signing = { log: read('log'), archive: read('archive'), anchor: read('anchor') };
  const keys = new DeploymentKeys('e2e', origins, signingKeysOf(signing, 'e2e'));
  const folders = { [GATEWAY]: join(directory, GATEWAY, 'keys'), [INSTANCE]: join(data, 'recorder', 'keys') };
  for (const [name, folder] of Object.entries(folders))
    for (const file of readdirSync(folder).filter((one) => one.endsWith('.vkey'))) {
      const vkey = readFileSync(join(folder, file), 'utf8').trim();
      keys.state('gateway', gatewaySubject(file.slice(0, -'.vkey'.length), name), parseVkey(vkey));
    }
  return keys;
}
