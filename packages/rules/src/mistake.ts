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

/** `; did you mean x?` for what is nearly one of these, else `; known are …`. */
export function didYouMean(word: string, known: readonly string[]): string {
  const near = known
    .map((name) => ({ name, distance: distanceOf(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  if (near !== undefined) return `; did you mean ${near.name}?`;
  return known.length > 0 && known.length <= 24 ? `; known are ${known.join(', ')}` : '';
}

/** Levenshtein. */
function distanceOf(a: string, b: string): number {
  if (a.length > 64 || b.length > 64) return 64;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let at = 1; at <= a.length; at += 1) {
    const next = [at];
    for (let to = 1; to <= b.length; to += 1) {
      next.push(
        Math.min(
          (row[to] ?? 0) + 1,
          (next[to - 1] ?? 0) + 1,
          (row[to - 1] ?? 0) + (a[at - 1] === b[to - 1] ? 0 : 1),
        ),
      );
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
