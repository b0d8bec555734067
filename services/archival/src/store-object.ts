import { hash } from 'node:crypto';
import { type FirstVersion, firstVersion, firstVersions, type ObjectStore } from '@cairn/adapters';
import { Failure } from '@cairn/failure';

/** What the archive keeps under a name. */
export interface KeptObject {
  /** The store's name of the version that was put first; the evidence is this one. */
  readonly version: string;
  /** As the store gave them back. */
  readonly bytes: Uint8Array;
  /** False when the name was taken: by an earlier try whose answer was lost, or by another writer. */
  readonly created: boolean;
}

/** How archival reaches the store. */
export type ArchiveStore = Pick<
  ObjectStore,
  'putLocked' | 'head' | 'get' | 'list' | 'listVersions' | 'extendLock' | 'setLegalHold' | 'deleteVersion'
>;

/**
 * Afterwards something is kept under the name, locked at least until then, and was read back. A name is given once: what
 * has it already is returned and left as it is, and the caller judges whether it says the same.
 *
 * @param until milliseconds since 1970.
 * @param sha256 of the bytes, where it is known: the store refuses bytes that have another.
 * @throws Failure `archive.read-back` (later) when other bytes come back than were put; as the store's methods.
 */
export async function storeObject(
  store: ArchiveStore,
  key: string,
  bytes: Uint8Array,
  until: number,
  sha256: Uint8Array = hash('sha256', bytes, 'buffer'),
): Promise<KeptObject> {
  const retainUntil = new Date(until);
  const put = await store.putLocked(key, bytes, { mode: 'COMPLIANCE', retainUntil }, sha256);
  if (put.outcome === 'created') {
    const { version } = put;
    const back = await store.get(key, { version, bytesMax: bytes.length }).catch((error: unknown) => {
      if (error instanceof Failure && error.code === 's3.too-large') throw altered(key, error);
      throw error;
    });
    if (Buffer.compare(back, bytes) !== 0) throw altered(key);
    await lockedUntil(store, key, version, retainUntil);
    return { version, bytes, created: true };
  }
  const version = await firstVersion(store, key);
  const kept = await store.get(key, { version, bytesMax: OBJECT_BYTES_MAX });
  await lockedUntil(store, key, version, retainUntil);
  return { version, bytes: kept, created: false };
}

/** More than any object of the archive has. */
export const OBJECT_BYTES_MAX = 512 * 1024 ** 2;

/** A store that grants a lock and does not set it would keep nothing. The lock is never shortened. */
async function lockedUntil(store: ArchiveStore, key: string, version: string, until: Date): Promise<void> {
  const { lock } = (await store.head(key, version)) ?? {};
  if (lock?.mode === 'COMPLIANCE' && lock.retainUntil.getTime() >= until.getTime()) return;
  await store.extendLock(key, version, until);
}

/** Objects that are fetched at the same time. */
const AHEAD = 16;

/** The objects under a prefix, rising by key, some of them fetched ahead. @param wanted by key; absent reads all. */
export async function* readObjects(
  store: ArchiveStore,
  prefix: string,
  bytesMax: number,
  wanted: (key: string) => boolean = () => true,
): AsyncGenerator<{ readonly object: FirstVersion; readonly bytes: Uint8Array }> {
  const ahead: { readonly object: FirstVersion; readonly bytes: Promise<Uint8Array> }[] = [];
  for await (const object of firstVersions(store, prefix)) {
    const { key, version } = object;
    if (!wanted(key)) continue;
    const bytes = store.get(key, { version, bytesMax });
    // Told when it is its turn; a failure must not end the process before.
    bytes.catch(() => {});
    ahead.push({ object, bytes });
    const first = ahead.length < AHEAD ? undefined : ahead.shift();
    if (first !== undefined) yield { object: first.object, bytes: await first.bytes };
  }
  for (const { object, bytes } of ahead) yield { object, bytes: await bytes };
}

/** The bytes of the version that was put first; undefined when the name was never given. */
export async function readObject(
  store: ArchiveStore,
  key: string,
  bytesMax = OBJECT_BYTES_MAX,
): Promise<Uint8Array | undefined> {
  try {
    return await store.get(key, { version: await firstVersion(store, key), bytesMax });
  } catch (error) {
    if (error instanceof Failure && error.code === 's3.missing') return undefined;
    throw error;
  }
}

/** Times that an object is read which came otherwise than it was written: what went wrong on the way heals. */
const READS_MAX = 3;

/**
 * An object of a segment, which is what its manifest says: the version that was put, with that SHA-256.
 *
 * @throws Failure `archive.read-back` (later) when other bytes came each time; as the store's methods.
 */
export async function readEvidence(
  store: Pick<ArchiveStore, 'get'>,
  object: {
    readonly key: string;
    readonly version_id: string;
    readonly sha256: string;
    readonly size: number;
  },
): Promise<Uint8Array> {
  const { key, version_id: version, sha256, size } = object;
  for (let read = 0; read < READS_MAX; read += 1) {
    const bytes = await store.get(key, { version: version === '' ? undefined : version, bytesMax: size });
    if (hash('sha256', bytes, 'hex') === sha256) return bytes;
  }
  throw altered(key);
}

function altered(key: string, cause?: Failure): Failure {
  return new Failure({
    code: 'archive.read-back',
    retry: 'later',
    message: `the store gave back other bytes of ${key} than it was given`,
    mend: 'Examine the store: what it keeps cannot be relied on.',
    ...(cause === undefined ? {} : { cause }),
  });
}
