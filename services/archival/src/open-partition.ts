import { firstVersions } from '@cairn/adapters';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import {
  Acceptance,
  CompactRange,
  EMPTY_ROOT,
  type HashText,
  type Leaf,
  type Manifest,
  openCheckpoint,
  originOf,
  parseObjectName,
  rangeIn,
  readSegment,
  type SegmentWriter,
  sha256Hex,
  tombstoneName,
} from '@cairn/ledger';
import type { AssignedPartition } from '@cairn/runtime';
import type { Finding } from './finding.ts';
import { archiveBroken, type KnownKeys } from './known-keys.ts';
import { folderOf, joinManifest, type PlacedManifest, readManifests } from './read-manifests.ts';
import { PositionsBuilder } from './rebuild-positions.ts';
import { type ArchiveStore, OBJECT_BYTES_MAX, readEvidence } from './store-object.ts';
import { StreamWatches, type WatchLimits } from './watch-streams.ts';

export interface OpenOptions {
  readonly store: ArchiveStore;
  readonly deployment: string;
  /** Read anew for each opening: keys are rotated while archival runs. */
  readonly keys: () => Promise<KnownKeys>;
  readonly watch: WatchLimits;
  readonly releasedIdOf: (framedId: number) => number | undefined;
}

/** A log that this process may continue, as the archive has it, and what was taken since. */
export interface OpenLog {
  readonly origin: string;
  readonly keys: KnownKeys;
  readonly acceptance: Acceptance;
  readonly watches: StreamWatches;
  /** Leaves that a checkpoint has signed. */
  committed: number;
  /** Of those; what is taken joins it when its segment ends. */
  tree: CompactRange;
  /** SHA-256 of the latest manifest's note, hex. */
  previous: string | undefined;
  /** The segment that is being filled. */
  segment: SegmentWriter | undefined;
  /** Where the next segment must end: an earlier run has stored an object of it. */
  fixedEnd: number | undefined;
  /** The record of the last leaf, which Kafka must still hold as it was. */
  readonly anchor: { readonly offset: number; readonly leafHash: HashText } | undefined;
  /** First offset to read. */
  readonly start: number;
  /** What was wrong with the archive or the log and did not keep it from being continued. */
  readonly findings: readonly Finding[];
}

/**
 * Takes a partition over. The archive says how far its log was written; Kafka's committed offset says nothing.
 *
 * 1. The latest checkpoint, opened with the log's key.
 * 2. Every manifest below it: they lead to its root, and say where each stream stands.
 * 3. The segments that hold the latest events of the streams, for the hashes that acceptance remembers.
 * 4. What an earlier run has stored of the next segment: it fixes that segment's range.
 * 5. Kafka must still hold the last leaf's record: compared when it is read (`anchor`).
 *
 * @throws Failure `archive.broken`; `archive.rollback` when Kafka ends before the archive does.
 */
