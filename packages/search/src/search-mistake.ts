import { editDistance, TextMistake } from '@cairn/failure';

/** A search that cannot be read. */
export class SearchMistake extends TextMistake {
  constructor(at: number, length: number, what: string, instead: string) {
    super({
      code: 'search.invalid',
      message: `column ${at + 1} of the search: ${what}`,
      at,
      length,
      instead,
    });
  }
}

/** The one of some names that was most likely meant, by edit distance; undefined when none is near. */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const lower = word.toLowerCase();
    const distance = isBeginning(name, lower) ? 1 : editDistance(lower, name);
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** One begins as the other does: `agent` and `agent_id`, `denied` and `deny`. */
function isBeginning(name: string, word: string): boolean {
  const [short, long] = name.length < word.length ? [name, word] : [word, name];
  return short.length >= 3 && long.startsWith(short.slice(0, Math.max(3, short.length - 1)));
}
