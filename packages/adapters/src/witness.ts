/**
 * The client's side of the C2SP tlog-witness protocol. A request is
 *
 *     old <size that the witness cosigned last> \n
 *     <base64 of a hash of the consistency proof> \n      at most 63 of them
 *     \n
 *     <checkpoint, a signed note>
 *
 * and the answer is one or more signature lines of a note:
 *
 *     "— " <name> " " base64(<4 bytes key id> ‖ <8 bytes seconds since 1970, big-endian> ‖ <64 bytes Ed25519>)
 *
 * whose signature (cosignature/v1 of C2SP tlog-cosignature) is over
 *
 *     cosignature/v1 \n
 *     time <seconds since 1970, decimal> \n
 *     <text of the checkpoint, to its last line feed>
 */
import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { Failure, isFailure, messageOf } from '@cairn/failure';

export interface Witness {
  /** To which `/add-checkpoint` is appended. */
  readonly url: string;
  /** `name+id+key` with a key of the kind 0x04 (Ed25519, timestamped cosignatures). */
  readonly vkey: string;
}

export interface CheckpointToWitness {
  /** The size that the witness cosigned last, as far as is known; 0 for none. */
  readonly oldSize: number;
  /** Consistency proof from the old size to the checkpoint's (RFC 6962, section 2.1.2); empty when the old size is 0 or equal. */
  readonly proof: readonly Uint8Array[];
  /** The whole signed note. */
  readonly checkpoint: string;
}

export type WitnessAnswer =
  | {
      readonly outcome: 'cosigned';
      /** The signature line with its line feed, as it is appended to the note. */
      readonly line: string;
      /** The witness's time. */
      readonly cosignedAt: Date;
    }
  /** The witness stands at another size than `oldSize`: prove from there. */
  | { readonly outcome: 'conflict'; readonly size: number };

export interface WitnessOptions {
  /** Longest wait for a whole answer; default 10,000. */
  readonly answerMsMax?: number;
}

/** Larger answers are none. A line has about 150 bytes, and a witness may send those of several keys. */
const ANSWER_BYTES_MAX = 16_384;
const PROOF_LINES_MAX = 63;

/**
 * Shows a checkpoint to a witness and returns its cosignature, which has been verified against the witness's key.
 *
 * When the answer is lost the witness may have cosigned: asking again ends in a conflict at the checkpoint's own size, and
 * asking from that size with an empty proof gives a cosignature once more.
 *
 * @throws Failure `witness.unreachable` (later): no whole answer, a 5xx, or asked to slow down
 * @throws Failure `witness.unknown-log` (no): it does not follow this log (404)
 * @throws Failure `witness.unsigned` (no): the checkpoint has no signature of the log's key that it knows (403)
 * @throws Failure `witness.inconsistent` (no): proof or root do not fit what it cosigned before (422): a fork, or a defect
 * @throws Failure `witness.refused` (no): any other refusal, or an answer that is none of this protocol
 * @throws Failure `witness.untrusted` (no): it answered without a valid cosignature of its key
 * @throws Failure `key.invalid` (no): the vkey is not one of a witness
 */
export async function addCheckpoint(
  witness: Witness,
  shown: CheckpointToWitness,
  options: WitnessOptions = {},
): Promise<WitnessAnswer> {
  const key = witnessKeyOf(witness.vkey);
  const text = textOf(shown.checkpoint);
  const { status, contentType, body } = await send(witness, key.name, requestOf(shown), options);
  switch (status) {
    case 200:
      return { outcome: 'cosigned', ...verifiedCosignature(key, text, body) };
    case 409: {
      // Without this type it is not this protocol's conflict.
      const size = contentType === 'text/x.tlog.size' && /^(0|[1-9]\d*)\n$/.test(body) ? Number(body) : -1;
      if (Number.isSafeInteger(size) && size >= 0) return { outcome: 'conflict', size };
      throw failure('refused', 'no', `${key.name} answered 409 without a size`);
    }
    case 404:
      throw failure('unknown-log', 'no', `${key.name} does not follow the log ${text.split('\n')[0]}`);
    case 403:
      throw failure('unsigned', 'no', `${key.name} knows none of the keys that signed the checkpoint`);
    case 422:
      throw failure(
        'inconsistent',
        'no',
        `${key.name} finds the checkpoint inconsistent with what it cosigned`,
      );
    default:
      if (status >= 500 || status === 429)
        throw failure('unreachable', 'later', `${key.name} answered ${status}`);
      throw failure('refused', 'no', `${key.name} answered ${status}`);
  }
}

