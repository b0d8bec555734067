import { Failure, messageOf } from '@cairn/failure';
import {
  CompactRange,
  checkpointName,
  type HashText,
  hashOfHex,
  hexOfHash,
  type KeyHistory,
  type Leaf,
  type Manifest,
  openCheckpoint,
  openManifest,
  parseObjectName,
  readSegment,
  sha256Hex,
} from '@cairn/ledger';
import type { Evidence } from './evidence.ts';
import { NOTE_BYTES_MAX, readAhead, SEGMENT_BYTES_MAX } from './read-ahead.ts';

/** A segment by its manifest, whose nodes lead to the signed root at its end. */
export interface PlacedSegment {
  readonly manifest: Manifest;
  /** Nodes of [0, first). */
  readonly before: readonly HashText[];
  /** Note of the checkpoint at its end. */
  readonly checkpoint: Uint8Array;
  /** SHA-256 of its manifest's note, hex: what the next manifest names. */
  readonly note: string;
}

/**
 * The segments of a log, in order, as far as its checkpoints go: what evidence is made of must hold itself.
 *
 * @param behind the last one of an earlier walk, to go on from there: nothing before it is read again.
 * @throws Failure `archive.broken` (no)
 */
export async function* walkLog(
  evidence: Evidence,
  history: KeyHistory,
  origin: string,
  behind?: PlacedSegment,
): AsyncGenerator<PlacedSegment> {
  const folder = origin.slice(origin.indexOf('/') + 1);
  const tree = behind === undefined ? new CompactRange() : treeAt(behind);
  let previous = behind?.note ?? '0'.repeat(64);
  const known = tree.end;
  const isNew = (name: string): boolean => {
    const parsed = parseObjectName(name);
    return parsed?.kind === 'manifest' && parsed.first >= known;
  };
  for await (const { name, bytes: note } of readAhead(
    evidence,
    `manifest/${folder}/`,
    NOTE_BYTES_MAX,
    isNew,
  )) {
    const manifest = opened(note, history, origin);
    const checkpoint = await evidence.read(checkpointName(origin, manifest.end), NOTE_BYTES_MAX);
    // A segment whose checkpoint is not written yet is not committed.
    if (checkpoint === undefined) return;
    const { root } = openSigned(checkpoint, history, origin, manifest.end);
    const before = tree.nodes();
    const isNext = manifest.first === tree.end && manifest.previous === previous;
    if (!isNext || !tree.join(manifest.end, manifest.nodes.map(hashOfHex)) || tree.root() !== root)
      throw broken(origin, `${name} does not lead to the signed root`);
    previous = sha256Hex(note);
    yield { manifest, before, checkpoint, note: previous };
  }
}

/** The log as it was at the end of a segment. */
function treeAt({ manifest, before }: PlacedSegment): CompactRange {
  const tree = CompactRange.of(manifest.first, before);
  tree.join(manifest.end, manifest.nodes.map(hashOfHex));
  return tree;
}

/**
 * The leaves of a segment, in order, once their hashes were seen to lead to the manifest's nodes.
 *
 * @param onLeaf the leaf is good until it returns.
 * @throws Failure `archive.broken` (no), `archive.deleted` (no) when an object is not there.
 */
export async function readLeaves(
  evidence: Evidence,
  { manifest }: PlacedSegment,
  onLeaf: (leaf: Leaf, index: number) => void,
): Promise<void> {
  const { origin, first, end, objects } = manifest;
  const parts = await Promise.all(
    objects.map(async ({ key, schema }) => {
      const bytes = await evidence.read(key, SEGMENT_BYTES_MAX);
      if (bytes === undefined) throw deleted(origin, first, end);
      return { schemaId: schema, bytes };
    }),
  );
  const range = new CompactRange(first);
  try {
    readSegment({ origin, first, end }, parts, (leaf) => {
      onLeaf(leaf, range.end);
      range.append(leaf.hash);
    });
  } catch (error) {
    throw broken(origin, `the segment of leaf ${first}: ${messageOf(error)}`, error);
  }
  if (range.nodes().map(hexOfHash).join() !== manifest.nodes.join())
    throw broken(origin, `the segment of leaf ${first} does not hold the leaves of its manifest`);
}

function opened(note: Uint8Array, history: KeyHistory, origin: string): Manifest {
  const claimed = Number(
    /^\{"end":([0-9]{1,16}),/.exec(Buffer.from(note.subarray(0, 32)).toString())?.[1] ?? -1,
  );
  try {
    const manifest = openManifest(note, history.keysAt('archive', origin, claimed));
    if (manifest.origin !== origin) throw broken(origin, `a manifest is of ${manifest.origin}`);
    return manifest;
  } catch (error) {
    throw broken(origin, `a manifest: ${messageOf(error)}`, error);
  }
}

function openSigned(
  note: Uint8Array,
  history: KeyHistory,
  origin: string,
  size: number,
): { readonly root: HashText } {
  try {
    const checkpoint = openCheckpoint(note, history.keysAt('log', origin, size), origin);
    if (checkpoint.size === size) return checkpoint;
  } catch (error) {
    throw broken(origin, `the checkpoint of ${size} leaves: ${messageOf(error)}`, error);
  }
  throw broken(origin, `the checkpoint of ${size} leaves is of another size`);
}

function broken(origin: string, why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'archive.broken',
    retry: 'no',
    message: `the archive of ${origin} does not hold: ${why}`,
    mend: 'Run `cairn verify` to see all of it.',
    ...(cause === undefined ? {} : { cause }),
  });
}

const deleted = (origin: string, first: number, end: number): Failure =>
  new Failure({
    code: 'archive.deleted',
    retry: 'no',
    message: `the events of leaves ${first} to ${end - 1} of ${origin} are not there any more`,
    mend: '`cairn verify` says whether they were deleted under policy. Ask for a later time.',
  });
