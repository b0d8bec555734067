/**
 * What a person does to sealed values, as a signed statement (schemas/README.md, "Sealed values"): an erasure, or an unsealing. It
 * stands in the event that tells of it, and an erasure's beside the key as well. `position` is how many statements about holds
 * there were when it was signed: by it the key history says which key of the person was valid.
 */
import { z } from 'zod';
import type { KeyHistory } from './key-history.ts';
import type { NoteKey } from './note-key.ts';
import { isPersonName } from './origin.ts';
import { type NoteSigner, openNote, splitNote } from './signed-note.ts';
import { countForm, parseStatement, sha256Form, signStatement } from './statement.ts';

const said = {
  /** When it was signed, as the person says; milliseconds. */
  at: countForm,
  by: z.string().refine(isPersonName, 'is no name of a person'),
  org: z.string().min(1).max(63),
  position: countForm,
  reason: z.string().trim().min(1).max(2_000),
  v: z.literal(1),
};
const keyId = z.string().regex(/^[0-9a-f]{32}$/);
const subject = z.string().regex(/^(organisation|t1_[\w-]{22})$/);

const erasureForm = z.strictObject({
  ...said,
  /** The key's commitment, as the trail has it since the key was made. */
  commit: sha256Form,
  /** How many holds, of the retention policy and as signed, were looked at. None of those that stand covers the key. */
  holds: countForm,
  key: keyId,
  kind: z.literal('cairn/erasure'),
  subject,
});
export type Erasure = z.infer<typeof erasureForm>;

const unsealingForm = z.strictObject({
  ...said,
  /** Id of the event, as a UUID. */
  event: z.uuid(),
  kind: z.literal('cairn/unsealing'),
});
export type Unsealing = z.infer<typeof unsealingForm>;

export const signErasure = (
  words: Omit<Erasure, 'kind' | 'v'>,
  signer: NoteSigner,
): Uint8Array<ArrayBuffer> =>
  signStatement({ ...words, kind: 'cairn/erasure', v: 1 } satisfies Erasure, signer);

export const signUnsealing = (
  words: Omit<Unsealing, 'kind' | 'v'>,
  signer: NoteSigner,
): Uint8Array<ArrayBuffer> =>
  signStatement({ ...words, kind: 'cairn/unsealing', v: 1 } satisfies Unsealing, signer);

/**
 * The statement, once it was seen to be signed by the person that it names, with a key that was valid then.
 *
 * @throws Failure `statement.invalid`, or of a `NoteReason`.
 */
export const openErasure = (note: Uint8Array, keys: KeyHistory): Erasure => openAct(note, erasureForm, keys);

/** As `openErasure`. */
export const openUnsealing = (note: Uint8Array, keys: KeyHistory): Unsealing =>
  openAct(note, unsealingForm, keys);

/** The statement of a note whose signature nobody has looked at: what it says, and no more. @throws Failure `statement.invalid` */
export const parseErasure = (note: Uint8Array): Erasure => parseStatement(splitNote(note).text, erasureForm);

function openAct<Act extends { by: string; position: number }>(
  note: Uint8Array,
  form: z.ZodType<Act>,
  keys: KeyHistory,
): Act {
  const act = parseStatement(splitNote(note).text, form);
  const valid: readonly NoteKey[] = keys.keysAt('person', act.by, act.position);
  openNote(note, valid);
  return act;
}
