import { Failure } from '@cairn/failure';
import { HoldHistory, type HoldStatement, holdName, type KeyHistory, parseObjectName } from '@cairn/ledger';
import { firstVersions } from './first-versions.ts';
import type { ObjectStore } from './object-store.ts';

/** Where statements about holds are kept: a bucket, or a directory with its names. */
export interface HoldNotes {
  /** The objects whose names begin so, rising, each by the version that was put first. */
  list(prefix: string): AsyncIterable<{ readonly name: string; readonly version: string }>;
  /** Undefined when it is not there. */
  read(name: string, bytesMax: number, version?: string): Promise<Uint8Array | undefined>;
  /** Puts an object where none is, locked until then; one that is there stays as it is. */
  create(name: string, bytes: Uint8Array, until: Date): Promise<'created' | 'exists'>;
}

const STATEMENT_BYTES_MAX = 65_536;

/**
 * The statements about holds, whole: where one does not count, nothing does, since a hold that is not seen would be a deletion.
 *
 * @throws Failure as `HoldHistory.add`; of the store.
 */
export async function readHolds(
  notes: Pick<HoldNotes, 'list' | 'read'>,
  keys: KeyHistory,
): Promise<HoldHistory> {
  const history = new HoldHistory(keys);
  for await (const note of holdNotesIn(notes)) history.add(note);
  return history;
}

/** The notes under `hold/`, in order. */
export async function* holdNotesIn(notes: Pick<HoldNotes, 'list' | 'read'>): AsyncGenerator<Uint8Array> {
  for await (const { name, version } of notes.list('hold/')) {
    if (parseObjectName(name)?.kind !== 'hold') continue;
    yield (await notes.read(name, STATEMENT_BYTES_MAX, version)) ?? new Uint8Array();
  }
}

/**
 * Adds a signed statement, once it was seen to count. Whoever holds no private key can call it with a note that a person has
 * signed. Safe to repeat with the same note: an earlier try whose answer was lost is recognised.
 *
 * 1. Everything that was stated is read, and the note must count as the next statement.
 * 2. The note is put under its number, where none is. COMMIT POINT: from then on it stands.
 *
 * @param until the store refuses to delete it before.
 * @throws Failure as `HoldHistory.add`; `hold.raced` (yes) when another one took the number: sign anew; of the store.
 */
export async function addHold(
  notes: HoldNotes,
  keys: KeyHistory,
  note: Uint8Array,
  until: Date,
): Promise<HoldStatement> {
  const history = new HoldHistory(keys);
  for await (const earlier of holdNotesIn(notes)) {
    const statement = history.add(earlier);
    if (Buffer.compare(earlier, note) === 0) return statement;
  }
  const statement = history.add(note);
  const name = holdName(statement.number);
  if ((await notes.create(name, note, until)) === 'created') return statement;
  const kept = await notes.read(name, STATEMENT_BYTES_MAX);
  if (kept !== undefined && Buffer.compare(kept, note) === 0) return statement;
  throw new Failure({
    code: 'hold.raced',
    retry: 'yes',
    message: `another statement took the name ${name} meanwhile`,
    mend: 'Run it again: the statement is signed anew, behind the other one.',
  });
}

/** Statements in a bucket. */
export function holdNotesOf(store: Pick<ObjectStore, 'listVersions' | 'get' | 'putLocked'>): HoldNotes {
  return {
    async *list(prefix) {
      for await (const { key, version } of firstVersions(store, prefix)) yield { name: key, version };
    },
    read: (name, bytesMax, version) => store.get(name, { bytesMax, version }),
    async create(name, bytes, until) {
      return (await store.putLocked(name, bytes, { mode: 'COMPLIANCE', retainUntil: until })).outcome;
    },
  };
}
