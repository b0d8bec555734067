/**
 * A checkpoint (C2SP tlog-checkpoint): the signed head of a log, without extension lines.
 *
 *     origin "\n" size "\n" base64(root) "\n"
 */
import { Failure } from '@cairn/failure';
import { base64Of, bytesOfBase64 } from './base64.ts';
import { bytesOfHash, type HashText, hashAt } from './hash-text.ts';
import type { NoteKey } from './note-key.ts';
import { type NoteSigner, openNote, signNote } from './signed-note.ts';

export interface Checkpoint {
  readonly origin: string;
  /** Leaves. */
  readonly size: number;
  readonly root: HashText;
}

export const checkpointText = ({ origin, size, root }: Checkpoint): string =>
  `${origin}\n${size}\n${base64Of(bytesOfHash(root))}\n`;

/** @throws Failure `checkpoint.invalid` */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', size = '', root = '', end, ...more] = text.split('\n');
  if (origin === '' || end !== '' || more.length > 0) throw invalid('it has not three lines');
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)))
    throw invalid('its size is no number');
  let bytes: Uint8Array;
  try {
    bytes = bytesOfBase64(root);
  } catch (cause) {
    throw invalid('its root is not base64', cause);
  }
  if (bytes.length !== 32) throw invalid('its root has not 32 bytes');
  return { origin, size: Number(size), root: hashAt(bytes, 0) };
}

/** The bytes of a checkpoint's note. */
export const signCheckpoint = (checkpoint: Checkpoint, signer: NoteSigner): Uint8Array<ArrayBuffer> =>
  signNote(checkpointText(checkpoint), signer);

/**
 * The checkpoint of a note that one of the keys has signed.
 *
 * @throws Failure `checkpoint.invalid`, or of a `NoteReason`.
 */
export function openCheckpoint(note: Uint8Array, keys: readonly NoteKey[], origin: string): Checkpoint {
  const checkpoint = parseCheckpoint(openNote(note, keys).text);
  if (checkpoint.origin !== origin) throw invalid(`it is of ${checkpoint.origin} and not of ${origin}`);
  return checkpoint;
}

function invalid(why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'checkpoint.invalid',
    retry: 'no',
    message: `it is no checkpoint: ${why}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
