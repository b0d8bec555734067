import { type FirstVersion, firstVersions } from '@cairn/adapters';
import { isFailure, messageOf } from '@cairn/failure';
import {
  type CompactRange,
  hashOfHex,
  type Manifest,
  openManifest,
  parseObjectName,
  sha256Hex,
} from '@cairn/ledger';
import { archiveBroken, type KnownKeys } from './known-keys.ts';
import { type ArchiveStore, readObjects } from './store-object.ts';

/** A manifest as the bucket has it, in its place. */
export interface PlacedManifest {
  readonly manifest: Manifest;
  /** The whole note. */
  readonly note: Uint8Array;
  readonly object: FirstVersion;
}

export const NOTE_BYTES_MAX = 16 * 1024 ** 2;

/** `<topic>/<partition>` of an origin, as names in the bucket have it. */
export const folderOf = (origin: string): string => origin.slice(origin.indexOf('/') + 1);

/** Where in a log reading begins, and the SHA-256 of the manifest before, hex. */
export interface ManifestsFrom {
  readonly first: number;
  readonly previous: string;
}

const FROM_THE_BEGINNING: ManifestsFrom = { first: 0, previous: '0'.repeat(64) };

/**
 * The manifests of a log to leaf `size`, in order: each opens, follows the one before and begins where it ended.
 *
 * @param from default leaf 0.
 * @throws Failure `archive.broken`
 */
export async function* readManifests(
  store: ArchiveStore,
  keys: KnownKeys,
  origin: string,
  size: number,
  from: ManifestsFrom = FROM_THE_BEGINNING,
): AsyncGenerator<PlacedManifest> {
  let next = from.first;
  let previous = from.previous;
  const isWanted = (key: string): boolean => {
    const name = parseObjectName(key);
    return name?.kind === 'manifest' && name.first >= from.first && name.first < size;
  };
  for await (const { object, bytes: note } of readObjects(
    store,
    `manifest/${folderOf(origin)}/`,
    NOTE_BYTES_MAX,
    isWanted,
  )) {
    const name = parseObjectName(object.key);
    if (name?.kind !== 'manifest' || name.first < next) continue;
    if (name.first >= size) break;
    const manifest = openedManifest(note, keys, origin);
    if (manifest.first !== next) throw archiveBroken(origin, `no manifest accounts for leaf ${next}`);
    if (manifest.previous !== previous)
      throw archiveBroken(origin, `the manifest of leaf ${next} does not follow the one before it`);
    yield { manifest, note, object };
    next = manifest.end;
    previous = sha256Hex(note);
  }
  if (next !== size)
    throw archiveBroken(origin, `its manifests end at leaf ${next} and its checkpoint at ${size}`);
}

/**
 * A manifest of a log. Which keys may sign it depends on what it claims; the claim is believed when one of those has signed it.
 *
 * @throws Failure `archive.broken`
 */
export function openedManifest(note: Uint8Array, keys: KnownKeys, origin: string): Manifest {
  try {
    const claimed = Number(/^\{"end":([0-9]{1,16}),/.exec(Buffer.from(note.subarray(0, 32)).toString())?.[1]);
    const manifest = openManifest(note, keys.archive(origin, claimed));
    if (manifest.origin !== origin) throw archiveBroken(origin, `a manifest is of ${manifest.origin}`);
    return manifest;
  } catch (error) {
    if (!isFailure(error) || error.code === 'archive.broken') throw error;
    throw archiveBroken(origin, `a manifest does not open: ${messageOf(error)}`, error);
  }
}

/**
 * Size of a log's latest checkpoint, by its name, hidden ones as well; 0 when there is none. Opening it is for whoever relies
 * on it.
 */
export async function committedSize(store: ArchiveStore, origin: string): Promise<number> {
  let size = 0;
  for await (const { key } of firstVersions(store, `checkpoint/${folderOf(origin)}/`)) {
    const name = parseObjectName(key);
    if (name?.kind === 'checkpoint') size = name.size;
  }
  return size;
}

/** Takes a tree on by a manifest's nodes. @throws Failure `archive.broken` when they do not lead to the manifest's root. */
export function joinManifest(tree: CompactRange, { end, nodes, origin, root }: Manifest): void {
  if (tree.join(end, nodes.map(hashOfHex)) && tree.root() === hashOfHex(root)) return;
  throw archiveBroken(origin, `the manifest that ends at leaf ${end} does not lead to its root`);
}
