/**
 * A proof as a file (C2SP tlog-proof, `.tlog-proof`): that an entry is in a log, with the checkpoint that says so.
 *
 *     c2sp.org/tlog-proof@v1
 *     extra <base64>
 *     index <decimal>
 *     <base64 hash>, one a line, from the leaf's sibling upward
 *
 *     <checkpoint note>
 */
import { textOf, utf8 } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { base64Of, bytesOfBase64 } from './base64.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { bytesOfHash, type HashText, hashAt, sha256Text } from './hash-text.ts';
import type { NoteKey } from './note-key.ts';
import { verifyInclusion } from './proofs.ts';

export interface TlogProof {
  /** The entry. */
  readonly extra: Uint8Array;
  /** Leaf. */
  readonly index: number;
  readonly hashes: readonly HashText[];
  /** The checkpoint's whole note. */
  readonly checkpoint: Uint8Array;
}

const FORM = 'c2sp.org/tlog-proof@v1';
const HASHES_MAX = 63;

export function formatTlogProof({ extra, index, hashes, checkpoint }: TlogProof): Uint8Array<ArrayBuffer> {
  const lines = [
    FORM,
    `extra ${base64Of(extra)}`,
    `index ${index}`,
    ...hashes.map((hash) => base64Of(bytesOfHash(hash))),
  ];
  return utf8(`${lines.join('\n')}\n\n${textOf(checkpoint)}`);
}

/** @throws Failure `proof.invalid` */
export function parseTlogProof(bytes: Uint8Array): TlogProof {
  try {
    const text = textOf(bytes);
    const at = text.indexOf('\n\n');
    const [form, extra = '', index = '', ...hashes] = text.slice(0, Math.max(at, 0)).split('\n');
    if (at < 0 || form !== FORM) throw new RangeError('it does not begin as a proof');
    if (!extra.startsWith('extra ')) throw new RangeError('it does not hold its entry');
    const [, digits] = /^index (0|[1-9][0-9]{0,15})$/.exec(index) ?? [];
    if (digits === undefined) throw new RangeError('it has no index');
    if (hashes.length > HASHES_MAX) throw new RangeError('it has too many hashes');
    return {
      extra: bytesOfBase64(extra.slice('extra '.length)),
      index: Number(digits),
      hashes: hashes.map(hashOfBase64),
      checkpoint: utf8(text.slice(at + 2)),
    };
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : 'it cannot be read', cause);
  }
}

/**
 * Whether the entry of a proof is in the log whose keys are given.
 *
 * @returns the checkpoint that it is in.
 * @throws Failure `proof.invalid`, `checkpoint.invalid`, or of a `NoteReason`.
 */
export function verifyTlogProof(proof: TlogProof, keys: readonly NoteKey[], origin: string): Checkpoint {
  const checkpoint = openCheckpoint(proof.checkpoint, keys, origin);
  const leaf = new Uint8Array(1 + proof.extra.length);
  leaf.set(proof.extra, 1);
  if (verifyInclusion(sha256Text(leaf), proof.index, checkpoint.size, proof.hashes, checkpoint.root))
    return checkpoint;
  throw invalid('its hashes do not lead from the entry to the root of its checkpoint');
}

function hashOfBase64(text: string): HashText {
  const bytes = bytesOfBase64(text);
  if (bytes.length !== 32) throw new RangeError('a hash has not 32 bytes');
  return hashAt(bytes, 0);
}

function invalid(why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'proof.invalid',
    retry: 'no',
    message: `the proof does not hold: ${why}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
