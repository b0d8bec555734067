/**
 * The nodes of a range of leaves: the roots of the fewest complete aligned subtrees that cover it (schemas/ledger.md, "Nodes
 * of a range"). From leaf 0 on they are the right edge of a log's tree (RFC 6962, section 2.1), and give its root.
 *
 * One buffer of 65 bytes for each level is what a node's hash covers, so nothing is copied to be hashed:
 *
 *     offset  0    1                  33
 *             01 | left child, 32 B | right child, 32 B
 */
import { type HashBytes, type HashText, hashBytes, putHash, sha256Text } from './hash-text.ts';

const LEVELS = 53;

const nodeBytes = newLevel();

/** The hash of an inner node: SHA-256(01 ‖ left ‖ right). */
export function nodeHash(left: HashText, right: HashText): HashText {
  putHash(left, nodeBytes, 1);
  putHash(right, nodeBytes, 33);
  return sha256Text(nodeBytes);
}

/** The root of a tree without leaves: SHA-256 of nothing. */
export const EMPTY_ROOT: HashText = sha256Text(new Uint8Array());

/** A complete subtree: the leaves [index × 2^level, (index + 1) × 2^level). */
export interface Subtree {
  readonly level: number;
  readonly index: number;
}

/** The complete aligned subtrees that cover [first, end), from left to right. */
export function subtreesOf(first: number, end: number): Subtree[] {
  const subtrees: Subtree[] = [];
  let at = first;
  while (at < end) {
    let level = 0;
    let size = 1;
    while (at % (size * 2) === 0 && at + size * 2 <= end) {
      size *= 2;
      level += 1;
    }
    subtrees.push({ level, index: at / size });
    at += size;
  }
  return subtrees;
}

export class CompactRange {
  readonly first: number;
  #end: number;
  /** For each level the buffer above; its left child is set when `#held` says so. */
  readonly #levels: HashBytes[] = [];
  readonly #held: (HashText | undefined)[] = new Array(LEVELS).fill(undefined);
  /** Subtrees whose left neighbours lie before the range, from left to right. */
  readonly #edges: HashText[] = [];
  readonly #watched: number;
  readonly #onNode: ((node: HashText) => void) | undefined;

  /** @param watch told of every subtree of this level that is completed within the range, in order. */
  constructor(first = 0, watch?: { readonly level: number; readonly onNode: (node: HashText) => void }) {
    this.first = first;
    this.#end = first;
    this.#watched = watch?.level ?? -1;
    this.#onNode = watch?.onNode;
  }

  /** The range [0, size) from its nodes. */
  static of(size: number, nodes: readonly HashText[]): CompactRange {
    const range = new CompactRange();
    range.join(size, nodes);
    return range;
  }

  get end(): number {
    return this.#end;
  }

  /** Appends a leaf. */
  append(leafHash: HashText): void {
    this.#push(0, this.#end, leafHash);
    this.#end += 1;
  }

  /**
   * Appends the range [this.end, end) by its nodes.
   *
   * @returns false, and nothing is appended, when that range does not have as many nodes.
   */
  join(end: number, nodes: readonly HashText[]): boolean {
    const subtrees = subtreesOf(this.#end, end);
    if (end < this.#end || subtrees.length !== nodes.length) return false;
    for (const [at, { level, index }] of subtrees.entries()) this.#push(level, index, nodes[at]!);
    this.#end = end;
    return true;
  }

  #push(fromLevel: number, fromIndex: number, hash: HashText): void {
    let level = fromLevel;
    let index = fromIndex;
    let node = hash;
    for (;;) {
      if (level === this.#watched) this.#onNode!(node);
      if (index % 2 === 0) {
        this.#held[level] = node;
        return;
      }
      const left = this.#held[level];
      if (left === undefined) {
        this.#edges.push(node);
        return;
      }
      this.#held[level] = undefined;
      const bytes = (this.#levels[level] ??= newLevel());
      putHash(left, bytes, 1);
      putHash(node, bytes, 33);
      node = sha256Text(bytes);
      level += 1;
      index = (index - 1) / 2;
    }
  }

  /** From left to right. */
  nodes(): HashText[] {
    const nodes = [...this.#edges];
    for (let level = LEVELS - 1; level >= 0; level -= 1) {
      const held = this.#held[level];
      if (held !== undefined) nodes.push(held);
    }
    return nodes;
  }

  /** The nodes folded from the right: the root of the tree when the range begins at leaf 0. */
  root(): HashText {
    return foldNodes(this.nodes());
  }

  /** The fold of the nodes below a level alone: the root of the leaves since that level's last complete subtree. */
  rootBelow(level: number): HashText {
    return foldNodes(
      this.#held
        .slice(0, level)
        .toReversed()
        .filter((node) => node !== undefined),
    );
  }
}

function newLevel(): HashBytes {
  const bytes = hashBytes(65);
  bytes[0] = 0x01;
  return bytes;
}

/** The root over nodes from left to right, largest first. */
export function foldNodes(nodes: readonly HashText[]): HashText {
  if (nodes.length === 0) return EMPTY_ROOT;
  return nodes.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), nodes.at(-1)!);
}
