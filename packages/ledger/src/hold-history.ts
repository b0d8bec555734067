/**
 * Legal holds as signed statements (schemas/ledger.md, "Legal holds"): `hold/<number>.note`, numbered, each naming the hash of
 * the one before, each signed by the person who makes it. One person places a hold; it stands until two different persons, with
 * two different keys, have signed its release. What is written is locked, so that no hold can be taken back or left out.
 */
import { hexOf } from '@cairn/event';
import { Failure, isFailure } from '@cairn/failure';
import { z } from 'zod';
import { hexOfHash, sha256Hex, ZERO_HASH } from './hash-text.ts';
import type { KeyHistory } from './key-history.ts';
import type { NoteKey } from './note-key.ts';
import { isPersonName } from './origin.ts';
import { type NoteSigner, openNote, splitNote } from './signed-note.ts';
import { countForm, parseStatement, sha256Form, signStatement } from './statement.ts';

const holdId = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);

const holdStatementForm = z.strictObject({
  act: z.enum(['place', 'release']),
  agent: z.string().min(1).max(128).nullable(),
  /** When it was signed, as the person says; milliseconds. */
  at: countForm,
  by: z.string().refine(isPersonName, 'is no name of a person'),
  /** Of the events' own time, milliseconds; `to` not included. */
  from: countForm.nullable(),
  hold: holdId,
  kind: z.literal('cairn/hold'),
  number: countForm,
  org: z.string().min(1).max(63).nullable(),
  previous: sha256Form,
  reason: z.string().trim().min(1).max(2_000),
  session: z.string().min(1).max(256).nullable(),
  to: countForm.nullable(),
  v: z.literal(1),
});
export type HoldStatement = z.infer<typeof holdStatementForm>;

/** The note of a statement behind those that somebody else has read. @param next what their history says of the next one. */
export const signHold = (
  words: HoldWords,
  next: HoldHistory['next'],
  signer: NoteSigner,
): Uint8Array<ArrayBuffer> =>
  signStatement({ ...words, ...next, kind: 'cairn/hold', v: 1 } satisfies HoldStatement, signer);

/** What a note says whose signature nobody has looked at, and no more. @throws Failure `statement.invalid`, or of a `NoteReason`. */
export const parseHold = (note: Uint8Array): HoldStatement =>
  parseStatement(splitNote(note).text, holdStatementForm);

/** What a person says; number and link are those of the history. */
export type HoldWords = Omit<HoldStatement, 'kind' | 'number' | 'previous' | 'v'>;

/** One person's signature under the release of a hold. */
export interface HoldRelease {
  readonly by: string;
  readonly at: number;
  readonly reason: string;
}

/** A hold as its statements have it. */
export interface SignedHold {
  readonly id: string;
  readonly org: string | undefined;
  readonly session: string | undefined;
  readonly agent: string | undefined;
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly reason: string;
  readonly placedBy: string;
  readonly placedAt: number;
  /** None, one, or the two that end it. */
  readonly releases: readonly HoldRelease[];
}

/** Persons whose signatures end a hold. */
export const RELEASES_NEEDED = 2;

interface Placed extends SignedHold {
  readonly releases: HoldRelease[];
  /** Public keys that signed for its release, hex: two names with one key are one person. */
  readonly keys: Set<string>;
}

export class HoldHistory {
  readonly #keys: KeyHistory;
  readonly #holds = new Map<string, Placed>();
  #next = 0;
  #previous = hexOfHash(ZERO_HASH);

  /** @param keys says which person's key is valid at which number. */
  constructor(keys: KeyHistory) {
    this.#keys = keys;
  }

  /** The number and the `previous` of the next statement. */
  get next(): { readonly number: number; readonly previous: string } {
    return { number: this.#next, previous: this.#previous };
  }

  /** Every hold that was ever placed, in order. */
  get holds(): readonly SignedHold[] {
    return [...this.#holds.values()];
  }

  /** The note of the next statement. It counts once `add` has taken it. */
  sign(words: HoldWords, signer: NoteSigner): Uint8Array<ArrayBuffer> {
    return signHold(words, this.next, signer);
  }

  /**
   * The next statement.
   *
   * @throws Failure `hold-history.invalid`, `statement.invalid`, or of a `NoteReason`. Then nothing has changed.
   */
  add(note: Uint8Array): HoldStatement {
    const statement = parseStatement(splitNote(note).text, holdStatementForm);
    const { number, previous, by } = statement;
    if (number !== this.#next) throw invalid(`statement ${this.#next} is missing before statement ${number}`);
    if (previous !== this.#previous) throw invalid(`statement ${number} does not follow the one before it`);
    // Who says it is believed when a key of that person has signed that they do.
    const { signedBy } = openNote(note, this.#keys.keysAt('person', by, number));
    if (statement.act === 'place') this.#place(statement);
    else this.#release(statement, signedBy[0]!);
    this.#next += 1;
    this.#previous = sha256Hex(note);
    return statement;
  }

  #place(statement: HoldStatement): void {
    const { hold: id, org, session, agent, from, to, reason, by, at } = statement;
    if (this.#holds.has(id)) throw invalid(`hold ${id} was placed before`);
    if ([org, session, agent, from, to].every((part) => part === null))
      throw invalid(`hold ${id} says nothing of what it covers`);
    if (from !== null && to !== null && to <= from) throw invalid(`hold ${id} ends before it begins`);
    this.#holds.set(id, {
      id,
      org: org ?? undefined,
      session: session ?? undefined,
      agent: agent ?? undefined,
      from: from ?? undefined,
      to: to ?? undefined,
      reason,
      placedBy: by,
      placedAt: at,
      releases: [],
      keys: new Set(),
    });
  }

  #release({ hold: id, org, session, agent, from, to, by, at, reason }: HoldStatement, key: NoteKey): void {
    const hold = this.#holds.get(id);
    if (hold === undefined) throw invalid(`there is no hold ${id}`);
    if ([org, session, agent, from, to].some((part) => part !== null))
      throw invalid(`the release of hold ${id} names what it covers: it is released as a whole`);
    if (hold.releases.length >= RELEASES_NEEDED) throw invalid(`hold ${id} was released before`);
    const person = hexOf(key.publicKey);
    if (hold.keys.has(person) || hold.releases.some((release) => release.by === by))
      throw invalid(`hold ${id} needs a second person: ${by} has signed its release already`);
    hold.keys.add(person);
    hold.releases.push({ by, at, reason });
  }
}

/** Whether the statement cannot count, whoever reads it; other failures say nothing of it. */
export const isHoldRefusal = (error: unknown): boolean =>
  isFailure(error) && /^(?:hold-history|statement|note|key)\./.test(error.code);

function invalid(why: string): Failure {
  return new Failure({
    code: 'hold-history.invalid',
    retry: 'no',
    message: `the statement about a hold does not count: ${why}`,
    mend: 'Run: cairn holds list.',
  });
}
