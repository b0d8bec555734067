import { isFailure } from '@cairn/failure';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { holdStoreToItsPromises } from '../test/object-store-contract.ts';
import { type Fault, faulty } from '../test/object-store-faults.ts';
import { ObjectStoreInMemory } from '../test/object-store-in-memory.ts';
import type { Lock, ObjectStore } from './object-store.ts';
import { type LockReport, probeLocks } from './probe-locks.ts';

describe('the store in memory', () => {
  const store = new ObjectStoreInMemory();
  holdStoreToItsPromises(() => store);

  test('lets years pass, and a legal hold outlives its lock', async () => {
    let now = Date.UTC(2026, 1, 28);
    const archive = new ObjectStoreInMemory(() => now);
    const put = await archive.putLocked('a', Buffer.from('a'), lockUntil(Date.UTC(2032, 1, 28)));
    const version = put.outcome === 'created' ? put.version : '';
    await archive.setLegalHold('a', version, true);
    now = Date.UTC(2033, 0, 1);
    expect((await archive.deleteVersion('a', version)).outcome).toBe('locked');
    await archive.setLegalHold('a', version, false);
    expect((await archive.deleteVersion('a', version)).outcome).toBe('deleted');
  });
});

const lockUntil = (ms: number): Lock => ({ mode: 'COMPLIANCE', retainUntil: new Date(ms) });
const lock = lockUntil(Date.now() + 3_600_000);
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error: unknown) => (isFailure(error) ? error.code : String(error)),
  );
/** A store whose first call meets the fault. */
const firstMeets = (store: ObjectStore, fault: Fault): ObjectStore =>
  faulty(store, ({ index }) => (index === 0 ? fault : undefined));

describe('a put whose answer is lost', () => {
  test.each<[Fault, string]>([
    ['before', 'created'],
    ['after', 'exists'],
  ])('failing %s its effect is told by putting again: %s', async (fault, again) => {
    const memory = new ObjectStoreInMemory();
    const store = firstMeets(memory, fault);
    expect(await codeOf(store.putLocked('a', Buffer.from('a'), lock))).toBe('s3.unreachable');
    expect((await store.putLocked('a', Buffer.from('a'), lock)).outcome).toBe(again);
    expect(Buffer.from(await store.get('a', { bytesMax: 1 })).toString()).toBe('a');
    expect(await Array.fromAsync(store.listVersions(''))).toHaveLength(1);
  });

  test('doubled on the way it says that the object exists, and there is one version', async () => {
    const store = firstMeets(new ObjectStoreInMemory(), 'doubled');
    expect((await store.putLocked('a', Buffer.from('a'), lock)).outcome).toBe('exists');
    expect(await Array.fromAsync(store.listVersions(''))).toHaveLength(1);
  });
});

describe('faults', () => {
  test('that alter what is read turn one bit, and the stored bytes stay', async () => {
    const memory = new ObjectStoreInMemory();
    await memory.putLocked('a', Buffer.from('abc'), lock);
    const store = faulty(memory, ({ method }) =>
      method === 'get' || method === 'read' ? 'altered' : undefined,
    );
    expect(Buffer.from(await store.get('a', { bytesMax: 3 })).toString()).toBe('acc');
    const pieces = await Array.fromAsync(store.read('a', { bytesMax: 3 }));
    expect(Buffer.concat(pieces).toString()).toBe('acc');
    expect(Buffer.from(await memory.get('a', { bytesMax: 3 })).toString()).toBe('abc');
  });

  test('that end a listing do so after its first item', async () => {
    const memory = new ObjectStoreInMemory();
    for (const key of ['a', 'b']) await memory.putLocked(key, Buffer.from(key), lock);
    const seen: string[] = [];
    const listing = async () => {
      for await (const { key } of firstMeets(memory, 'after').list('')) seen.push(key);
    };
    expect(await codeOf(listing())).toBe('s3.unreachable');
    expect(seen).toEqual(['a']);
  });
});

describe('a probe names what does not hold', () => {
  const weakened = (weak: (memory: ObjectStoreInMemory) => Partial<ObjectStore>): ObjectStore => {
    const memory = new ObjectStoreInMemory();
    const whole = faulty(memory, () => undefined);
    return { ...whole, ...weak(memory) };
  };

  const WEAK: readonly [name: string, store: ObjectStore][] = [
    [
      'read-back-by-version',
      faulty(new ObjectStoreInMemory(), ({ method, key }) =>
        method === 'get' && key.endsWith('/read') ? 'altered' : undefined,
      ),
    ],
    [
      'create-once',
      weakened((memory) => ({
        async putLocked(key, bytes, itsLock, sha256) {
          const put = await memory.putLocked(key, bytes, itsLock, sha256);
          return put.outcome === 'created'
            ? put
            : { outcome: 'created', version: memory.replace(key, bytes) };
        },
      })),
    ],
    [
      'checksum-compared',
      weakened((memory) => ({ putLocked: (key, bytes, itsLock) => memory.putLocked(key, bytes, itsLock) })),
    ],
    [
      'deletion-refused',
      weakened((memory) => ({
        async deleteVersion(key, version) {
          memory.lose(key, version);
          return { outcome: 'deleted', answer: { status: 204, code: '', message: '' } };
        },
      })),
    ],
    [
      'shortening-refused',
      weakened(() => ({ demandLock: async () => ({ status: 200, code: '', message: '' }) })),
    ],
  ];
  // Each probe waits for its locks to end: they wait together.
  let reports: ReadonlyMap<string, LockReport>;
  beforeAll(async () => {
    const probes = WEAK.map(
      async ([name, store]) => [name, await probeLocks(store, { lockMs: 3_000 })] as const,
    );
    reports = new Map(await Promise.all(probes));
  });

  test.each(WEAK.map(([name]) => name))('%s', (name) => {
    expect(reports.get(name)?.missing).toEqual([name]);
  });

  test('a store that answers when the lock has ended is tried with longer locks and not called unfit', async () => {
    let slow = true;
    const store = faulty(new ObjectStoreInMemory(), ({ method, key }) => {
      if (!slow || method !== 'deleteVersion' || !key.includes('deletion-refused')) return undefined;
      slow = false;
      return 4_500;
    });
    expect((await probeLocks(store, { lockMs: 3_000 })).missing).toEqual([]);
    expect(slow).toBe(false);
  }, 30_000);

  test('a store that does not answer is not called unfit', async () => {
    const store = faulty(new ObjectStoreInMemory(), ({ method }) =>
      method === 'demandLock' ? 'before' : undefined,
    );
    expect(await codeOf(probeLocks(store, { lockMs: 3_000 }))).toBe('s3.unreachable');
  });
});