/**
 * The cosignature of this key among signature lines, verified; lines of other keys are passed over.
 *
 * @param text of the checkpoint: the note up to its blank line, with the line feed before it.
 * @throws Failure `witness.untrusted` (no)
 */
export function verifiedCosignature(
  key: WitnessKey,
  text: string,
  lines: string,
): { readonly line: string; readonly cosignedAt: Date } {
  for (const line of lines.split('\n')) {
    const [, name, encoded = ''] = /^— (\S+) ([A-Za-z0-9+/]+={0,2})$/u.exec(line) ?? [];
    const bytes = Buffer.from(encoded, 'base64');
    const keyId = bytes.subarray(0, 4).toString('hex');
    if (name !== key.name || keyId !== key.keyId) continue;
    if (bytes.length !== 76 || bytes.toString('base64') !== encoded) continue;
    const seconds = bytes.readBigUInt64BE(4);
    // A Date ends at 8.64e12 seconds.
    if (seconds === 0n || seconds > 8_640_000_000_000n) continue;
    const message = Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);
    if (!verify(null, message, key.publicKey, bytes.subarray(12))) continue;
    return { line: `${line}\n`, cosignedAt: new Date(Number(seconds) * 1000) };
  }
  throw failure('untrusted', 'no', `the answer has no valid cosignature of ${key.name}`);
}

export interface WitnessKey {
  readonly name: string;
  /** 8 hex digits. */
  readonly keyId: string;
  readonly publicKey: KeyObject;
}

/** First byte of a key that makes timestamped Ed25519 cosignatures. C2SP signed-note. */
const COSIGNATURE_V1 = 0x04;

/** @throws Failure `key.invalid` */
export function witnessKeyOf(vkey: string): WitnessKey {
  const [, name = '', keyId = '', encoded = ''] =
    /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u.exec(vkey) ?? [];
  const bytes = Buffer.from(encoded, 'base64');
  const right = hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), bytes]), 'hex').slice(0, 8);
  if (bytes.length !== 33 || bytes[0] !== COSIGNATURE_V1 || keyId !== right)
    throw new Failure({
      code: 'key.invalid',
      retry: 'no',
      message: `${JSON.stringify(vkey.slice(0, 200))} is not the key of a witness`,
      mend: 'Give the line name+id+key that the witness publishes for its cosignatures.',
    });
  const x = bytes.subarray(1).toString('base64url');
  return {
    name,
    keyId,
    publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }),
  };
}

function requestOf({ oldSize, proof, checkpoint }: CheckpointToWitness): string {
  if (proof.length > PROOF_LINES_MAX)
    throw failure('refused', 'no', `a proof has at most ${PROOF_LINES_MAX} hashes`);
  const lines = proof.map((node) => `${Buffer.from(node).toString('base64')}\n`);
  return `old ${oldSize}\n${lines.join('')}\n${checkpoint}`;
}

/** The signed text of a note: all before its last blank line, with the line feed. */
function textOf(note: string): string {
  const end = note.lastIndexOf('\n\n');
  if (end < 0) throw failure('refused', 'no', 'the checkpoint is not a signed note');
  return note.slice(0, end + 1);
}

interface Answer {
  readonly status: number;
  readonly contentType: string | null;
  readonly body: string;
}

async function send(
  { url }: Witness,
  name: string,
  request: string,
  { answerMsMax = 10_000 }: WitnessOptions,
): Promise<Answer> {
  try {
    const answer = await fetch(`${url.replace(/\/+$/, '')}/add-checkpoint`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain; charset=utf-8' },
      body: request,
      redirect: 'error',
      signal: AbortSignal.timeout(answerMsMax),
    });
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of answer.body ?? []) {
      bytes += piece.length;
      if (bytes > ANSWER_BYTES_MAX) throw failure('refused', 'no', `${name} answered with too many bytes`);
      pieces.push(piece);
    }
    return {
      status: answer.status,
      contentType: answer.headers.get('content-type'),
      body: Buffer.concat(pieces).toString('utf8'),
    };
  } catch (error) {
    if (isFailure(error)) throw error;
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw failure('unreachable', 'later', `${name} did not answer: ${messageOf(cause)}`, error);
  }
}

function failure(what: string, retry: 'later' | 'no', message: string, cause?: unknown): Failure {
  return new Failure({ code: `witness.${what}`, retry, message: `the witness: ${message}`, cause });
}
