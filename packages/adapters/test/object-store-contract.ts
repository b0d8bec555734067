import { createHash, randomBytes } from 'node:crypto';
import { isFailure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import type { Lock, ObjectStore } from '../src/object-store.ts';
import { probeLocks } from '../src/probe-locks.ts';

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error: unknown) => (isFailure(error) ? error.code : String(error)),
  );

const soon = (ms: number): Lock => ({ mode: 'COMPLIANCE', retainUntil: new Date(Date.now() + ms) });
/** Longer than any test takes. The data folder of the store goes with the test. */
const LONG_MS = 3_600_000;

/** Of the right form, and of no object. */
const OTHER_VERSION = '01KAXXXXXXXXXXXXXXXXXXXXXX';

/** What a store promises, whatever it is made of. Each test uses a prefix of its own. */
export function holdStoreToItsPromises(at: () => ObjectStore): void {
  const begin = () => ({ store: at(), folder: `${randomBytes(6).toString('hex')}/` });
  const putOne = async (name = 'one', content: Uint8Array = randomBytes(3_000), lockMs = LONG_MS) => {
    const { store, folder } = begin();
    const key = `${folder}${name}`;
    const lock = soon(lockMs);
    const put = await store.putLocked(key, content, lock);
    if (put.outcome !== 'created') throw new Error(`${key} was there before`);
    return { store, folder, key, version: put.version, content, lock };
  };

  test('a bucket is ensured twice with the same end', async () => {
    const { store } = begin();
    await store.ensureBucket();
    expect(await store.ensureBucket()).toBe('exists');
  });

  describe('a put', () => {
    test('is read back by its version, with its hash, its lock and its date raised to a whole second', async () => {
      const { store, key, version, content, lock } = await putOne();
      expect(Buffer.compare(await store.get(key, { version, bytesMax: 3_000 }), content)).toBe(0);
      const head = await store.head(key, version);
      expect(head).toMatchObject({ key, version, bytes: 3_000, legalHold: false });
      expect(head?.lock?.mode).toBe('COMPLIANCE');
      const aheadMs = (head?.lock?.retainUntil.getTime() ?? 0) - lock.retainUntil.getTime();
      expect(aheadMs).toBeGreaterThanOrEqual(0);
      expect(aheadMs).toBeLessThan(1_000);
      if (head?.sha256)
        expect(Buffer.from(head.sha256)).toEqual(createHash('sha256').update(content).digest());
      expect(Math.abs((head?.storedAt.getTime() ?? 0) - Date.now())).toBeLessThan(10_000);
    });

    test('over what exists says so and changes nothing', async () => {
      const { store, key, version, content } = await putOne();
      expect(await store.putLocked(key, randomBytes(10), soon(LONG_MS))).toEqual({ outcome: 'exists' });
      expect(Buffer.compare(await store.get(key, { bytesMax: 3_000 }), content)).toBe(0);
      expect((await store.head(key))?.version).toBe(version);
    });

    test('of no bytes is an object of no bytes', async () => {
      const { store, key, version } = await putOne('empty', new Uint8Array());
      expect((await store.get(key, { version, bytesMax: 0 })).length).toBe(0);
    });

    test('of 9 MiB comes back whole', async () => {
      const content = randomBytes(9 * 1024 * 1024);
      const { store, key, version } = await putOne('large', content);
      const got = await store.get(key, { version, bytesMax: content.length });
      expect(Buffer.compare(got, content)).toBe(0);
    });

    test('whose bytes are not those of its hash is refused and leaves nothing', async () => {
      const { store, folder } = begin();
      const key = `${folder}altered`;
      const put = store.putLocked(key, randomBytes(100), soon(LONG_MS), new Uint8Array(32));
      await expect(put).rejects.toMatchObject({ code: 's3.altered', retry: 'yes' });
      expect(await store.head(key)).toBeUndefined();
    });

    test('with a date that is past is refused', async () => {
      const { store, folder } = begin();
      expect(await codeOf(store.putLocked(`${folder}past`, randomBytes(10), soon(-10_000)))).toBe(
        's3.refused',
      );
    });

    test('that races with others for one key wins alone, again and again', async () => {
      const { store, folder } = begin();
      for (let round = 0; round < 5; round += 1) {
        const key = `${folder}${round}`;
        const racers = Array.from({ length: 20 }, () => randomBytes(100));
        const ends = await Promise.all(racers.map((bytes) => store.putLocked(key, bytes, soon(LONG_MS))));
        const winners = ends.flatMap((end, index) => (end.outcome === 'created' ? [index] : []));
        expect(winners).toHaveLength(1);
        expect(
          Buffer.compare(await store.get(key, { bytesMax: 100 }), racers[winners[0] ?? -1] as Buffer),
        ).toBe(0);
      }
    });
  });

  describe('a read', () => {
    test('of what is not there is a failure, and its description is undefined', async () => {
      const { store, key, folder } = await putOne();
      expect(await codeOf(store.get(`${folder}none`, { bytesMax: 1 }))).toBe('s3.missing');
      expect(await store.head(`${folder}none`)).toBeUndefined();
      expect(await codeOf(store.get(key, { version: OTHER_VERSION, bytesMax: 9_999 }))).toBe('s3.missing');
      expect(await store.head(key, OTHER_VERSION)).toBeUndefined();
    });

    test('of more than is allowed is a failure, of exactly as much is not', async () => {
      const { store, key } = await putOne();
      expect(await codeOf(store.get(key, { bytesMax: 2_999 }))).toBe('s3.too-large');
      expect((await store.get(key, { bytesMax: 3_000 })).length).toBe(3_000);
    });

    test('comes in pieces and may be left early', async () => {
      const content = randomBytes(4 * 1024 * 1024);
      const { store, key } = await putOne('pieces', content);
      const pieces = await Array.fromAsync(store.read(key, { bytesMax: content.length }));
      expect(pieces.length).toBeGreaterThan(1);
      expect(Buffer.compare(Buffer.concat(pieces), content)).toBe(0);
      for await (const piece of store.read(key, { bytesMax: content.length })) {
        expect(piece.length).toBeLessThan(content.length);
        break;
      }
      expect((await store.head(key))?.bytes).toBe(content.length);
    });
  });

  describe('a listing', () => {
    test('gives the keys of its prefix in order, once each, over more than a page', async () => {
      const { store, folder } = begin();
      const names = Array.from(
        { length: 1_010 },
        (_, index) => `${folder}${String(index).padStart(20, '0')}`,
      );
      for (let first = 0; first < names.length; first += 20) {
        const some = names.slice(first, first + 20).reverse();
        await Promise.all(some.map((name) => store.putLocked(name, Buffer.from(name), soon(LONG_MS))));
      }
      await store.putLocked(`${folder.slice(0, -1)}0`, randomBytes(1), soon(LONG_MS));
      const listed = await Array.fromAsync(store.list(folder));
      expect(listed.map(({ key }) => key)).toEqual(names);
      expect(listed[0]?.bytes).toBe(names[0]?.length);
      const after = await Array.fromAsync(store.list(folder, names[1_004]));
      expect(after.map(({ key }) => key)).toEqual(names.slice(1_005));
      const versions = await Array.fromAsync(store.listVersions(folder));
      expect(versions.map(({ key }) => key)).toEqual(names);
      expect(versions.every(({ latest, deleteMarker }) => latest && !deleteMarker)).toBe(true);
    }, 60_000);

    test('of an empty prefix is empty', async () => {
      const { store, folder } = begin();
      expect(await Array.fromAsync(store.list(folder))).toEqual([]);
      expect(await Array.fromAsync(store.listVersions(folder))).toEqual([]);
    });

    test('tells the version that was put', async () => {
      const { store, folder, key, version } = await putOne();
      const versions = await Array.fromAsync(store.listVersions(folder));
      expect(versions).toMatchObject([{ key, version, bytes: 3_000, latest: true, deleteMarker: false }]);
    });
  });

  describe('a lock', () => {
    test('refuses the deletion of the version, which stays', async () => {
      const { store, key, version } = await putOne();
      const { outcome, answer } = await store.deleteVersion(key, version);
      expect(outcome).toBe('locked');
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.code).not.toBe('');
      expect((await store.get(key, { version, bytesMax: 3_000 })).length).toBe(3_000);
    });

    test('is refused a sooner end', async () => {
      const { store, key, version, lock } = await putOne();
      const answer = await store.demandLock(key, version, soon(LONG_MS / 2));
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect((await store.head(key, version))?.lock?.retainUntil.getTime()).toBeGreaterThanOrEqual(
        lock.retainUntil.getTime(),
      );
    });

    test('is extended to a later end, and asked for a sooner one it stays', async () => {
      const { store, key, version } = await putOne();
      const later = new Date(Date.now() + 2 * LONG_MS);
      const extended = await store.extendLock(key, version, later);
      expect(extended.retainUntil.getTime()).toBeGreaterThanOrEqual(later.getTime());
      expect(extended.retainUntil.getTime()).toBeLessThan(later.getTime() + 1_000);
      expect(await store.extendLock(key, version, later)).toEqual(extended);
      expect(await store.extendLock(key, version, new Date())).toEqual(extended);
      expect((await store.head(key, version))?.lock).toEqual(extended);
    });

    test('of a version that is not there cannot be extended', async () => {
      const { store, folder } = begin();
      expect(await codeOf(store.extendLock(`${folder}none`, OTHER_VERSION, new Date()))).toBe('s3.missing');
    });

    test('ends, and then the version is deleted for good and the key is free', async () => {
      const { store, folder, key, version } = await putOne('short', randomBytes(10), 1_500);
      const until = Date.now() + 10_000;
      let deletion = await store.deleteVersion(key, version);
      expect(deletion.outcome).toBe('locked');
      while (deletion.outcome !== 'deleted' && Date.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        deletion = await store.deleteVersion(key, version);
      }
      expect(deletion).toMatchObject({ outcome: 'deleted', answer: { status: 204, code: '' } });
      expect(await store.head(key, version)).toBeUndefined();
      expect(await Array.fromAsync(store.listVersions(folder))).toEqual([]);
      expect((await store.deleteVersion(key, version)).outcome).toBe('deleted');
      expect((await store.putLocked(key, randomBytes(10), soon(1_000))).outcome).toBe('created');
    });

    test('is joined by a legal hold, which shows and is lifted', async () => {
      const { store, key, version } = await putOne();
      await store.setLegalHold(key, version, true);
      expect((await store.head(key, version))?.legalHold).toBe(true);
      await store.setLegalHold(key, version, false);
      expect((await store.head(key, version))?.legalHold).toBe(false);
    });
  });

  test('a probe finds the store fit and leaves nothing behind', async () => {
    const { store, folder } = begin();
    const report = await probeLocks(store, { prefix: folder, lockMs: 3_000 });
    expect(report.missing).toEqual([]);
    expect(report.clockAheadMs).toBe(0);
    expect(report.behaviours.filter(({ reliedOn }) => reliedOn).every(({ holds }) => holds)).toBe(true);
    expect(await Array.fromAsync(store.listVersions(folder))).toEqual([]);
  });
}
