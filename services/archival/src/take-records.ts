import { isFailure } from '@cairn/failure';
import { type Accepted, type Leaf, SegmentWriter } from '@cairn/ledger';
import type { Chunk, KeptRecords } from '@cairn/runtime';
import type { Finding } from './finding.ts';
import { type OpenLog, rolledBack } from './open-partition.ts';

/** What a chunk came to. */
export interface Taken {
  readonly leaves: number;
  readonly duplicates: number;
  /** Records that are no events; ingest parks them. */
  readonly others: number;
}

/**
 * Takes every record of a chunk into the log: a leaf of the segment that is being filled, a duplicate, or no event. What is
 * one is a function of the partition alone (schemas/ledger.md, "Leaves"), so that whoever repeats it comes to the same.
 *
 * @param end ends the segment that is being filled, which has at least one leaf.
 * @throws Failure `archive.rollback` when Kafka holds another record than the one that was archived last.
 */
export async function takeRecords(
  log: OpenLog,
  chunk: Chunk<KeptRecords>,
  end: () => Promise<void>,
  onFinding: (finding: Finding) => void,
): Promise<Taken> {
  const { acceptance, anchor, origin, watches } = log;
  let leaves = 0;
  let duplicates = 0;
  let others = 0;
  if (
    anchor !== undefined &&
    chunk.holes.some(({ first, last }) => first <= anchor.offset && anchor.offset <= last)
  )
    throw rolledBack(origin, `Kafka has no record at offset ${anchor.offset} any more`);
  for (const record of chunk.gathered.records) {
    const { offset } = record;
    const accepted = acceptance.accept(record);
    if (offset === anchor?.offset) {
      if (hashOf(accepted) !== anchor.leafHash)
        throw rolledBack(origin, `the record at offset ${offset} is another one`);
      continue;
    }
    if (accepted.outcome === 'duplicate') duplicates += 1;
    if (accepted.outcome === 'no-event') others += 1;
    if (accepted.outcome !== 'leaf') continue;
    const found = watches.add(accepted);
    if (found.length > 0)
      for (const finding of await byLatestKeys(log, accepted.leaf, found)) onFinding(finding);
    if (log.segment !== undefined && !log.segment.fits(accepted.leaf)) await end();
    log.segment ??= new SegmentWriter(origin, log.committed);
    log.segment.add(accepted.leaf);
    leaves += 1;
    if (log.segment.end === log.fixedEnd) await end();
  }
  return { leaves, duplicates, others };
}

/** A key may have been stated since the log was opened: what is not known is asked for once more before it is told. */
async function byLatestKeys(
  { keys, watches }: OpenLog,
  leaf: Leaf,
  found: readonly Finding[],
): Promise<readonly Finding[]> {
  if (!found.some(({ reason }) => reason === 'unknown-key')) return found;
  try {
    await keys.renew();
  } catch (error) {
    if (!isFailure(error)) throw error;
    return found;
  }
  return [...found.filter(({ reason }) => reason !== 'unknown-key'), ...watches.judgeAgain(leaf)];
}

const hashOf = (accepted: Accepted): string | undefined =>
  accepted.outcome === 'no-event' ? undefined : accepted.leaf.hash;
