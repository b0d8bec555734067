import { isFailure } from '@cairn/failure';
import {
  type Deletion,
  deletionName,
  type Manifest,
  openTombstone,
  parseObjectName,
  sha256Hex,
  signDeletion,
  signTombstone,
  type Tombstone,
  tombstoneMisfit,
  tombstoneName,
  tombstoneOf,
} from '@cairn/ledger';
import {
  type ArchivedSegment,
  holdsCompared,
  planExpiry,
  type RetentionPolicy,
  type SegmentPlan,
} from '@cairn/retention';
import type { AnchorLog } from './anchor-log.ts';
import type { Derived } from './forget-derived.ts';
import { archiveBroken, type KnownKeys } from './known-keys.ts';
import { committedSize, folderOf, NOTE_BYTES_MAX, readManifests } from './read-manifests.ts';
import type { SigningKeys } from './signing-keys.ts';
import { type ArchiveStore, readObject, storeObject } from './store-object.ts';

export interface ExpireOptions {
  readonly store: ArchiveStore;
  readonly signing: SigningKeys;
  readonly keys: KnownKeys;
  readonly origins: readonly string[];
  /** Retention class of a log's topic. */
  readonly classOf: (origin: string) => string;
  /** Read anew each time it is asked: a hold that was placed meanwhile counts. */
  readonly policy: () => RetentionPolicy | Promise<RetentionPolicy>;
  readonly anchors: Pick<AnchorLog, 'holdsTombstone'>;
  /** Runs a round of the anchor log. */
  readonly anchor: () => Promise<unknown>;
  /** What was made of a segment's events goes before the segment does. */
  readonly derived: Derived;
  readonly notesLockMs: number;
  readonly nowMs: () => number;
  /** Told of a decision to delete and of a deletion. */
  readonly onDecided: (manifest: Manifest, what: 'tombstone' | 'deletion') => Promise<void>;
  /** Throws while `nowMs` is not to be believed. */
  readonly checkClock: () => void;
}

export interface Expired {
  readonly segments: number;
  readonly held: number;
  readonly locksExtended: number;
  /** Segments whose objects were put under the store's own legal hold, or let out of it. */
  readonly marked: number;
  readonly tombstones: number;
  readonly deleted: number;
  /** Tombstones whose objects are still there: not anchored yet, under a hold, or refused by the store. */
  readonly waiting: number;
}

/** A segment that is there, and what is to be done with it. */
interface Planned {
  readonly manifest: Manifest;
  readonly note: Uint8Array;
  readonly plan: SegmentPlan;
  readonly tombstone: boolean;
  readonly standing: Standing;
}

/** How the store keeps the objects of a segment that are there. */
interface Standing {
  /** The earliest date at which it lets one go; undefined when one has no lock. */
  readonly lockedUntil: number | undefined;
  /** Versions by their objects, and whether the store has its own legal hold on them. */
  readonly versions: readonly { readonly key: string; readonly version: string; readonly held: boolean }[];
}

/**
 * Lets go of the segments that no regime demands any more and no hold covers, and carries on the locks of the others. The
 * steps are durable in this order; after a crash between any two the next run does the rest.
 *
 * 1. Locks that end before they should are extended, and what is held is put under the store's legal hold as well. The lock is
 *    what is relied on: some stores forget a legal hold when the lock ends.
 * 2. A tombstone says what is to be deleted, by which policy, and which holds were compared.
 * 3. A round of the anchor log holds the tombstone: from now on the decision cannot be made up later. COMMIT POINT.
 * 4. What was made of its events (rows that were loaded back, its query copy) and then the versions are deleted, if the plan is
 *    still the same.
 * 5. The deletion note says what the store answered.
 */