export async function openPartition(
  options: OpenOptions,
  {
    topic,
    partition,
    partitions,
    bounds,
  }: Pick<AssignedPartition, 'topic' | 'partition' | 'partitions' | 'bounds'>,
): Promise<OpenLog> {
  const { store, deployment, watch, releasedIdOf } = options;
  const origin = originOf({ deployment, topic, partition });
  const keys = await options.keys();
  const findings: Finding[] = [];
  const find = (reason: Finding['reason'], at: number, detail: string): void =>
    void findings.push({ reason, origin, at, detail });

  const { size, root } = await latestCheckpoint(store, keys, origin, find);
  const tree = new CompactRange();
  const builder = new PositionsBuilder();
  const watches = new StreamWatches(origin, keys, watch);
  const segments = new Map<number, Pick<Manifest, 'first' | 'end' | 'objects'>>();
  let last: PlacedManifest | undefined;
  for await (const placed of readManifests(store, keys, origin, size)) {
    const { manifest, object } = placed;
    joinManifest(tree, manifest);
    builder.addManifest(manifest);
    for (const range of manifest.streams) watches.resume(range, manifest.received.max);
    segments.set(manifest.first, { first: manifest.first, end: manifest.end, objects: manifest.objects });
    if (object.disturbed !== undefined)
      find('disturbed', manifest.first, `${object.key} was ${object.disturbed} by a newer version`);
    last = placed;
  }
  if (size > 0 && tree.root() !== root)
    throw archiveBroken(origin, 'its manifests do not lead to its checkpoint');
  // What was silent when the last segment was written was told then.
  if (last !== undefined) watches.silent(last.manifest.received.max);

  let lastLeaf: HashText | undefined;
  for (const first of withLast(builder.needed(), last?.manifest.first)) {
    const { objects, end } = segments.get(first)!;
    const onLeaf = (leaf: Leaf): void => {
      builder.addLeaf(leaf);
      if (leaf.offset === last?.manifest.offsets.last) lastLeaf = leaf.hash;
    };
    try {
      const parts = await Promise.all(
        objects.map(async (object) => ({
          schemaId: object.schema,
          bytes: await readEvidence(store, object),
        })),
      );
      readSegment({ origin, first, end }, parts, onLeaf);
    } catch (error) {
      if (!isFailure(error) || (error.retry === 'later' && error.code.startsWith('s3.'))) throw error;
      // Deleted under policy, lost or altered: the log goes on from the manifests.
      builder.skip(first);
      if ((await store.head(tombstoneName(origin, first))) === undefined)
        find('missing', first, `the segment of leaf ${first} cannot be read back: ${messageOf(error)}`);
    }
  }

  const fixedEnd = await startedSegment(store, origin, size);
  const { first: logFirst, end: logEnd } = await bounds();
  const lastOffset = last?.manifest.offsets.last ?? -1;
  if (lastOffset >= logEnd) {
    throw rolledBack(origin, `the archive has offset ${lastOffset}, and Kafka ends at ${logEnd}`);
  }
  if (logFirst > lastOffset + 1)
    find('log-lost', lastOffset + 1, `Kafka deleted offsets ${lastOffset + 1} to ${logFirst - 1} unarchived`);
  const isHeld = lastOffset >= logFirst && lastLeaf !== undefined;
  return {
    origin,
    keys,
    acceptance: new Acceptance({ partition, partitions, releasedIdOf }, builder.positions()),
    watches,
    committed: size,
    tree,
    previous: last === undefined ? undefined : sha256Hex(last.note),
    segment: undefined,
    fixedEnd,
    anchor: isHeld ? { offset: lastOffset, leafHash: lastLeaf! } : undefined,
    start: isHeld ? lastOffset : Math.max(lastOffset + 1, logFirst),
    findings,
  };
}

type Find = (reason: Finding['reason'], at: number, detail: string) => void;

const CHECKPOINT_BYTES_MAX = 65_536;

/** The checkpoint of the greatest size; that of an empty tree when there is none. */
async function latestCheckpoint(
  store: ArchiveStore,
  keys: KnownKeys,
  origin: string,
  find: Find,
): Promise<{ readonly size: number; readonly root: HashText }> {
  let latest: { readonly size: number; readonly key: string; readonly version: string } | undefined;
  for await (const { key, version, disturbed } of firstVersions(store, `checkpoint/${folderOf(origin)}/`)) {
    const name = parseObjectName(key);
    if (name?.kind !== 'checkpoint') continue;
    if (disturbed !== undefined) find('disturbed', name.size, `${key} was ${disturbed} by a newer version`);
    latest = { size: name.size, key, version };
  }
  if (latest === undefined) return { size: 0, root: EMPTY_ROOT };
  const { size, key, version } = latest;
  const note = await store.get(key, { version, bytesMax: CHECKPOINT_BYTES_MAX });
  try {
    const checkpoint = openCheckpoint(note, keys.log(origin, size), origin);
    if (checkpoint.size === size) return checkpoint;
  } catch (error) {
    if (!isFailure(error)) throw error;
    throw archiveBroken(origin, `${key} does not open: ${messageOf(error)}`, error);
  }
  throw archiveBroken(origin, `${key} is a checkpoint of another size`);
}

/** Where the segment at this leaf ends, if an object of it is there: whoever stored it has fixed that. */
async function startedSegment(
  store: ArchiveStore,
  origin: string,
  first: number,
): Promise<number | undefined> {
  const prefix = `segment/${folderOf(origin)}/${String(first).padStart(20, '0')}-`;
  for await (const { key, version } of firstVersions(store, prefix)) {
    const range = rangeIn(await store.get(key, { version, bytesMax: OBJECT_BYTES_MAX }));
    if (range.origin !== origin || range.first !== first || range.end <= first)
      throw archiveBroken(origin, `${key} names another range than its own`);
    return range.end;
  }
  return undefined;
}

const withLast = (firsts: readonly number[], last: number | undefined): readonly number[] =>
  last === undefined || firsts.at(-1) === last ? firsts : [...firsts, last];

/** Kafka does not hold what the archive has from it. */
export function rolledBack(origin: string, why: string): Failure {
  return new Failure({
    code: 'archive.rollback',
    retry: 'later',
    message: `the log of ${origin} is not the one that was archived: ${why}`,
    mend: 'The topic was created again or its tail was lost. Give the new one another name; the archive stays as it is.',
  });
}
