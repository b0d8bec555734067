import { createHash } from 'node:crypto';
import { Failure } from '@cairn/failure';
import {
  type Deletion,
  type ListedVersion,
  type Lock,
  type ObjectStore,
  type StoreAnswer,
  type StoredObject,
  wholeSecond,
} from '../src/object-store.ts';

interface Version {
  readonly version: string;
  readonly content: Uint8Array;
  readonly storedAt: Date;
  readonly deleteMarker: boolean;
  lock: Lock | undefined;
  legalHold: boolean;
}

const PIECE_BYTES = 64 * 1024;
const GRANTED: StoreAnswer = { status: 204, code: '', message: '' };
const FORBIDDEN: StoreAnswer = { status: 403, code: 'AccessDenied', message: 'the version is locked' };

/**
 * A store that keeps every promise of `ObjectStore` strictly, and nothing else that some stores do: a legal hold outlives
 * the lock, dates have whole seconds. Held to the same contract as the real one.
 */
export class ObjectStoreInMemory implements ObjectStore {
  readonly #objects = new Map<string, Version[]>();
  readonly #now: () => number;
  #versions = 0;
  #bucket = false;

  /** @param now milliseconds since 1970, for tests that let years pass. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  async ensureBucket() {
    const outcome = this.#bucket ? ('exists' as const) : ('created' as const);
    this.#bucket = true;
    return outcome;
  }

  async putLocked(key: string, bytes: Uint8Array, lock: Lock, sha256?: Uint8Array) {
    const retainUntil = wholeSecond(lock.retainUntil);
    if (retainUntil.getTime() <= this.#now()) throw failure('s3.refused', 'the date is past');
    if (sha256 && !digest(bytes).equals(sha256)) throw failure('s3.altered', 'other bytes came', 'yes');
    if (this.#latest(key)) return { outcome: 'exists' as const };
    const version = this.#store(key, bytes, { mode: lock.mode, retainUntil });
    return { outcome: 'created' as const, version };
  }

  async head(key: string, version?: string): Promise<StoredObject | undefined> {
    const found = this.#find(key, version);
    return (
      found && {
        key,
        version: found.version,
        bytes: found.content.length,
        storedAt: found.storedAt,
        sha256: new Uint8Array(digest(found.content)),
        lock: found.lock && { ...found.lock },
        legalHold: found.legalHold,
      }
    );
  }

  async get(key: string, reading: { readonly version?: string | undefined; readonly bytesMax: number }) {
    return new Uint8Array(Buffer.concat(await Array.fromAsync(this.read(key, reading))));
  }

  async *read(
    key: string,
    { version, bytesMax }: { readonly version?: string | undefined; readonly bytesMax: number },
  ): AsyncGenerator<Uint8Array> {
    const found = this.#find(key, version);
    if (!found) throw failure('s3.missing', key);
    if (found.content.length > bytesMax) throw failure('s3.too-large', key);
    for (let at = 0; at < found.content.length; at += PIECE_BYTES)
      yield found.content.slice(at, at + PIECE_BYTES);
  }

  async *list(prefix: string, after = '') {
    for (const key of this.#keys(prefix)) {
      const latest = this.#latest(key);
      if (latest && compare(key, after) > 0)
        yield { key, bytes: latest.content.length, storedAt: latest.storedAt };
    }
  }

  async *listVersions(prefix: string): AsyncGenerator<ListedVersion> {
    for (const key of this.#keys(prefix)) {
      for (const [age, { version, content, storedAt, deleteMarker }] of this.#of(key).toReversed().entries())
        yield { key, version, bytes: content.length, storedAt, latest: age === 0, deleteMarker };
    }
  }

  async extendLock(key: string, version: string, until: Date): Promise<Lock> {
    const found = this.#find(key, version);
    if (!found) throw failure('s3.missing', `${key} version ${version}`);
    if (!found.lock || found.lock.retainUntil.getTime() < until.getTime())
      found.lock = { mode: 'COMPLIANCE', retainUntil: wholeSecond(until) };
    return { ...found.lock };
  }

  async demandLock(key: string, version: string, lock: Lock): Promise<StoreAnswer> {
    const found = this.#find(key, version);
    if (!found) return { status: 404, code: 'NoSuchVersion', message: key };
    const retainUntil = wholeSecond(lock.retainUntil);
    if (this.#isLocked(found) && found.lock && retainUntil < found.lock.retainUntil) return FORBIDDEN;
    found.lock = { mode: lock.mode, retainUntil };
    return { ...GRANTED, status: 200 };
  }

  async setLegalHold(key: string, version: string, held: boolean): Promise<void> {
    const found = this.#find(key, version);
    if (!found) throw failure('s3.missing', `${key} version ${version}`);
    found.legalHold = held;
  }

  async deleteVersion(key: string, version: string): Promise<Deletion> {
    const found = this.#of(key).find((one) => one.version === version);
    if (found && (found.legalHold || this.#isLocked(found))) return { outcome: 'locked', answer: FORBIDDEN };
    const left = this.#of(key).filter((one) => one !== found);
    if (left.length === 0) this.#objects.delete(key);
    else this.#objects.set(key, left);
    return { outcome: 'deleted', answer: GRANTED };
  }

  async [Symbol.asyncDispose]() {}

  /** What an administrator can do whatever the locks: put a newer version in front. */
  replace(key: string, bytes: Uint8Array): string {
    return this.#store(key, bytes, undefined);
  }

  /** What an administrator can do whatever the locks: hide the object behind a delete marker. */
  hide(key: string): string {
    return this.#store(key, new Uint8Array(), undefined, true);
  }

  /** What nobody can do to a store that keeps its locks: take versions away. */
  lose(key: string, version: string): void {
    this.#objects.set(
      key,
      this.#of(key).filter((one) => one.version !== version),
    );
  }

  #store(key: string, bytes: Uint8Array, lock: Lock | undefined, deleteMarker = false): string {
    this.#versions += 1;
    const version = `v${String(this.#versions).padStart(8, '0')}`;
    const storedAt = new Date(Math.floor(this.#now() / 1000) * 1000);
    const stored = {
      version,
      content: new Uint8Array(bytes),
      storedAt,
      deleteMarker,
      lock,
      legalHold: false,
    };
    this.#objects.set(key, [...this.#of(key), stored]);
    return version;
  }

  #of(key: string): readonly Version[] {
    return this.#objects.get(key) ?? [];
  }

  #latest(key: string): Version | undefined {
    const latest = this.#of(key).at(-1);
    return latest?.deleteMarker ? undefined : latest;
  }

  #find(key: string, version: string | undefined): Version | undefined {
    if (version === undefined) return this.#latest(key);
    return this.#of(key).find((one) => one.version === version && !one.deleteMarker);
  }

  #isLocked({ lock }: Version): boolean {
    return lock !== undefined && lock.retainUntil.getTime() > this.#now();
  }

  #keys(prefix: string): string[] {
    return [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort(compare);
  }
}

const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const compare = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

function failure(code: string, message: string, retry: 'yes' | 'no' = 'no'): Failure {
  return new Failure({ code, retry, message });
}
