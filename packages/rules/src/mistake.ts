import { editDistance } from '@cairn/failure';

/** A mistake in a rule's file and where it stands; lines and columns count from 1. */
export interface RuleMistake {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** What is wrong, and what to write instead. */
  readonly message: string;
}

/** `file:line:column: message`, as compilers say it. */
export function ruleMistakeText({ file, line, column, message }: RuleMistake): string {
  return `${file}:${line}:${column}: ${message}`;
}

/** Thrown while one rule is read, and caught where its rule began. */
export class RuleError extends Error {
  /** Offset in the file's text. */
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

const WORD_MAX = 64;

/** `; did you mean x?` for what is nearly one of these, else `; known are …`. */
export function didYouMean(word: string, known: readonly string[]): string {
  const near = known
    // What is far longer than any name is none of them, and comparing takes the product of both lengths.
    .filter(() => word.length <= WORD_MAX)
    .map((name) => ({ name, distance: editDistance(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  if (near !== undefined) return `; did you mean ${near.name}?`;
  return known.length > 0 && known.length <= 24 ? `; known are ${known.join(', ')}` : '';
}
