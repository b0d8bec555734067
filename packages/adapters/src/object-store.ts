/** How long the store refuses to delete one version of an object. */
export interface Lock {
  /** Until `retainUntil` nobody can delete or shorten: not its writer, not the owner of the account. */
  readonly mode: 'COMPLIANCE';
  readonly retainUntil: Date;
}

/** One version of an object, as the store describes it. */
export interface StoredObject {
  readonly key: string;
  readonly version: string;
  readonly bytes: number;
  readonly storedAt: Date;
  /** As the store tells it; whoever relies on the content reads it and hashes it. Undefined when the store keeps none. */
  readonly sha256: Uint8Array | undefined;
  readonly lock: { readonly mode: string; readonly retainUntil: Date } | undefined;
  readonly legalHold: boolean;
}

export interface ListedObject {
  readonly key: string;
  readonly bytes: number;
  readonly storedAt: Date;
}

export interface ListedVersion extends ListedObject {
  readonly version: string;
  /** The version that a read without a version gives. */
  readonly latest: boolean;
  /** True for a marker that hides the versions before it. It has no bytes. */
  readonly deleteMarker: boolean;
}

/** What the store said to a request that it granted or refused: kept as evidence. */
export interface StoreAnswer {
  readonly status: number;
  /** The store's own word for a refusal, such as `AccessDenied`; empty when granted. */
  readonly code: string;
  readonly message: string;
}

export interface Deletion {
  /**
   * - `deleted`: the store granted it. A version that was not there is granted as well.
   * - `locked`: refused while a lock or a legal hold stands on the version.
   * - `refused`: refused for another reason, such as a missing right.
   */
  readonly outcome: 'deleted' | 'locked' | 'refused';
  readonly answer: StoreAnswer;
}

export type PutOutcome =
  | { readonly outcome: 'created'; readonly version: string }
  /** Something has this key already: perhaps what an earlier, unreported put of ours wrote. `head` and `get` tell. */
  | { readonly outcome: 'exists' };

/**
 * One bucket of a store with versions and Object Lock.
 *
 * A write that rejects with `s3.unreachable` or `s3.busy` was applied or was not. Every write may be sent again: a put
 * creates or says `exists`, a lock only grows, a deletion names its version. So the caller asks again and knows.
 */
export interface ObjectStore extends AsyncDisposable {
  /**
   * Afterwards the bucket exists with Object Lock, and so with versions.
   *
   * @throws Failure `s3.unlockable` (no) when it exists without.
   */
  ensureBucket(): Promise<'created' | 'exists'>;
  /**
   * Creates the object with this lock, whole and at once, or leaves what has the key untouched. Of puts that race for
   * one key, one creates. A date that is not on a whole second is raised to the next, since stores cut fractions.
   *
   * @param sha256 of the bytes, when the caller has it. The store compares it with what it received.
   * @throws Failure `s3.altered` (yes) when the store received other bytes than these
   */
  putLocked(key: string, bytes: Uint8Array, lock: Lock, sha256?: Uint8Array): Promise<PutOutcome>;
  /** The description of a version, or of the latest; undefined when there is none or a delete marker hides it. */
  head(key: string, version?: string): Promise<StoredObject | undefined>;
  /**
   * The bytes of a version, or of the latest. They are what the store sent: the caller compares their hash.
   *
   * @throws Failure `s3.missing` (no), `s3.too-large` (no) before more than `bytesMax` is held
   */
  get(key: string, options: ReadOptions): Promise<Uint8Array>;
  /**
   * The same, piece by piece, never more than `bytesMax` in all. Ends the request when the caller leaves early.
   *
   * @throws Failure as `get`; `s3.unreachable` also between pieces, when fewer bytes came than were announced
   */
  read(key: string, options: ReadOptions): AsyncIterable<Uint8Array>;
  /**
   * The latest versions under a prefix, rising by the bytes of their keys, page after page.
   *
   * @param after only keys that are greater.
   * @throws Failure `s3.refused` (no) when the store breaks the order
   */
  list(prefix: string, after?: string): AsyncIterable<ListedObject>;
  /** All versions and delete markers under a prefix, rising by key, of one key the newest first. */
  listVersions(prefix: string): AsyncIterable<ListedVersion>;
  /**
   * Afterwards the version is locked at least until then. Never shortens: a lock that reaches further stays.
   *
   * @returns the lock in force, read back from the store.
   * @throws Failure `s3.missing` (no), `s3.locked` (no) when the store refuses the later date
   */
  extendLock(key: string, version: string, until: Date): Promise<Lock>;
  /** Demands this very lock, be it shorter, and says what the store answered. For probing it: archival calls `extendLock`. */
  demandLock(key: string, version: string, lock: Lock): Promise<StoreAnswer>;
  /**
   * Sets or lifts the legal hold of a version. Some stores forget it when the lock expires, so a hold is also written as
   * a later date.
   */
  setLegalHold(key: string, version: string, held: boolean): Promise<void>;
  /** Asks for the deletion of one version, for good, and brings back the answer. Never places a delete marker. */
  deleteVersion(key: string, version: string): Promise<Deletion>;
}

export interface ReadOptions {
  readonly version?: string | undefined;
  readonly bytesMax: number;
}

/** The date in whole seconds, never earlier. */
export function wholeSecond(date: Date): Date {
  return new Date(Math.ceil(date.getTime() / 1000) * 1000);
}
