/** The entries of one round of the anchor log (schemas/ledger.md, "Anchor log"), and how much one holds: the rest is of the next. */
import { entriesOf } from './tiles.ts';

export const ROUND_ENTRIES_MAX = 65_536;
export const ROUND_BYTES_MAX = 64 * 1024 ** 2;

/** As many of the notes, from the first on, as one round holds. */
export function roundFrom(notes: readonly Uint8Array[]): Uint8Array[] {
  let bytes = 0;
  const end = notes.findIndex((note, at) => {
    bytes += 2 + note.length;
    return at === ROUND_ENTRIES_MAX || bytes > ROUND_BYTES_MAX;
  });
  return notes.slice(0, end < 0 ? notes.length : end);
}

/** The notes of a round, as views on it. @throws RangeError for one that has none, more than a round holds, or ends within one. */
export function notesOfRound(bundle: Uint8Array): Uint8Array[] {
  if (bundle.length === 0) throw new RangeError('the round has no entry');
  if (bundle.length > ROUND_BYTES_MAX)
    throw new RangeError(`the round has more than ${ROUND_BYTES_MAX} bytes`);
  const notes = entriesOf(bundle, ROUND_ENTRIES_MAX + 1);
  if (notes.length > ROUND_ENTRIES_MAX)
    throw new RangeError(`the round has more than ${ROUND_ENTRIES_MAX} entries`);
  return notes;
}
