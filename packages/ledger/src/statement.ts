/**
 * A statement is the text of a signed note that is one line of canonical JSON (RFC 8785) and a newline. Its members are
 * exactly those of its kind; numbers are integers that a double holds.
 */
import { Failure } from '@cairn/failure';
import canonicalize from 'canonicalize';
import { z } from 'zod';
import type { NoteKey } from './note-key.ts';
import { type NoteSigner, openNote, signNote } from './signed-note.ts';

/** SHA-256, 64 digits of lower-case hex. */
export const sha256Form = z.string().regex(/^[0-9a-f]{64}$/);
/** A count, an index, a position, milliseconds or microseconds. */
export const countForm = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
export const timeForm = z.int().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER);
export const textForm = z.string().max(65_536);

/** The bytes of a statement's note. */
export const signStatement = (statement: object, signer: NoteSigner): Uint8Array<ArrayBuffer> =>
  signNote(statementText(statement), signer);

export function statementText(statement: object): string {
  return `${canonicalize(statement)}\n`;
}

/**
 * The statement of a note that one of the keys has signed.
 *
 * @throws Failure `statement.invalid`, or of a `NoteReason`.
 */
export const openStatement = <Statement>(
  note: Uint8Array,
  keys: readonly NoteKey[],
  form: z.ZodType<Statement>,
): Statement => parseStatement(openNote(note, keys).text, form);

/** @throws Failure `statement.invalid` */
export function parseStatement<Statement>(text: string, form: z.ZodType<Statement>): Statement {
  let value: unknown;
  try {
    value = JSON.parse(text);
    if (`${canonicalize(value)}\n` !== text) throw new RangeError('it is not canonical JSON and a newline');
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : 'it is not JSON', cause);
  }
  const parsed = form.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalid(`${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'does not fit'}`, parsed.error);
}

function invalid(why: string, cause: unknown): Failure {
  return new Failure({
    code: 'statement.invalid',
    retry: 'no',
    message: `the statement cannot be read: ${why.slice(0, 300)}`,
    cause,
  });
}
