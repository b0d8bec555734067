import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { Archival } from '@cairn/archival';
import { partitionOf } from '@cairn/event';
import { anchorCheckpointName, parseObjectName } from '@cairn/ledger';
import { S3_ACCESS_KEY, S3_SECRET_KEY } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ArchiveRig, eventually, startArchiveRig } from './archive-rig.ts';
import { PARTITIONS, TOPIC } from './rig.ts';

const BUCKET = 'evidence';
const GATEWAY = 'gw-archive';
const SECOND = 'archival-b';
const ORGS = ['acme', 'borealis', 'cobalt', 'dune'];

/*
 * What somebody with all rights of an administrator does to the table and to the bucket, with the tools of an administrator, on
 * real parts. Then one run of one job, and the finding is an event of the trail that names what was touched.
 */

describe('an administrator', () => {
  let rig: ArchiveRig;
  let archival: Archival;
  let administrator: S3Client;
  /** Its events are in another partition than archival's own. */
  const org = ORGS.find(
    (one) => partitionOf(one, GATEWAY, PARTITIONS) !== partitionOf('cairn', 'archival', PARTITIONS),
  )!;
  const partition = partitionOf(org, GATEWAY, PARTITIONS);
  let names: { readonly segments: string[]; readonly manifests: string[]; readonly checkpoints: string[] };

  beforeAll(async () => {
    rig = await startArchiveRig({ bucket: BUCKET });
    administrator = new S3Client({
      endpoint: rig.parts.part('s3').address,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: S3_ACCESS_KEY, secretAccessKey: S3_SECRET_KEY },
    });
    archival = await rig.openArchival();
    for (let segment = 0; segment < 8; segment += 1) {
      await rig.record(org, 20);
      await rig.archived();
    }
    await archival.run('anchor');
    const list = async (kind: string): Promise<string[]> =>
      (await Array.fromAsync(rig.store.list(`${kind}/${TOPIC}/${partition}/`))).map(({ key }) => key);
    names = {
      segments: await list('segment'),
      manifests: await list('manifest'),
      checkpoints: await list('checkpoint'),
    };
    expect(names.manifests.length).toBeGreaterThanOrEqual(8);
  }, 400_000);
  afterAll(async () => {
    administrator?.destroy();
    await archival?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
  }, 60_000);

  /** One run of a job, and what is told of it in the trail that was not told before. */
  const toldBy = async (job: string, count: number): Promise<string[]> => {
    const before = (await rig.told()).map(({ message }) => message);
    await archival.run(job);
    const news = async (): Promise<string[]> =>
      (await rig.told())
        .filter(({ message }) => !before.includes(message))
        .map(({ code, message }) => `${code}: ${message}`);
    await eventually(
      `${count} findings are in the trail`,
      async () => (await news()).length >= count,
      20_000,
    );
    return (await news()).sort();
  };

  const put = (Key: string, Body: string | Uint8Array) =>
    administrator.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body }));
  const remove = (Key: string) => administrator.send(new DeleteObjectCommand({ Bucket: BUCKET, Key }));
  const numberIn = (key: string): number => {
    const name = parseObjectName(key);
    return name === undefined ? -1 : 'size' in name ? name.size : 'first' in name ? name.first : -1;
  };

  test('who has done nothing yet is not suspected', async () => {
    for (const job of ['verify', 'reconcile']) await archival.run(job);
    expect(await rig.told()).toEqual([]);
  }, 60_000);

  test('who runs a second group of archivers: the one that comes late stops with a finding, and the archive is one and intact', async () => {
    const second = await rig.openArchival(
      {},
      {
        CAIRN_ARCHIVAL_INSTANCE: SECOND,
        CAIRN_ARCHIVAL_GROUP: `cairn-${SECOND}`,
        CAIRN_ARCHIVAL_DATA_DIRECTORY: join(rig.directory, SECOND),
        CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX: '420',
      },
    );
    // While events come, the two end their segments at other leaves.
    let going = true;
    const flow = (async () => {
      while (going) await rig.record(org, 1);
    })();
    await eventually('the second writer is in the trail', async () =>
      (await rig.told()).some(({ code }) => code === 'ledger.second-writer'),
    ).finally(() => {
      going = false;
    });
    await flow;
    await second[Symbol.asyncDispose]();
    await rig.archived();
    const told = (await rig.told()).filter(({ code }) => code === 'ledger.second-writer');
    expect(told[0]?.message).toContain('somebody else writes the log of e2e/');
    const keys = await rig.stateKeys();
    const { ours, theirs } = await rig.verdicts(keys.root.key.vkey);
    for (const { verdict } of [ours, theirs]) {
      const log = verdict.logs.find(({ origin }) => origin.endsWith(`/${partition}`))!;
      expect([log.findings, log.proven]).toEqual([[], log.size]);
      const { events = 0, last_seq: last = 0 } =
        log.streams.find(({ org: one, gateway }) => one === org && gateway === GATEWAY) ?? {};
      expect(events).toBe(last + 1);
    }
  }, 180_000);

  test('who rewrites, deletes, invents and doubles rows of ClickHouse: each row is named', async () => {
    // Ingest would load the deleted row again, and stands by.
    await rig.ingest.stop();
    const sync = { mutations_sync: 2 };
    await rig.clickhouse.exec(
      `ALTER TABLE cairn.events UPDATE result_status = 'denied' WHERE partition = ${partition} AND offset = 11`,
      sync,
    );
    await rig.clickhouse.exec(
      `ALTER TABLE cairn.events DELETE WHERE partition = ${partition} AND offset = 17`,
      sync,
    );
    await rig.clickhouse.exec(
      `INSERT INTO cairn.events SELECT * FROM cairn.events WHERE partition = ${partition} AND offset = 23`,
    );
    await rig.ingest.start();
    const told = await toldBy('reconcile', 3);
    expect(told).toContain(`ledger.row-differs: the row of offset 11 differs in result_status`);
    expect(told).toContain(`ledger.row-differs: offset 23 has more than one row`);
    expect(told.join()).toMatch(/ledger\.row-differs: offset 17 has no row/);
  }, 120_000);

  test('who puts another object over a segment, or deletes one: it is named, and the first version is still there', async () => {
    const [, replaced = '', deleted = ''] = names.segments;
    await put(replaced, 'another');
    await remove(deleted);
    expect(await toldBy('verify', 2)).toEqual(
      [
        `ledger.disturbed: ${replaced} was replaced by a newer version`,
        `ledger.disturbed: ${deleted} was hidden by a newer version`,
      ].sort(),
    );
  }, 60_000);

  test('who deletes a manifest: it is named, and the log goes on', async () => {
    const deleted = names.manifests.at(-2) ?? '';
    await remove(deleted);
    expect(await toldBy('verify', 1)).toEqual([`ledger.disturbed: ${deleted} was hidden by a newer version`]);
    await rig.record(org, 5);
    await rig.archived();
  }, 60_000);

  test('who puts an old checkpoint back in the place of the latest: it is named', async () => {
    const latest = (await Array.fromAsync(rig.store.list(`checkpoint/${TOPIC}/${partition}/`))).at(-1)!.key;
    await put(latest, await rig.store.get(names.checkpoints[0]!, { bytesMax: 1 << 16 }));
    expect(await toldBy('verify', 1)).toEqual([
      `ledger.disturbed: ${latest} was replaced by a newer version`,
    ]);
  }, 60_000);

  test('who deletes the latest checkpoints and hides the anchor log: each is named', async () => {
    const latest = names.checkpoints.at(-1) ?? '';
    const anchors = (await Array.fromAsync(rig.store.list('anchor/checkpoint/'))).at(-1)!.key;
    await remove(latest);
    await remove(anchors);
    expect(await toldBy('verify', 2)).toEqual([
      `ledger.disturbed: ${anchors} was hidden by a newer version`,
      `ledger.disturbed: ${latest} was hidden by a newer version`,
    ]);
  }, 60_000);

  describe('who has the disks of the store as well, and takes objects away with all their versions', () => {
    /** versitygw keeps an object as a file, and versions before the latest in a folder beside. */
    const takeAway = (key: string): void => {
      const folder = join(rig.directory, 's3');
      rmSync(join(folder, 'objects', BUCKET, key));
      const versions = join(folder, 'versions');
      for (const entry of readdirSync(versions, { recursive: true, encoding: 'utf8' }))
        if (entry.includes(key)) rmSync(join(versions, entry), { recursive: true, force: true });
    };

    test('a segment: missing, with its first leaf', async () => {
      const key = names.segments[4] ?? '';
      takeAway(key);
      expect(await toldBy('verify', 1)).toEqual([
        `ledger.missing: ${key} is not there, and no tombstone accounts for it`,
      ]);
    }, 60_000);

    test('a manifest and a checkpoint: missing', async () => {
      const [, , , manifest = ''] = names.manifests;
      const checkpoint = names.checkpoints[4] ?? '';
      takeAway(manifest);
      takeAway(checkpoint);
      const told = await toldBy('verify', 2);
      expect(told).toContain(`ledger.missing: ${manifest} is not there`);
      expect(told).toContain(`ledger.missing: ${checkpoint} is not there`);
    }, 60_000);

    test('the end of the log, back to an older checkpoint: rolled back, and up to where it was anchored', async () => {
      await archival.run('anchor').catch(() => {});
      const checkpoints = (await Array.fromAsync(rig.store.list(`checkpoint/${TOPIC}/${partition}/`))).map(
        ({ key }) => key,
      );
      const latest = checkpoints.at(-1) ?? '';
      takeAway(latest);
      const [told] = await toldBy('verify', 1);
      expect(told).toContain(`ledger.rollback: ${latest} was there and is not: the log ends at`);
      expect(numberIn(latest)).toBeGreaterThan(100);
    }, 60_000);

    test('the end of the anchor log: rolled back', async () => {
      const sizes = (await Array.fromAsync(rig.store.list('anchor/checkpoint/'))).map(({ key }) => key);
      const latest = sizes.at(-1) ?? '';
      takeAway(latest);
      const told = await toldBy('verify', 1);
      expect(told.join()).toContain(
        `ledger.rollback: ${anchorCheckpointName(numberIn(latest))} was there and is not`,
      );
    }, 60_000);
  });
});