export async function expireSegments(options: ExpireOptions): Promise<Expired> {
  const { store, origins } = options;
  // A clock that is ahead would decide too early, and a tombstone cannot be taken back.
  options.checkClock();
  const sum = { segments: 0, held: 0, locksExtended: 0, marked: 0, tombstones: 0, deleted: 0, waiting: 0 };
  for (const origin of origins) {
    for (const { manifest, note, plan, tombstone, standing } of await planned(options, origin)) {
      sum.segments += 1;
      if (plan.act === 'held') sum.held += 1;
      if (plan.extendLock !== undefined) {
        const until = new Date(plan.extendLock.until);
        for (const { key, version_id: version } of manifest.objects)
          await store.extendLock(key, version, until);
        sum.locksExtended += 1;
      }
      if (await markHeld(store, standing, plan.act === 'held')) sum.marked += 1;
      if (plan.act !== 'expire' || tombstone) continue;
      if (await decide(options, manifest, note, plan.since)) sum.tombstones += 1;
    }
  }

  await options.anchor();

  for (const origin of origins) {
    for (const { manifest, note, plan, tombstone } of await planned(options, origin)) {
      if (!tombstone) continue;
      const isAnchored = options.anchors.holdsTombstone(origin, manifest.first);
      if (plan.act === 'expire' && isAnchored && (await deleteSegment(options, manifest, note)))
        sum.deleted += 1;
      else sum.waiting += 1;
    }
  }
  return sum;
}

/** The segments of a log whose deletion is not finished, with their plans. */
async function planned(options: ExpireOptions, origin: string): Promise<Planned[]> {
  const { store, keys, classOf, nowMs } = options;
  const tombstones = new Set<number>();
  const done = new Set<number>();
  for await (const { key } of store.list(`tombstone/${folderOf(origin)}/`)) {
    const name = parseObjectName(key);
    if (name?.kind === 'tombstone') tombstones.add(name.first);
    if (name?.kind === 'deletion') done.add(name.first);
  }
  const there: { manifest: Manifest; note: Uint8Array; segment: ArchivedSegment; standing: Standing }[] = [];
  for await (const { manifest, note } of readManifests(
    store,
    keys,
    origin,
    await committedSize(store, origin),
  )) {
    if (done.has(manifest.first)) continue;
    const { timestamps, received, streams, first } = manifest;
    const orgs = [...new Set(streams.map(({ org }) => org))];
    const standing = await standingOf(store, manifest);
    const { lockedUntil } = standing;
    const segment = {
      name: String(first),
      class: classOf(origin),
      orgs,
      timestamps,
      received,
      lockedUntil,
      promisedUntil: manifest.retention.until,
    };
    there.push({ manifest, note, segment, standing });
  }
  const plans = planExpiry(
    await options.policy(),
    there.map(({ segment }) => segment),
    nowMs(),
  );
  return there.map(({ manifest, note, standing }, at) => ({
    manifest,
    note,
    standing,
    plan: plans[at]!,
    tombstone: tombstones.has(manifest.first),
  }));
}

async function standingOf(store: ArchiveStore, { objects }: Manifest): Promise<Standing> {
  const versions: { key: string; version: string; held: boolean }[] = [];
  let lockedUntil: number | undefined = Number.POSITIVE_INFINITY;
  for (const { key, version_id: version } of objects) {
    const head = await store.head(key, version);
    if (head === undefined) continue;
    versions.push({ key, version, held: head.legalHold });
    const until = head.lock?.retainUntil.getTime();
    if (until === undefined) lockedUntil = undefined;
    else if (lockedUntil !== undefined) lockedUntil = Math.min(lockedUntil, until);
  }
  return { lockedUntil: versions.length === 0 ? undefined : lockedUntil, versions };
}

/** Sets the store's legal hold where it is not as it should be. @returns whether anything had to be done. */
async function markHeld(store: ArchiveStore, { versions }: Standing, held: boolean): Promise<boolean> {
  const differing = versions.filter((one) => one.held !== held);
  try {
    for (const { key, version } of differing) await store.setLegalHold(key, version, held);
  } catch (error) {
    // A store that has none is fit all the same: the lock was extended before.
    if (!isFailure(error) || error.retry !== 'no') throw error;
    return false;
  }
  return differing.length > 0;
}

