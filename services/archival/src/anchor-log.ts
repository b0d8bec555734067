import { isFailure, messageOf } from '@cairn/failure';
import {
  anchorOrigin,
  CompactRange,
  EMPTY_ROOT,
  type HashText,
  KnownTree,
  noteLeafHash,
  notesOfRound,
  openCheckpoint,
  parseCheckpoint,
  parseObjectName,
  ROUND_BYTES_MAX,
  splitNote,
} from '@cairn/ledger';
import { archiveBroken, type KnownKeys } from './known-keys.ts';
import { type ArchiveStore, readObjects } from './store-object.ts';

const CHECKPOINT_BYTES_MAX = 65_536;

/** A note that the anchor log holds, by what it is about. */
export type AnchoredNote =
  | { readonly kind: 'checkpoint'; readonly origin: string; readonly size: number }
  | { readonly kind: 'tombstone'; readonly origin: string; readonly first: number; readonly end: number };

interface AnchorLeaf {
  readonly hash: HashText;
  readonly note: AnchoredNote;
}

/** What an entry of the anchor log is. @throws Failure when it is neither a checkpoint nor a tombstone. */
export function anchoredNote(origin: string, note: Uint8Array): AnchoredNote {
  const { text } = splitNote(note);
  if (!text.startsWith('{')) {
    const { origin: of, size } = parseCheckpoint(text);
    return { kind: 'checkpoint', origin: of, size };
  }
  const { kind, origin: of, first, end } = JSON.parse(text) as Record<string, unknown>;
  if (
    kind === 'cairn/tombstone' &&
    typeof of === 'string' &&
    typeof first === 'number' &&
    typeof end === 'number'
  )
    return { kind: 'tombstone', origin: of, first, end };
  throw archiveBroken(origin, 'an entry is neither a checkpoint nor a tombstone');
}

/**
 * The anchor log as the bucket has it: one small log for each deployment, whose leaves are the checkpoints of all partitions'
 * logs and the tombstones. It is read once and then followed.
 */
export class AnchorLog {
  readonly origin: string;
  readonly #tree = new CompactRange();
  readonly #leaves: HashText[] = [];
  readonly #sizes = new Map<string, number>();
  readonly #tombstones = new Set<string>();

  constructor(deployment: string) {
    this.origin = anchorOrigin(deployment);
  }

  /** Entries that its latest checkpoint covers. */
  get size(): number {
    return this.#leaves.length;
  }

  get root(): HashText {
    return this.size === 0 ? EMPTY_ROOT : this.#tree.root();
  }

  /** The greatest size of a log's checkpoints that is anchored; 0 when none is. */
  sizeOf(origin: string): number {
    return this.#sizes.get(origin) ?? 0;
  }

  holdsTombstone(origin: string, first: number): boolean {
    return this.#tombstones.has(`${origin} ${first}`);
  }

  /** The root with more entries, which are not appended. */
  rootWith(entries: readonly Uint8Array[]): HashText {
    return this.#rootWith(entries.map(noteLeafHash));
  }

  append(entries: readonly Uint8Array[]): void {
    this.#append(entries.map((entry) => this.#leafOf(entry)));
  }

  #leafOf(entry: Uint8Array): AnchorLeaf {
    return { hash: noteLeafHash(entry), note: anchoredNote(this.origin, entry) };
  }

  #rootWith(hashes: readonly HashText[]): HashText {
    const tree = CompactRange.of(this.#tree.end, this.#tree.nodes());
    for (const hash of hashes) tree.append(hash);
    return tree.root();
  }

  #append(leaves: readonly AnchorLeaf[]): void {
    for (const { hash, note } of leaves) {
      this.#tree.append(hash);
      this.#leaves.push(hash);
      if (note.kind === 'tombstone') this.#tombstones.add(`${note.origin} ${note.first}`);
      else this.#sizes.set(note.origin, Math.max(note.size, this.sizeOf(note.origin)));
    }
  }

  /** Shows a witness that its tree is the beginning of this one. RFC 6962, section 2.1.2. */
  consistencyProof(fromSize: number): HashText[] {
    const tree = new KnownTree();
    tree.addLeaves(0, this.#leaves);
    return tree.consistencyProof(fromSize, this.size);
  }

  /**
   * Reads what the bucket has beyond what is known.
   *
   * @throws Failure `archive.broken` when its entries do not lead to its latest checkpoint.
   */
  async catchUp(store: ArchiveStore, keys: KnownKeys): Promise<void> {
    let latest: { readonly size: number; readonly note: Uint8Array } | undefined;
    const sizeIn = (key: string): number => {
      const name = parseObjectName(key);
      return name?.kind === 'anchor-checkpoint' ? name.size : -1;
    };
    const isNew = (key: string): boolean => sizeIn(key) > this.size;
    for await (const { object, bytes } of readObjects(
      store,
      'anchor/checkpoint/',
      CHECKPOINT_BYTES_MAX,
      isNew,
    ))
      latest = { size: sizeIn(object.key), note: bytes };
    if (latest === undefined) return;
    const { size, note } = latest;
    const root = this.#opened(note, keys, size);
    // Of each entry what is kept of it in any case, and not its bytes: the first read is of all there are.
    const leaves: AnchorLeaf[] = [];
    const firstIn = (key: string): number => {
      const name = parseObjectName(key);
      return name?.kind === 'anchor-entries' ? name.first : -1;
    };
    const isMissing = (key: string): boolean => firstIn(key) >= this.size && firstIn(key) < size;
    for await (const { object, bytes } of readObjects(store, 'anchor/entries/', ROUND_BYTES_MAX, isMissing)) {
      if (firstIn(object.key) !== this.size + leaves.length)
        throw archiveBroken(this.origin, `entry ${this.size + leaves.length} is missing`);
      for (const entry of notesOfRound(bytes)) leaves.push(this.#read(entry, this.size + leaves.length));
    }
    if (this.size + leaves.length !== size || this.#rootWith(leaves.map(({ hash }) => hash)) !== root)
      throw archiveBroken(this.origin, 'its entries do not lead to its checkpoint');
    this.#append(leaves);
  }

  #read(entry: Uint8Array, index: number): AnchorLeaf {
    try {
      return this.#leafOf(entry);
    } catch (error) {
      if (isFailure(error, 'archive.broken')) throw error;
      throw archiveBroken(this.origin, `its entry ${index} cannot be read: ${messageOf(error)}`, error);
    }
  }

  #opened(note: Uint8Array, keys: KnownKeys, size: number): HashText {
    try {
      const checkpoint = openCheckpoint(note, keys.anchor(this.origin, size), this.origin);
      if (checkpoint.size === size) return checkpoint.root;
    } catch (error) {
      if (!isFailure(error)) throw error;
      throw archiveBroken(this.origin, `its checkpoint of ${size} does not open: ${messageOf(error)}`, error);
    }
    throw archiveBroken(this.origin, `its checkpoint named ${size} is of another size`);
  }
}
