import { type KeyHistory, parseObjectName } from '@cairn/ledger';
import { copiedFirst, type Segment } from '@cairn/query';
import type { Evidence } from './evidence.ts';
import { originsOf } from './prove.ts';
import { type PlacedSegment, walkLog } from './walk-log.ts';

/** A segment of an archive with its proof and what became of it. */
export interface ArchivedSegment extends Segment {
  readonly manifest: PlacedSegment['manifest'];
  readonly placed: PlacedSegment;
}

/**
 * All segments of an archive, log after log, in the order of each: their manifests lead to signed roots.
 *
 * @param copies bucket of the query copies; undefined when there is none.
 * @throws Failure `archive.broken` (no); of the store.
 */
export async function readArchive(
  evidence: Evidence,
  history: KeyHistory,
  copies: Evidence | undefined,
): Promise<ArchivedSegment[]> {
  const segments: ArchivedSegment[] = [];
  for (const origin of await originsOf(evidence, history.deployment)) {
    const folder = origin.slice(origin.indexOf('/') + 1);
    const deleted = await tombstonesOf(evidence, folder);
    const copied = new Map<number, string>();
    for await (const { name } of copies?.list(`copy/${folder}/`) ?? []) {
      const first = copiedFirst(origin, name);
      if (first !== undefined) copied.set(first, name);
    }
    for await (const placed of walkLog(evidence, history, origin)) {
      const { manifest } = placed;
      const isDeleted = deleted.has(manifest.first);
      segments.push({ manifest, placed, isDeleted, copy: copied.get(manifest.first) });
    }
  }
  return segments;
}

/**
 * First leaves of the segments of a log whose deletion was decided. A tombstone is not judged here: what it says of a segment,
 * that it is to be read no more, costs an answer and never gives a wrong one. `cairn verify` judges it.
 */
export async function tombstonesOf(evidence: Evidence, folder: string): Promise<Set<number>> {
  const deleted = new Set<number>();
  for await (const { name } of evidence.list(`tombstone/${folder}/`)) {
    const parsed = parseObjectName(name);
    if (parsed?.kind === 'tombstone') deleted.add(parsed.first);
  }
  return deleted;
}
