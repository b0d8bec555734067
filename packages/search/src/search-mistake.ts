import { Failure } from '@cairn/failure';

/** A search that cannot be read: where, and what to write instead. */
export class SearchMistake extends Failure {
  /** Characters before it, from 0. */
  readonly at: number;
  readonly length: number;
  /** What to write instead. */
  readonly instead: string;

  constructor(at: number, length: number, what: string, instead: string) {
    const message = `column ${at + 1} of the search: ${what}`;
    super({
      code: 'search.invalid',
      retry: 'no',
      message,
      publicMessage: `${message} ${instead}`,
      mend: instead,
    });
    this.at = at;
    this.length = length;
    this.instead = instead;
  }
}

/** The one of some names that was most likely meant, by edit distance; undefined when none is near. */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const lower = word.toLowerCase();
    const distance = isBeginning(name, lower) ? 1 : distanceOf(lower, name);
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** One begins as the other does: `agent` and `agent_id`, `denied` and `deny`. */
function isBeginning(name: string, word: string): boolean {
  const [short, long] = name.length < word.length ? [name, word] : [word, name];
  return short.length >= 3 && long.startsWith(short.slice(0, Math.max(3, short.length - 1)));
}

/** Levenshtein. */
function distanceOf(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const replaced = row[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[other.length]!;
}
