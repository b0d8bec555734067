import { decodeDatum, entryOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import {
  anchorCheckpointName,
  anchorOrigin,
  checkpointName,
  formatTlogProof,
  type HashText,
  type KeyHistory,
  KnownTree,
  parseObjectName,
  parseTlogProof,
  verifyTlogProof,
} from '@cairn/ledger';
import type { Evidence } from './evidence.ts';
import { NOTE_BYTES_MAX, TIMESTAMP_BYTES_MAX } from './read-ahead.ts';
import type { AnchorLog } from './read-anchors.ts';
import { type PlacedSegment, readLeaves, walkLog } from './walk-log.ts';

/** Where an event is. */
export interface FoundEvent {
  readonly origin: string;
  readonly segment: PlacedSegment;
  readonly index: number;
  /** Of all leaves of its segment. */
  readonly hashes: readonly HashText[];
  readonly entry: Uint8Array;
}

/**
 * Finds an event in the archive.
 *
 * @param eventId 16 bytes.
 * @param origins logs to look in.
 * @param offset of the event in its partition, when it is known: then one segment is read and no other.
 * @throws Failure as `walkLog` and `readLeaves`.
 */
export async function findEvent(
  evidence: Evidence,
  history: KeyHistory,
  eventId: Uint8Array,
  origins: readonly string[],
  offset?: number,
): Promise<FoundEvent | undefined> {
  for (const origin of origins) {
    for await (const segment of walkLog(evidence, history, origin)) {
      const { offsets } = segment.manifest;
      if (offset !== undefined && (offset < offsets.first || offset > offsets.last)) continue;
      try {
        const found = await findInSegment(evidence, segment, eventId);
        if (found !== undefined) return found;
      } catch (error) {
        // It may lie in a segment that is there.
        if (offset === undefined && error instanceof Failure && error.code === 'archive.deleted') continue;
        throw error;
      }
    }
  }
  return undefined;
}

/** An event of a segment, by its id. @throws Failure as `readLeaves`. */
export async function findInSegment(
  evidence: Evidence,
  segment: PlacedSegment,
  eventId: Uint8Array,
): Promise<FoundEvent | undefined> {
  const hashes: HashText[] = [];
  let found: { index: number; entry: Uint8Array } | undefined;
  await readLeaves(evidence, segment, (leaf, index) => {
    hashes.push(leaf.hash);
    const datum = leaf.bytes.subarray(leaf.start, leaf.end);
    if (found === undefined && isEvent(leaf.schemaId, datum, eventId))
      found = { index, entry: entryOf(leaf.schemaId, datum) };
  });
  return found === undefined ? undefined : { origin: segment.manifest.origin, segment, hashes, ...found };
}

/** Its id is looked for as bytes first: few events hold them by chance. */
function isEvent(schemaId: number, datum: Uint8Array, eventId: Uint8Array): boolean {
  const bytes = Buffer.from(datum.buffer, datum.byteOffset, datum.length);
  return bytes.includes(eventId) && Buffer.compare(decodeDatum(datum, schemaId).event_id, eventId) === 0;
}

/** The tlog-proof of an event under the checkpoint at its segment's end. */
export function proofOfEvent({ segment, index, hashes, entry }: FoundEvent): Uint8Array {
  const { first, end } = segment.manifest;
  const tree = new KnownTree();
  tree.addNodes(0, first, segment.before);
  tree.addLeaves(first, hashes);
  return formatTlogProof({
    extra: entry,
    index,
    hashes: tree.inclusionProof(index, end),
    checkpoint: segment.checkpoint,
  });
}

/** What shows since when a checkpoint exists. */
export interface AnchorEvidence {
  /** tlog-proof of the checkpoint in the anchor log. */
  readonly proof: Uint8Array;
  /** Size of the anchor checkpoint in it. */
  readonly size: number;
  /** The anchor checkpoint, its timestamps and cosignatures, as they are called in the bucket. */
  readonly objects: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/**
 * What anchors the checkpoint of a log: under the first anchor checkpoint that covers it and has a timestamp, else under the
 * first that covers it. Undefined when none does.
 */
export async function anchorOf(
  evidence: Evidence,
  history: KeyHistory,
  { report, tree, beside }: AnchorLog,
  origin: string,
  size: number,
): Promise<AnchorEvidence | undefined> {
  const anchored = report.checkpoints.get(origin)?.find((checkpoint) => checkpoint.size === size);
  if (anchored === undefined) return undefined;
  let stamped = Number.POSITIVE_INFINITY;
  for (const [size, names] of beside) {
    const isStamped =
      size >= anchored.anchoredAt && names.some((name) => name.startsWith('anchor/timestamp/'));
    if (isStamped && size < stamped) stamped = size;
  }
  const at = Number.isFinite(stamped) ? stamped : anchored.anchoredAt;
  const note = await evidence.read(checkpointName(origin, size), NOTE_BYTES_MAX);
  const anchorNote = await evidence.read(anchorCheckpointName(at), NOTE_BYTES_MAX);
  if (note === undefined || anchorNote === undefined) return undefined;
  const proof = formatTlogProof({
    extra: note,
    index: anchored.leaf,
    hashes: tree.inclusionProof(anchored.leaf, at),
    checkpoint: anchorNote,
  });
  // The entry in the anchor log may be another note than the one in the bucket.
  const anchors = anchorOrigin(history.deployment);
  verifyTlogProof(parseTlogProof(proof), history.keysAt('anchor', anchors, at), anchors);
  const objects = [{ name: anchorCheckpointName(at), bytes: anchorNote }];
  for (const name of beside.get(at) ?? []) {
    const bytes = await evidence.read(name, TIMESTAMP_BYTES_MAX);
    if (bytes !== undefined) objects.push({ name, bytes });
  }
  return { proof, size: at, objects };
}

/** Origins of the logs that have a checkpoint. */
export async function originsOf(evidence: Evidence, deployment: string): Promise<string[]> {
  const origins = new Set<string>();
  for await (const { name } of evidence.list('checkpoint/')) {
    const parsed = parseObjectName(name);
    if (parsed?.kind === 'checkpoint') origins.add(`${deployment}/${parsed.folder}`);
  }
  return [...origins].sort();
}
