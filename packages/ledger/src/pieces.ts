import { CompactRange } from './compact-range.ts';
import type { HashText } from './hash-text.ts';

/** Leaves of a piece; that of a bundle of entries in C2SP tlog-tiles. */
export const PIECE_LEAVES = 256;
const PIECE_LEVEL = 8;

/**
 * The leaves of a range, hashed together: its nodes, and its pieces (schemas/ledger.md, "Pieces of a range"), the range cut at
 * multiples of 256 with the root of each, which say where in the range a difference lies.
 */
export class LeafRange {
  readonly #pieces: HashText[] = [];
  readonly #range: CompactRange;
  /** The piece before the first multiple of 256, which is a tree of its own. */
  readonly #head: CompactRange | undefined;
  readonly #headEnd: number;

  constructor(first: number) {
    const onNode = (node: HashText): void => void this.#pieces.push(node);
    this.#range = new CompactRange(first, { level: PIECE_LEVEL, onNode });
    this.#headEnd = Math.ceil(first / PIECE_LEAVES) * PIECE_LEAVES;
    this.#head = this.#headEnd === first ? undefined : new CompactRange();
  }

  get first(): number {
    return this.#range.first;
  }

  get end(): number {
    return this.#range.end;
  }

  append(leafHash: HashText): void {
    if (this.#range.end < this.#headEnd) this.#head!.append(leafHash);
    this.#range.append(leafHash);
  }

  nodes(): HashText[] {
    return this.#range.nodes();
  }

  pieces(): HashText[] {
    const head = this.#head === undefined || this.#head.end === 0 ? [] : [this.#head.root()];
    const isTailOpen = this.end % PIECE_LEAVES !== 0 && this.end > this.#headEnd;
    return [...head, ...this.#pieces, ...(isTailOpen ? [this.#range.rootBelow(PIECE_LEVEL)] : [])];
  }
}

/** The leaves of the range's piece of this number: [first, end). */
export function pieceAt(first: number, end: number, number: number): { first: number; end: number } {
  const start = Math.floor(first / PIECE_LEAVES) * PIECE_LEAVES + number * PIECE_LEAVES;
  return { first: Math.max(first, start), end: Math.min(end, start + PIECE_LEAVES) };
}
