import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort, type Parts, S3_ACCESS_KEY, S3_SECRET_KEY, startTestParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type BadNetwork, badNetwork, type LineFault } from '../test/bad-network.ts';
import { holdStoreToItsPromises } from '../test/object-store-contract.ts';
import type { Lock, ObjectStore } from './object-store.ts';
import { probeLocks } from './probe-locks.ts';
import { type ObjectStoreOptions, openObjectStore } from './s3.ts';

let directory: string;
let parts: Parts;
let options: ObjectStoreOptions;
let store: ObjectStore;
/** Does what the adapter never does. */
let administrator: S3Client;
const lock: Lock = { mode: 'COMPLIANCE', retainUntil: new Date(Date.now() + 3_600_000) };
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-s3-'));
  parts = await startTestParts({ directory, parts: ['s3'] });
  const endpoint = parts.part('s3').address;
  options = { endpoint, bucket: 'evidence', accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY };
  administrator = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: S3_ACCESS_KEY, secretAccessKey: S3_SECRET_KEY },
  });
  store = await openObjectStore(options);
  await store.ensureBucket();
}, 300_000);
afterAll(async () => {
  administrator?.destroy();
  await store?.[Symbol.asyncDispose]();
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

describe('the store in versitygw', () => {
  holdStoreToItsPromises(() => store);

  test('what is not relied on is reported: a legal hold ends with the lock', async () => {
    const { behaviours } = await probeLocks(store, { prefix: 'hold/', lockMs: 3_000 });
    expect(behaviours.filter(({ holds }) => !holds).map(({ name }) => name)).toEqual([
      'legal-hold-refuses-deletion',
    ]);
  });

  test('behind a delete marker and a newer version, the version that was put is still read and shows', async () => {
    const put = await store.putLocked('hidden', Buffer.from('first'), lock);
    const version = put.outcome === 'created' ? put.version : '';
    const at = { Bucket: 'evidence', Key: 'hidden' };
    await administrator.send(new PutObjectCommand({ ...at, Body: 'second' }));
    await administrator.send(new DeleteObjectCommand(at));
    expect(Buffer.from(await store.get('hidden', { version, bytesMax: 10 })).toString()).toBe('first');
    expect(await store.head('hidden')).toBeUndefined();
    const versions = await Array.fromAsync(store.listVersions('hidden'));
    expect(versions.map(({ latest, deleteMarker }) => [latest, deleteMarker])).toEqual([
      [true, true],
      [false, false],
      [false, false],
    ]);
    expect(versions.map((one) => one.version)).toContain(version);
    // HEAD of versitygw 1.8 shows the lock of the latest version alone.
    const until = new Date(Math.ceil(lock.retainUntil.getTime() / 1_000) * 1_000);
    expect((await store.head('hidden', version))?.lock).toEqual({ mode: 'COMPLIANCE', retainUntil: until });
    const later = new Date(until.getTime() + 60_000);
    expect(await store.extendLock('hidden', version, later)).toEqual({
      mode: 'COMPLIANCE',
      retainUntil: later,
    });
    expect((await store.deleteVersion('hidden', version)).outcome).toBe('locked');
    expect(await Array.fromAsync(store.list('hidden'))).toEqual([]);
  });

  test('an object that the administrator put without a lock shows none', async () => {
    const made = await administrator.send(
      new PutObjectCommand({ Bucket: 'evidence', Key: 'loose', Body: 'loose' }),
    );
    expect((await store.head('loose', made.VersionId))?.lock).toBeUndefined();
  });

  test('a bucket without Object Lock is refused', async () => {
    await administrator.send(new CreateBucketCommand({ Bucket: 'loose' }));
    await using loose = await openObjectStore({ ...options, bucket: 'loose' });
    await expect(loose.ensureBucket()).rejects.toMatchObject({ code: 's3.unlockable', retry: 'no' });
  });

  test('wrong keys are a refusal whose message holds no secret', async () => {
    await using stranger = await openObjectStore({ ...options, secretKey: 'planted-secret' });
    await expect(stranger.head('any')).rejects.toMatchObject({ code: 's3.refused' });
    await expect(stranger.get('any', { bytesMax: 1 })).rejects.toMatchObject({
      code: 's3.refused',
      message: expect.not.stringContaining('planted-secret'),
    });
  });
});

describe('over a bad line', () => {
  let line: BadNetwork;
  let far: ObjectStore;
  beforeAll(async () => {
    line = await badNetwork(options.endpoint);
    far = await openObjectStore({ ...options, endpoint: line.url, answerMsMax: 1_000 });
  });
  afterAll(async () => {
    await far?.[Symbol.asyncDispose]();
    await line?.[Symbol.asyncDispose]();
  });

  test.each<[LineFault, 'created' | 'exists']>([
    ['drop-request', 'created'],
    ['hang', 'created'],
    ['drop-answer', 'exists'],
  ])('%s: a put fails as unreachable, is sent once, and asking again tells: %s', async (fault, again) => {
    const key = `put-${fault}`;
    const bytes = Buffer.from(fault);
    line.fault = fault;
    await expect(far.putLocked(key, bytes, lock)).rejects.toMatchObject({
      code: 's3.unreachable',
      retry: 'later',
    });
    line.fault = undefined;
    // The store may still be writing what it was sent.
    if (again === 'exists') await expectSoon(() => far.head(key));
    expect((await far.putLocked(key, bytes, lock)).outcome).toBe(again);
    expect(Buffer.from(await far.get(key, { bytesMax: 100 })).toString()).toBe(fault);
    expect(await Array.fromAsync(far.listVersions(key))).toHaveLength(1);
  });

  test.each<LineFault>(['drop-request', 'drop-answer'])(
    '%s: an extension is asked again and holds',
    async (fault) => {
      const put = await far.putLocked(`extend-${fault}`, Buffer.from('x'), lock);
      const version = put.outcome === 'created' ? put.version : '';
      const later = new Date(lock.retainUntil.getTime() + 60_000);
      line.fault = fault;
      await expect(far.extendLock(`extend-${fault}`, version, later)).rejects.toMatchObject({
        code: 's3.unreachable',
      });
      line.fault = undefined;
      expect(
        (await far.extendLock(`extend-${fault}`, version, later)).retainUntil.getTime(),
      ).toBeGreaterThanOrEqual(later.getTime());
    },
  );

  test.each<LineFault>(['cut-answer', 'stall-answer'])(
    '%s: half an object is never given as a whole one',
    async (fault) => {
      await store.putLocked(`half-${fault}`, Buffer.alloc(1_000_000, 7), lock);
      line.fault = fault;
      const got = far.get(`half-${fault}`, { bytesMax: 2_000_000 });
      await expect(got).rejects.toMatchObject({ code: 's3.unreachable', retry: 'later' });
      line.fault = undefined;
      expect((await far.get(`half-${fault}`, { bytesMax: 2_000_000 })).length).toBe(1_000_000);
    },
  );

  test('nobody there is unreachable, for reads and writes', async () => {
    await using nobody = await openObjectStore({
      ...options,
      endpoint: `http://127.0.0.1:${await freePort()}`,
    });
    for (const call of [
      () => nobody.ensureBucket(),
      () => nobody.head('a'),
      () => nobody.get('a', { bytesMax: 1 }),
      () => nobody.deleteVersion('a', 'v'),
      () => nobody.demandLock('a', 'v', lock),
      () => Array.fromAsync(nobody.list('')),
      () => Array.fromAsync(nobody.listVersions('')),
    ])
      await expect(call()).rejects.toMatchObject({ code: 's3.unreachable', retry: 'later' });
  });
});

async function expectSoon(there: () => Promise<unknown>): Promise<void> {
  const until = Date.now() + 5_000;
  while (Date.now() < until) {
    if (await there()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not arrive');
}
