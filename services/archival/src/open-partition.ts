import { firstVersions } from '@cairn/adapters';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import {
  Acceptance,
  CompactRange,
  checkpointName,
  EMPTY_ROOT,
  type HashText,
  hashOfHex,
  hexOfHash,
  type Leaf,
  type Manifest,
  manifestName,
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
import { type KeptLog, type KeptLogs, leadsTo } from './kept-logs.ts';
import { archiveBroken, type KnownKeys } from './known-keys.ts';
import { folderOf, joinManifest, NOTE_BYTES_MAX, openedManifest, readManifests } from './read-manifests.ts';
import { PositionsBuilder } from './rebuild-positions.ts';
import { type ArchiveStore, OBJECT_BYTES_MAX, readEvidence, readObject } from './store-object.ts';
import { StreamWatches, type WatchLimits } from './watch-streams.ts';

export interface OpenOptions {
  readonly store: ArchiveStore;
  readonly deployment: string;
  /** Read anew for each opening: keys are rotated while archival runs. */
  readonly keys: () => Promise<KnownKeys>;
  readonly watch: WatchLimits;
  readonly releasedIdOf: (framedId: number) => number | undefined;
  /** What earlier openings came to; without it all manifests are read. */
  readonly kept?: KeptLogs | undefined;
}

/** A log that this process may continue, as the archive has it, and what was taken since. */
export interface OpenLog {
  readonly origin: string;
  readonly keys: KnownKeys;
  readonly acceptance: Acceptance;
  readonly watches: StreamWatches;
  /** What the manifests say, up to the last. */
  readonly manifests: PassedManifests;
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
 * 2. The manifests below it: they lead to its root, and say where each stream stands. Those that an earlier opening has read
 *    are read no more, when the nodes that were kept of them lead to the root of their checkpoint (`kept-logs.ts`); whether
 *    they still are as they were is looked at by the job that verifies.
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
  const known = await knownLog(options, keys, origin, size);
  const manifests = new PassedManifests(origin, keys, watch, known);
  for await (const placed of readManifests(store, keys, origin, size, manifests.next)) {
    const { manifest, note, object } = placed;
    manifests.pass(manifest, sha256Hex(note));
    if (object.disturbed !== undefined)
      find('disturbed', manifest.first, `${object.key} was ${object.disturbed} by a newer version`);
  }
  const { tree, builder } = manifests;
  if (size > 0 && tree.root() !== root)
    throw archiveBroken(origin, 'its manifests do not lead to its checkpoint');
  if (size > 0 && manifests.passed >= PASSED_MAX) await manifests.keep(options.kept);
  const manifestAt = async (first: number): Promise<Manifest> =>
    manifests.at(first) ?? readManifest(store, keys, origin, first);
  const last = size === 0 ? undefined : await manifestAt(manifests.last);
  const watches = new StreamWatches(origin, keys, watch);
  watches.resumeKept(manifests.watches.kept());
  // What was silent when the last segment was written was told then.
  if (last !== undefined) watches.silent(last.received.max);

  let lastLeaf: HashText | undefined;
  for (const first of withLast(builder.needed(), last?.first)) {
    const { objects, end } = await manifestAt(first);
    const onLeaf = (leaf: Leaf): void => {
      builder.addLeaf(leaf);
      if (leaf.offset === last?.offsets.last) lastLeaf = leaf.hash;
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
  const lastOffset = last?.offsets.last ?? -1;
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
    manifests,
    committed: size,
    tree: CompactRange.of(tree.end, tree.nodes()),
    previous: last === undefined ? undefined : manifests.previous,
    segment: undefined,
    fixedEnd,
    anchor: isHeld ? { offset: lastOffset, leafHash: lastLeaf! } : undefined,
    start: isHeld ? lastOffset : Math.max(lastOffset + 1, logFirst),
    findings,
  };
}

/** Manifests that are passed before what they came to is kept: so many are read again after a start. */
const PASSED_MAX = 64;

/** What the manifests of a log say together, passed in order: at its opening those that there are, then each that is written. */
export class PassedManifests {
  readonly #origin: string;
  readonly tree: CompactRange;
  readonly builder: PositionsBuilder;
  /** Passed by manifests alone, and never by leaves. */
  readonly watches: StreamWatches;
  /** First leaf of the last manifest, and the SHA-256 of its note, hex. */
  last: number;
  previous: string;
  /** Since they were kept. */
  passed = 0;
  readonly #segments = new Map<number, Manifest>();
  #segmentsMax = 2 * PASSED_MAX;

  constructor(origin: string, keys: KnownKeys, watch: WatchLimits, known: KeptLog | undefined) {
    this.#origin = origin;
    this.tree =
      known === undefined ? new CompactRange() : CompactRange.of(known.size, known.nodes.map(hashOfHex));
    this.builder = PositionsBuilder.from(known?.streams ?? []);
    this.watches = new StreamWatches(origin, keys, watch);
    this.watches.resumeKept(known?.watches ?? []);
    this.last = known?.last ?? 0;
    this.previous = known?.previous ?? '0'.repeat(64);
  }

  /** Leaf at which the next one begins, and what it follows. */
  get next(): { readonly first: number; readonly previous: string } {
    return { first: this.tree.end, previous: this.previous };
  }

  /** Of those that were passed and are needed still. */
  at(first: number): Manifest | undefined {
    return this.#segments.get(first);
  }

  /** @param sha256 of its note, hex. @throws Failure `archive.broken` */
  pass(manifest: Manifest, sha256: string): void {
    joinManifest(this.tree, manifest);
    this.builder.addManifest(manifest);
    for (const range of manifest.streams) this.watches.resume(range, manifest.received.max);
    this.#segments.set(manifest.first, manifest);
    if (this.#segments.size > this.#segmentsMax) this.#forget(manifest.first);
    this.last = manifest.first;
    this.previous = sha256;
    this.passed += 1;
  }

  #forget(last: number): void {
    const needed = new Set([...this.builder.needed(), last]);
    for (const first of this.#segments.keys()) if (!needed.has(first)) this.#segments.delete(first);
    this.#segmentsMax = 2 * (PASSED_MAX + this.#segments.size);
  }

  /** What can be kept is a hint: when it cannot, more is read at the next opening. */
  async keep(kept: KeptLogs | undefined): Promise<void> {
    this.passed = 0;
    const { tree, builder, watches, last, previous } = this;
    await kept
      ?.keep({
        v: 1,
        origin: this.#origin,
        size: tree.end,
        root: hexOfHash(tree.root()),
        nodes: tree.nodes().map(hexOfHash),
        last,
        previous,
        streams: builder.kept(),
        watches: watches.kept(),
      })
      .catch(() => {});
  }

  /** A segment was committed. */
  async stored(manifest: Manifest, sha256: string, kept: KeptLogs | undefined): Promise<void> {
    this.pass(manifest, sha256);
    if (this.passed >= PASSED_MAX) await this.keep(kept);
  }
}

/** What was kept of a log, when the archive has the checkpoint to which it leads. */
async function knownLog(
  { store, kept }: OpenOptions,
  keys: KnownKeys,
  origin: string,
  size: number,
): Promise<KeptLog | undefined> {
  const known = await kept?.read(origin);
  if (known === undefined || known.size > size) return undefined;
  const tree = new CompactRange();
  if (!tree.join(known.size, known.nodes.map(hashOfHex)) || !leadsTo(tree, known)) return undefined;
  const note = await readObject(store, checkpointName(origin, known.size), CHECKPOINT_BYTES_MAX);
  if (note === undefined) return undefined;
  try {
    const { size: signed, root } = openCheckpoint(note, keys.log(origin, known.size), origin);
    return signed === known.size && hexOfHash(root) === known.root ? known : undefined;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return undefined;
  }
}

async function readManifest(
  store: ArchiveStore,
  keys: KnownKeys,
  origin: string,
  first: number,
): Promise<Manifest> {
  const note = await readObject(store, manifestName(origin, first), NOTE_BYTES_MAX);
  if (note === undefined) throw archiveBroken(origin, `no manifest accounts for leaf ${first}`);
  const manifest = openedManifest(note, keys, origin);
  if (manifest.first === first) return manifest;
  throw archiveBroken(origin, `the manifest named ${first} is of leaf ${manifest.first}`);
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
