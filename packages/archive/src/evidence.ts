import { lstat, mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type FirstVersion,
  firstVersion,
  firstVersions,
  type ObjectStore,
  openObjectStore,
} from '@cairn/adapters';
import { Failure, isFailure, messageOf } from '@cairn/failure';

/** An archive as an auditor reads it: a bucket, or a directory with the same names (schemas/ledger.md). Nothing is trusted. */
export interface Evidence extends AsyncDisposable {
  /** For people. */
  readonly place: string;
  /** The objects whose names begin so, by rising bytes of their names; those too that a delete marker hides. */
  list(prefix: string): AsyncIterable<EvidenceObject>;
  /**
   * An object's bytes, whole, by the version that was put first; undefined when it is not there.
   *
   * @param version of a list, which saves asking which one was first.
   * @throws Failure `evidence.too-large` (no), `evidence.unreadable` (no), or of the object store.
   */
  read(name: string, bytesMax: number, version?: string): Promise<Uint8Array | undefined>;
  /**
   * Puts an object where none is; one that is there stays as it is.
   *
   * @param until the store refuses to delete it before; a directory has no locks.
   */
  create(name: string, bytes: Uint8Array, until: Date): Promise<'created' | 'exists'>;
  /** Afterwards the place is there, be it empty. @throws Failure `s3.unlockable` (no) when a bucket is without Object Lock. */
  ensure(): Promise<void>;
}

export interface EvidenceObject {
  readonly name: string;
  readonly bytes: number;
  /** The version that was put first; empty in a directory, which has none. */
  readonly version: string;
  /** What was done to it since, which a bucket tells and a directory cannot. */
  readonly disturbed: FirstVersion['disturbed'];
}

/** The store that has the archive's bucket. */
export interface ArchiveAddress {
  readonly endpoint: string;
  readonly region?: string;
  /** Default those that the AWS libraries find. */
  readonly accessKey?: string | undefined;
  readonly secretKey?: string | undefined;
}

/**
 * @param where a directory, or `s3://bucket` at the endpoint that the environment names.
 * @throws Failure `evidence.unreadable` when the directory is not there.
 */
export async function openEvidence(where: string, s3: ArchiveAddress): Promise<Evidence> {
  const [, bucket] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})\/?$/.exec(where) ?? [];
  return bucket === undefined ? openDirectory(where) : openBucket(bucket, s3);
}

async function openBucket(bucket: string, s3: ArchiveAddress): Promise<Evidence> {
  return evidenceIn(await openObjectStore({ ...s3, bucket }), `s3://${bucket} at ${s3.endpoint}`);
}

/** What a bucket holds. Dispose closes the store. */
export function evidenceIn(store: ObjectStore, place: string): Evidence {
  return {
    place,
    async *list(prefix) {
      for await (const { key: name, ...object } of firstVersions(store, prefix)) yield { name, ...object };
    },
    async read(name, bytesMax, version) {
      try {
        return await store.get(name, { version: version ?? (await firstVersion(store, name)), bytesMax });
      } catch (error) {
        if (isFailure(error, 's3.missing')) return undefined;
        if (isFailure(error, 's3.too-large')) throw tooLarge(name, bytesMax, error);
        throw error;
      }
    },
    async create(name, bytes, until) {
      return (await store.putLocked(name, bytes, { mode: 'COMPLIANCE', retainUntil: until })).outcome;
    },
    ensure: async () => void (await store.ensureBucket()),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

async function openDirectory(directory: string): Promise<Evidence> {
  const found = await lstat(directory).catch((error: unknown) => {
    throw unreadable(directory, messageOf(error), error);
  });
  if (!found.isDirectory()) throw unreadable(directory, 'it is no directory');
  return {
    place: directory,
    list: (prefix) => listFiles(directory, prefix),
    read: (name, bytesMax) => readFileWhole(join(directory, name), name, bytesMax),
    async create(name, bytes) {
      const path = join(directory, name);
      await mkdir(join(path, '..'), { recursive: true });
      try {
        await writeFile(path, bytes, { flag: 'wx', flush: true });
        return 'created';
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return 'exists';
        throw error;
      }
    },
    ensure: async () => void (await mkdir(directory, { recursive: true })),
    async [Symbol.asyncDispose]() {},
  };
}

async function* listFiles(directory: string, prefix: string): AsyncGenerator<EvidenceObject> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw unreadable(folder, messageOf(error), error);
  });
  // A bucket has no folders: their names count with the slash behind them.
  const named = entries.map((entry) => ({
    entry,
    name: `${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`,
  }));
  named.sort((one, other) => Buffer.compare(Buffer.from(one.name), Buffer.from(other.name)));
  for (const { entry, name } of named) {
    if (!name.startsWith(prefix)) continue;
    if (entry.isDirectory()) yield* listFiles(directory, name);
    else if (entry.isFile())
      yield { name, bytes: (await lstat(join(directory, name))).size, version: '', disturbed: undefined };
  }
}

/** The bytes of a file; undefined when none is there. */
export async function readFileWhole(
  path: string,
  name: string,
  bytesMax: number,
): Promise<Uint8Array | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw unreadable(name, messageOf(error), error);
  }
  try {
    const { size } = await file.stat();
    if (size > bytesMax) throw tooLarge(name, bytesMax);
    return new Uint8Array(await file.readFile());
  } catch (error) {
    if (isFailure(error)) throw error;
    throw unreadable(name, messageOf(error), error);
  } finally {
    await file.close();
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

function unreadable(name: string, why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'evidence.unreadable',
    retry: 'no',
    message: `${name} cannot be read: ${why}`,
    mend: 'Name a directory that holds the archive, a bundle, or s3://bucket.',
    ...(cause === undefined ? {} : { cause }),
  });
}

function tooLarge(name: string, bytesMax: number, cause?: unknown): Failure {
  return new Failure({
    code: 'evidence.too-large',
    retry: 'no',
    message: `${name} has more than the ${bytesMax} bytes that it can have`,
    ...(cause === undefined ? {} : { cause }),
  });
}
