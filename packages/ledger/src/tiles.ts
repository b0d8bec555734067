/**
 * The tree as C2SP tlog-tiles (c2sp.org/tlog-tiles): tiles of height 8, that is of 256 hashes of one level in 8, and bundles
 * of 256 entries.
 *
 *     tile/<level>/<index>[.p/<width>]      hashes, 32 bytes each
 *     tile/entries/<index>[.p/<width>]      entries, each behind its length in two bytes
 */

import { nodeHash } from './compact-range.ts';
import { type HashText, hashBytes, putHash } from './hash-text.ts';

const WIDTH = 256;
const TILE_LEVELS = 7;

/** `x001/x234/067` for 1234067. */
function indexPath(index: number): string {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0');
  const groups = padded.match(/\d{3}/g) ?? [];
  return groups.map((group, at) => (at === groups.length - 1 ? group : `x${group}`)).join('/');
}

/** @param width 1 to 256; below that the tile is partial. */
export function tilePath(level: number | 'entries', index: number, width: number = WIDTH): string {
  return `tile/${level}/${indexPath(index)}${width === WIDTH ? '' : `.p/${width}`}`;
}

export interface TileFile {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Turns leaves into the tiles and bundles of a log, each as soon as it is whole. */
export class TileWriter {
  readonly #levels: { hashes: HashText[]; full: number }[] = [];
  #entries: Uint8Array[] = [];
  #bundles = 0;
  readonly #write: (file: TileFile) => void;

  constructor(write: (file: TileFile) => void) {
    this.#write = write;
  }

  /** @param entry kept until its bundle is whole; at most 65,535 bytes. */
  append(entry: Uint8Array, leafHash: HashText): void {
    this.#entries.push(entry);
    if (this.#entries.length === WIDTH) this.#endBundle();
    this.#push(0, leafHash);
  }

  #push(level: number, hash: HashText): void {
    if (level > TILE_LEVELS) return;
    const tile = (this.#levels[level] ??= { hashes: [], full: 0 });
    tile.hashes.push(hash);
    if (tile.hashes.length < WIDTH) return;
    this.#write({ path: tilePath(level, tile.full), bytes: joined(tile.hashes) });
    tile.full += 1;
    const root = rootOfTile(tile.hashes);
    tile.hashes = [];
    this.#push(level + 1, root);
  }

  #endBundle(): void {
    this.#write({
      path: tilePath('entries', this.#bundles, this.#entries.length),
      bytes: bundleOf(this.#entries),
    });
    this.#bundles += 1;
    this.#entries = [];
  }

  /** Writes the partial tiles and the partial bundle that the tree's size leaves. */
  end(): void {
    if (this.#entries.length > 0) this.#endBundle();
    for (const [level, { hashes, full }] of this.#levels.entries()) {
      if (hashes.length > 0)
        this.#write({ path: tilePath(level, full, hashes.length), bytes: joined(hashes) });
    }
  }
}

function rootOfTile(hashes: readonly HashText[]): HashText {
  let level = hashes;
  while (level.length > 1) {
    level = Array.from({ length: level.length / 2 }, (_, at) => nodeHash(level[2 * at]!, level[2 * at + 1]!));
  }
  return level[0]!;
}

function joined(hashes: readonly HashText[]): Uint8Array<ArrayBuffer> {
  const bytes = hashBytes(hashes.length * 32);
  for (const [at, hash] of hashes.entries()) putHash(hash, bytes, at * 32);
  return bytes;
}

/** Entries, each behind its length in two bytes. @throws RangeError for an entry above 65,535 bytes. */
export function bundleOf(entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + 2 + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    if (entry.length > 0xffff) throw new RangeError('an entry of a bundle has at most 65,535 bytes');
    bytes[at] = entry.length >> 8;
    bytes[at + 1] = entry.length;
    bytes.set(entry, at + 2);
    at += 2 + entry.length;
  }
  return bytes;
}

/** The first entries of a bundle, as views on it. @throws RangeError when it ends within one. */
export function entriesOf(bundle: Uint8Array, most: number): Uint8Array[] {
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bundle.length && entries.length < most; ) {
    const end = at + 2 + ((bundle[at]! << 8) | (bundle[at + 1] ?? 0));
    if (at + 2 > bundle.length || end > bundle.length)
      throw new RangeError('the bundle ends within an entry');
    entries.push(bundle.subarray(at + 2, end));
    at = end;
  }
  return entries;
}