/** Steps 2 and 3 up to the anchor: the tombstone. @returns false when what was promised has not ended yet. */
async function decide(
  { store, signing, policy, nowMs, notesLockMs, onDecided }: ExpireOptions,
  manifest: Manifest,
  note: Uint8Array,
  since: number,
): Promise<boolean> {
  const { origin, first, objects, retention } = manifest;
  const { holds, hash } = await policy();
  const decidedAtMs = nowMs();
  const untilMs = Math.max(since, retention.until);
  if (untilMs > decidedAtMs) return false;
  const compared = holdsCompared(holds);
  const tombstone = tombstoneOf(manifest, note, {
    decidedAtMs,
    decidedBy: 'retention',
    holds: { checked: compared.checked, checkedAtMs: decidedAtMs, sha256: compared.sha256 },
    policy: { class: retention.class, untilMs, version: hash },
    versionIds: await Promise.all(objects.map(({ key }) => versionsOf(store, key))),
  });
  const signed = signTombstone(tombstone, signing.archive);
  await storeObject(store, tombstoneName(origin, first), signed, decidedAtMs + notesLockMs);
  await onDecided(manifest, 'tombstone');
  return true;
}

async function versionsOf(store: ArchiveStore, key: string): Promise<string[]> {
  const versions: string[] = [];
  for await (const version of store.listVersions(key))
    if (version.key === key) versions.push(version.version);
  return versions;
}

/** Steps 4 and 5. @returns false when the store keeps one of the versions. */
async function deleteSegment(options: ExpireOptions, manifest: Manifest, note: Uint8Array): Promise<boolean> {
  const { store, signing, keys, derived, nowMs, notesLockMs, onDecided } = options;
  const { origin, first } = manifest;
  const signed = await readObject(store, tombstoneName(origin, first), NOTE_BYTES_MAX);
  if (signed === undefined) return false;
  const tombstone = openedTombstone(signed, keys, manifest, note);
  await derived.forget(manifest);
  const answers: Deletion['answers'] = [];
  let absent = true;
  for (const { key } of tombstone.objects) {
    // Those that were put in front since the decision as well: what is to be gone is the object.
    for (const version of await versionsOf(store, key)) {
      const { outcome, answer } = await store.deleteVersion(key, version);
      answers.push({ answer: `${answer.status} ${answer.code}`.trim(), key, version_id: version });
      if (outcome !== 'deleted') absent = false;
    }
    if ((await versionsOf(store, key)).length > 0) absent = false;
  }
  if (!absent) return false;
  const deletion: Deletion = {
    absent,
    answers,
    deleted_at: nowMs(),
    first,
    kind: 'cairn/deletion',
    origin,
    tombstone_sha256: sha256Hex(signed),
    v: 1,
  };
  // Before the note: a crash between the two tells it twice, and never leaves it untold.
  await onDecided(manifest, 'deletion');
  const until = nowMs() + notesLockMs;
  await storeObject(store, deletionName(origin, first), signDeletion(deletion, signing.archive), until);
  return true;
}

/** Whether the deletion of a segment was decided and done. @throws Failure `archive.broken` when its tombstone does not open. */
export async function isDeleted(
  store: ArchiveStore,
  keys: KnownKeys,
  manifest: Manifest,
  note: Uint8Array,
): Promise<boolean> {
  const { origin, first } = manifest;
  if ((await store.head(deletionName(origin, first))) === undefined) return false;
  const signed = await readObject(store, tombstoneName(origin, first), NOTE_BYTES_MAX);
  return signed !== undefined && openedTombstone(signed, keys, manifest, note) !== undefined;
}

function openedTombstone(
  signed: Uint8Array,
  keys: KnownKeys,
  manifest: Manifest,
  note: Uint8Array,
): Tombstone {
  const { origin, first, end } = manifest;
  try {
    const tombstone = openTombstone(signed, keys.archive(origin, end));
    const misfit = tombstoneMisfit(tombstone, manifest, note);
    if (misfit === undefined) return tombstone;
    throw archiveBroken(origin, `the tombstone of leaf ${first} does not fit: ${misfit}`);
  } catch (error) {
    if (!isFailure(error) || error.code === 'archive.broken') throw error;
    throw archiveBroken(origin, `the tombstone of leaf ${first} does not open`, error);
  }
}
