import type { ClickHouse } from '@cairn/adapters';
import { type Manifest, parseObjectName } from '@cairn/ledger';
import { type EventRows, eventBlock } from '@cairn/native';
import { COPY_SETTINGS, copiedFirst, copyInsert, copyName, rowsOfSegment, StreamHeads } from '@cairn/query';
import { type CopyBucket, deleteCopy } from './forget-derived.ts';
import type { KnownKeys } from './known-keys.ts';
import { committedSize, folderOf, readManifests } from './read-manifests.ts';
import { type ArchiveStore, readEvidence } from './store-object.ts';

/** Where query copies are. */
export interface CopyStore {
  list(prefix: string): AsyncIterable<{ readonly key: string }>;
  /** Writes a copy whole, or not at all; one that is there stays. */
  write(name: string, rows: EventRows): Promise<void>;
  /** Afterwards it is not there. */
  remove(name: string): Promise<void>;
}

export interface CopyOptions {
  readonly store: ArchiveStore;
  readonly copies: CopyStore;
  readonly keys: KnownKeys;
  readonly origins: readonly string[];
  /** Segments of this run: the rest waits for the next. */
  readonly count: number;
}

export interface Copied {
  readonly copied: number;
  readonly events: number;
  /** Segments that have no copy yet. */
  readonly waiting: number;
  /** Copies that went because their segment's deletion was decided. */
  readonly removed: number;
}

/**
 * Writes a query copy of each segment that has none and is not to be deleted, from the segment itself: read back, and proven to
 * hold the leaves of its manifest. A copy of a segment whose deletion was decided goes, also one that was written while the job
 * that deletes passed by.
 *
 * @throws Failure `archive.broken`, `archive.read-back`; of the store or ClickHouse: then the copy is there or is not, and the
 *   next run sees which.
 */
export async function copySegments({ store, copies, keys, origins, count }: CopyOptions): Promise<Copied> {
  const sum = { copied: 0, events: 0, waiting: 0, removed: 0 };
  for (const origin of origins) {
    const deleted = await deletedOf(store, origin);
    const done = new Set(deleted);
    for await (const { key } of copies.list(`copy/${folderOf(origin)}/`)) {
      const first = copiedFirst(origin, key);
      if (first === undefined) continue;
      done.add(first);
      if (!deleted.has(first)) continue;
      await copies.remove(key);
      sum.removed += 1;
    }
    const heads = new StreamHeads();
    for await (const { manifest } of readManifests(store, keys, origin, await committedSize(store, origin))) {
      const isWaiting = !done.has(manifest.first);
      if (!isWaiting || sum.copied === count) {
        heads.skip(manifest);
        if (isWaiting) sum.waiting += 1;
        continue;
      }
      const rows = rowsOfSegment(manifest, await objectsOf(store, manifest), heads, () => true);
      await copies.write(copyName(origin, manifest.first), rows);
      sum.copied += 1;
      sum.events += rows.rows.length;
    }
  }
  return sum;
}

/** First leaves of the segments whose deletion was decided. */
async function deletedOf(store: ArchiveStore, origin: string): Promise<Set<number>> {
  const deleted = new Set<number>();
  for await (const { key } of store.list(`tombstone/${folderOf(origin)}/`)) {
    const name = parseObjectName(key);
    if (name?.kind === 'tombstone') deleted.add(name.first);
  }
  return deleted;
}

function objectsOf(store: ArchiveStore, { objects }: Manifest) {
  return Promise.all(
    objects.map(async (object) => ({ schemaId: object.schema, bytes: await readEvidence(store, object) })),
  );
}

/**
 * Copies in the bucket that ClickHouse has under a name: it writes them, with its own keys.
 *
 * @param bucket the same bucket.
 */
export function copyStoreIn(clickhouse: ClickHouse, collection: string, bucket: CopyBucket): CopyStore {
  return {
    list: (prefix) => bucket.list(prefix),
    remove: (name) => deleteCopy(bucket, name),
    async write(name, rows) {
      const { pieces, release } = eventBlock(rows);
      await clickhouse.insertBody(copyInsert(collection, name), pieces, COPY_SETTINGS);
      // Only now: after a failure the connection may still be reading it.
      release();
    },
  };
}
