import { Failure, isFailure, messageOf } from '@cairn/failure';
import {
  CompactRange,
  checkpointName,
  hashOfHex,
  type Manifest,
  manifestName,
  manifestOf,
  openCheckpoint,
  openManifest,
  rangeIn,
  readSegment,
  sha256Hex,
  signCheckpoint,
  signManifest,
  statementText,
  type WrittenObject,
  type WrittenSegment,
} from '@cairn/ledger';
import type { LockRenewal, RetentionClass } from '@cairn/retention';
import { lockUntil } from '@cairn/retention';
import type { AssignedPartition } from '@cairn/runtime';
import type { KeptLogs } from './kept-logs.ts';
import type { OpenLog } from './open-partition.ts';
import type { SigningKeys } from './signing-keys.ts';
import { type ArchiveStore, type KeptObject, storeObject } from './store-object.ts';

/** What the class of a log's topic asks for. */
export interface LogRetention {
  readonly retentionClass: RetentionClass;
  /** Names the version of the policy. */
  readonly policy: string;
  readonly renewal: LockRenewal;
}

export interface SegmentOptions {
  readonly store: ArchiveStore;
  readonly kept?: KeptLogs | undefined;
  readonly signing: SigningKeys;
  readonly retention: LogRetention;
  /** How long manifests and checkpoints are locked at least: they outlive their segments. */
  readonly notesLockMs: number;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

/** What was written. */
export interface StoredSegment {
  readonly manifest: Manifest;
  /** Bytes of its objects. */
  readonly bytes: number;
  /** False when all of it was there already. */
  readonly isNew: boolean;
}

/** The store must be able to show a lock after it was set, however old the events are. */
const LOCK_MS_LEAST = 60_000;

/**
 * Writes the segment that was filled. The steps are durable in this order, each read back before the next, and each name is
 * given once; after a crash between any two the next owner finds what is there, comes to the same leaves from Kafka, and
 * does the rest. Until the checkpoint is there, nothing of the segment counts.
 *
 * @throws Failure `archive.second-writer` when a name holds what this writer did not come to; of the store or the log: then
 *   nobody knows how far it came, and the partition is opened again.
 */
export async function writeSegment(
  options: SegmentOptions,
  partition: Pick<AssignedPartition, 'commit'>,
  log: OpenLog,
  segment: WrittenSegment,
): Promise<StoredSegment> {
  const { store, signing, retention, notesLockMs, nowMs } = options;
  const { origin } = log;
  const { range, objects, summary } = segment;
  const tree = CompactRange.of(log.tree.end, log.tree.nodes());
  if (!tree.join(range.end, summary.nodes.map(hashOfHex)))
    throw new TypeError(`the segment of leaf ${range.first} does not follow leaf ${log.tree.end - 1}`);
  const root = tree.root();
  const { retentionClass, policy, renewal } = retention;
  const until = Math.max(lockUntil(retentionClass, summary, renewal), nowMs() + LOCK_MS_LEAST);
  const notesUntil = Math.max(until, nowMs() + notesLockMs);

  // 0. The partition is still this process's: the offset stays, and a group that went on without it says so here.
  await partition.commit(Math.max(0, summary.offsets.first), '');

  // 1. The objects, by rising schema: the first of them fixes the segment's range.
  const kept: KeptObject[] = [];
  for (const object of objects) {
    const sha256 = Buffer.from(object.entry.sha256, 'hex');
    const found = await storeObject(store, object.name, object.bytes, until, sha256);
    if (!found.created) checkRows(origin, range, object, found.bytes);
    kept.push(found);
  }

  // 2. The manifest. It says what was kept: an object that was there may be of another release of zstd.
  const manifest = manifestOf(
    { ...segment, objects: objects.map((object, at) => asKept(object, kept[at]!)) },
    {
      root,
      previous: log.previous,
      retention: { class: retentionClass.name, mode: 'COMPLIANCE', policy, until },
      versionIds: kept.map(({ version }) => version),
    },
  );
  const note = signManifest(manifest, signing.archive);
  const keptNote = await storeObject(store, manifestName(origin, range.first), note, notesUntil);
  const said = keptNote.created ? manifest : sameManifest(log, manifest, keptNote.bytes);

  // 3. The checkpoint. COMMIT POINT of the segment; whoever puts it first has written the segment.
  const checkpoint = { origin, size: range.end, root };
  const signed = signCheckpoint(checkpoint, signing.log(origin));
  const keptCheckpoint = await storeObject(store, checkpointName(origin, range.end), signed, notesUntil);
  if (!keptCheckpoint.created) sameRoot(log, range.end, keptCheckpoint.bytes, root);
  log.committed = range.end;
  log.tree = tree;
  log.previous = sha256Hex(keptNote.bytes);
  log.fixedEnd = undefined;
  await log.manifests.stored(said, log.previous, options.kept);

  // 4. Kafka's offset, for Kafka's own tools: the archive is what decides.
  await partition.commit(summary.offsets.last + 1, '');
  return {
    manifest: said,
    bytes: manifest.objects.reduce((sum, { size }) => sum + size, 0),
    isNew: keptCheckpoint.created,
  };
}

/** What another try has stored must hold the same rows; its compressed bytes may differ. */
function checkRows(
  origin: string,
  range: WrittenSegment['range'],
  { name, bytes, entry }: WrittenObject,
  found: Uint8Array,
): void {
  if (Buffer.compare(found, bytes) === 0) return;
  try {
    const { end } = rangeIn(found);
    if (end !== range.end) throw secondWriter(origin, `${name} ends at leaf ${end}, not at ${range.end}`);
    if (rowsOf(range, entry.schema, found) === rowsOf(range, entry.schema, bytes)) return;
  } catch (error) {
    if (!isFailure(error) || error.code === 'archive.second-writer') throw error;
    throw secondWriter(origin, `${name} is no segment: ${messageOf(error)}`, error);
  }
  throw secondWriter(origin, `${name} holds other rows`);
}

/** The rows of one object of a segment, as a hash. An object of several is read alone, so that its leaves may end early. */
function rowsOf(range: WrittenSegment['range'], schemaId: number, bytes: Uint8Array): string {
  const rows: string[] = [];
  try {
    readSegment(range, [{ schemaId, bytes }], ({ offset, receivedAtMs, hash }) => {
      rows.push(`${offset} ${receivedAtMs} ${hash}`);
    });
  } catch (error) {
    // Fewer rows than the range has leaves: the others are in the segment's other objects.
    if (!isFailure(error, 'segment.form') || rows.length === 0) throw error;
    rows.push(error.message);
  }
  return sha256Hex(Buffer.from(rows.join('\n'), 'latin1'));
}

function asKept(object: WrittenObject, { bytes, created }: KeptObject): WrittenObject {
  if (created) return object;
  return {
    ...object,
    entry: { ...object.entry, sha256: sha256Hex(bytes), size: bytes.length },
  };
}

/** A manifest that is there counts when it says the same of the segment; how long it promised to keep it is its own. */
function sameManifest(log: OpenLog, wanted: Manifest, note: Uint8Array): Manifest {
  const { origin } = log;
  let found: Manifest;
  try {
    found = openManifest(note, log.keys.archive(origin, wanted.end));
  } catch (error) {
    if (!isFailure(error)) throw error;
    throw secondWriter(
      origin,
      `the manifest of leaf ${wanted.first} does not open: ${messageOf(error)}`,
      error,
    );
  }
  if (statementText({ ...found, retention: 0 }) === statementText({ ...wanted, retention: 0 })) return found;
  throw secondWriter(origin, `the manifest of leaf ${wanted.first} says something else`);
}

function sameRoot(log: OpenLog, size: number, note: Uint8Array, root: string): void {
  const { origin } = log;
  try {
    if (openCheckpoint(note, log.keys.log(origin, size), origin).root === root) return;
  } catch (error) {
    if (!isFailure(error)) throw error;
    throw secondWriter(origin, `the checkpoint of ${size} leaves does not open: ${messageOf(error)}`, error);
  }
  throw secondWriter(origin, `the checkpoint of ${size} leaves has another root`);
}

function secondWriter(origin: string, why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'archive.second-writer',
    retry: 'later',
    message: `somebody else writes the log of ${origin}: ${why}`,
    mend: 'Two groups or two deployments share one bucket, or a key has leaked. This writer has stopped; find the other one.',
    ...(cause === undefined ? {} : { cause }),
  });
}
