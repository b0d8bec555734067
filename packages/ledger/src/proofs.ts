/** Proofs in a log's tree: made as RFC 6962, sections 2.1.1 and 2.1.2 say, verified as RFC 9162, sections 2.1.3.2 and 2.1.4.2. */
import { Failure } from '@cairn/failure';
import { CompactRange, EMPTY_ROOT, foldNodes, nodeHash, type Subtree, subtreesOf } from './compact-range.ts';
import type { HashText } from './hash-text.ts';

/**
 * What is known of a tree: leaves of the ranges that are at hand, and nodes of the others. Any node is found that can be
 * made of these.
 */
export class KnownTree {
  readonly #nodes = new Map<string, HashText>();

  /** Leaves from index `first` on. */
  addLeaves(first: number, leafHashes: Iterable<HashText>): void {
    let index = first;
    for (const hash of leafHashes) this.#nodes.set(`0/${index++}`, hash);
  }

  /** The nodes of [first, end), from left to right. */
  addNodes(first: number, end: number, nodes: readonly HashText[]): void {
    for (const [at, { level, index }] of subtreesOf(first, end).entries()) {
      const node = nodes[at];
      if (node !== undefined) this.#nodes.set(`${level}/${index}`, node);
    }
  }

  /** The root of a complete subtree. @throws Failure `proof.unknown-node` */
  node({ level, index }: Subtree): HashText {
    const name = `${level}/${index}`;
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    if (level === 0) {
      throw new Failure({
        code: 'proof.unknown-node',
        retry: 'no',
        message: `leaf ${index} is not known, nor a node above it`,
        mend: 'Give the leaves of its segment, or the nodes of its manifest.',
      });
    }
    const left = this.node({ level: level - 1, index: 2 * index });
    const node = nodeHash(left, this.node({ level: level - 1, index: 2 * index + 1 }));
    this.#nodes.set(name, node);
    return node;
  }

  /** The root of the leaves [first, end), where first is a multiple of a power of two not below end − first. */
  #rootOf(first: number, end: number): HashText {
    return foldNodes(subtreesOf(first, end).map((subtree) => this.node(subtree)));
  }

  /** The root of the tree of this size. @throws Failure `proof.unknown-node` */
  root(size: number): HashText {
    return this.#rootOf(0, size);
  }

  /**
   * The hashes that lead from a leaf to the root of the tree of a size, from the leaf's sibling upward.
   *
   * @throws Failure `proof.unknown-node`; RangeError when the tree has no such leaf.
   */
  inclusionProof(index: number, size: number): HashText[] {
    if (!(index >= 0 && index < size)) throw new RangeError(`a tree of ${size} leaves has no leaf ${index}`);
    const proof: HashText[] = [];
    let [first, end] = [0, size];
    while (end - first > 1) {
      const split = first + splitOf(end - first);
      if (index < split) {
        proof.push(this.#rootOf(split, end));
        end = split;
      } else {
        proof.push(this.#rootOf(first, split));
        first = split;
      }
    }
    return proof.reverse();
  }

  /**
   * The hashes that show that the tree of one size is the beginning of that of another.
   *
   * @throws Failure `proof.unknown-node`; RangeError when the sizes are not 0 ≤ from ≤ to.
   */
  consistencyProof(from: number, to: number): HashText[] {
    if (!(from >= 0 && from <= to)) throw new RangeError(`no consistency from ${from} to ${to} leaves`);
    if (from === 0 || from === to) return [];
    const proof: HashText[] = [];
    let [first, end, isWhole] = [0, to, true];
    while (from < end) {
      const split = first + splitOf(end - first);
      if (from <= split) {
        proof.push(this.#rootOf(split, end));
        end = split;
      } else {
        proof.push(this.#rootOf(first, split));
        first = split;
        isWhole = false;
      }
    }
    if (!isWhole) proof.push(this.#rootOf(first, end));
    return proof.reverse();
  }
}

/** The largest power of two below n. */
function splitOf(n: number): number {
  let split = 1;
  while (split * 2 < n) split *= 2;
  return split;
}

const half = (n: number): number => Math.floor(n / 2);

/** Whether the proof leads from the leaf at this index to the root of the tree of this size. */
export function verifyInclusion(
  leafHash: HashText,
  index: number,
  size: number,
  proof: readonly HashText[],
  root: HashText,
): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false;
  let node = index;
  let last = size - 1;
  let hash = leafHash;
  for (const other of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(other, hash);
      while (node % 2 === 0 && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else hash = nodeHash(hash, other);
    node = half(node);
    last = half(last);
  }
  return last === 0 && hash === root;
}

/** Whether the proof shows that the tree of size `from` and root `fromRoot` is the beginning of that of `to` and `toRoot`. */
export function verifyConsistency(
  from: number,
  fromRoot: HashText,
  to: number,
  toRoot: HashText,
  proof: readonly HashText[],
): boolean {
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || from > to) return false;
  if (from === to) return proof.length === 0 && fromRoot === toRoot;
  if (from === 0) return proof.length === 0 && fromRoot === EMPTY_ROOT;
  let node = from - 1;
  let last = to - 1;
  while (node % 2 === 1) {
    node = half(node);
    last = half(last);
  }
  // A tree that is one complete subtree is its own first hash.
  const path = node === 0 ? [fromRoot, ...proof] : proof;
  const seed = path[0];
  if (seed === undefined) return false;
  let fromHash = seed;
  let toHash = seed;
  for (const other of path.slice(1)) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      fromHash = nodeHash(other, fromHash);
      toHash = nodeHash(other, toHash);
      while (node % 2 === 0 && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else toHash = nodeHash(toHash, other);
    node = half(node);
    last = half(last);
  }
  return last === 0 && fromHash === fromRoot && toHash === toRoot;
}

/** The root of a list of leaves. */
export function rootOf(leafHashes: Iterable<HashText>): HashText {
  const range = new CompactRange();
  for (const hash of leafHashes) range.append(hash);
  return range.root();
}
