import type { ClickHouse, ObjectStore } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { type Manifest, parseOrigin } from '@cairn/ledger';
import { copyName } from '@cairn/query';

/** What was made of a segment's events and is not the segment: rows that were loaded back, and its query copy. */
export interface Derived {
  /** Afterwards none of it is there. Repetition is harmless. */
  forget(manifest: Manifest): Promise<void>;
}

/** What is needed of the bucket of the query copies. */
export type CopyBucket = Pick<ObjectStore, 'list' | 'listVersions' | 'deleteVersion'>;

/** @param copies undefined when none are made. */
export function derivedIn(clickhouse: ClickHouse, copies: CopyBucket | undefined): Derived {
  return {
    async forget(manifest) {
      await forgetRestored(clickhouse, manifest);
      if (copies !== undefined) await deleteCopy(copies, copyName(manifest.origin, manifest.first));
    },
  };
}

async function forgetRestored(clickhouse: ClickHouse, { origin, offsets }: Manifest): Promise<void> {
  const { topic, partition } = parseOrigin(origin);
  const { first, last } = offsets;
  const here = `topic = {topic:String} AND partition = {partition:Int32} AND offset BETWEEN {first:Int64} AND {last:Int64}`;
  const [found] = await clickhouse.query<{ rows: number }>(
    `SELECT toUInt32(count()) AS rows FROM cairn.restored_events WHERE ${here}`,
    { topic, partition, first, last },
  );
  if (found?.rows === 0) return;
  // Values of an origin and of a manifest: names of a-z, 0-9, "." and "-", and whole numbers.
  await clickhouse.exec(
    `ALTER TABLE cairn.restored_events DELETE
     WHERE topic = '${topic}' AND partition = ${partition} AND offset BETWEEN ${first} AND ${last}`,
    { mutations_sync: 2 },
  );
}

/** All versions of a copy. @throws Failure `archive.copy-kept` (later) */
export async function deleteCopy(copies: CopyBucket, name: string): Promise<void> {
  for await (const { key, version } of copies.listVersions(name)) {
    if (key !== name) continue;
    const { outcome, answer } = await copies.deleteVersion(key, version);
    if (outcome !== 'deleted') throw copyKept(name, answer.code || answer.message);
  }
}

const copyKept = (name: string, why: string): Failure =>
  new Failure({
    code: 'archive.copy-kept',
    retry: 'later',
    message: `the store keeps ${name}, a copy of events whose retention has ended: ${why}`,
    mend: 'The bucket of copies must have no default lock, and archival the right to delete in it.',
  });
