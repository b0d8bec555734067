/**
 * Sealed values, as they stand in `parameters_sealed` and `response_sealed`:
 *
 *     sealed := 01 ‖ block, at least one
 *     block  := key id (16) ‖ length (u32 BE, of what follows) ‖ nonce (12, random) ‖ ciphertext ‖ tag (16)
 *
 * A block is AES-256-GCM (NIST SP 800-38D) under the data key of one subject. Its plaintext is JSON, UTF-8:
 * `[{"name":<path>,"value":<text>}, …]`, with `"cut":true` where only the beginning of a value is there. What is authenticated
 * beside it binds it to its place, so that it opens nowhere else:
 *
 *     AAD := "audit-field/v1\n" org "\n" subject "\n" field "\n" event id (16) ‖ key id (16)
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Failure } from '@cairn/failure';
import { z } from 'zod';
import { NONCE_BYTES, TAG_BYTES } from './key-encryption-key.ts';

const VERSION = 1;
const KEY_ID_BYTES = 16;
const HEAD_BYTES = KEY_ID_BYTES + 4;

export type SealedField = 'parameters_sealed' | 'response_sealed';

/** Where a sealed value stands; it opens nowhere else. */
export interface ValuePlace {
  readonly orgId: string;
  readonly subject: string;
  readonly field: SealedField;
  /** 16 bytes. */
  readonly eventId: Uint8Array;
}

/** One value of a call, by its path: `customer.email`; `$` is the whole response. */
export interface NamedValue {
  readonly name: string;
  readonly value: string;
  /** Only its beginning is here. */
  readonly cut?: true | undefined;
}

export interface SealedBlock {
  /** 32 hex digits. */
  readonly keyId: string;
  /** Nonce, ciphertext, tag. */
  readonly sealed: Uint8Array;
}

const valuesForm = z.array(
  z.strictObject({ name: z.string(), value: z.string(), cut: z.literal(true).optional() }),
);

/** @param dataKey 32 bytes, of the subject. */
export function sealBlock(
  dataKey: Uint8Array,
  keyId: string,
  place: ValuePlace,
  values: readonly NamedValue[],
): SealedBlock {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', dataKey, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(placeBytes(place, keyId));
  const plain = Buffer.from(JSON.stringify(values));
  const sealed = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  plain.fill(0);
  return { keyId, sealed };
}

/** The values of a block. @throws Failure `sealed.refused` when it was not sealed with this key for this place. */
export function openBlock(
  dataKey: Uint8Array,
  { keyId, sealed }: SealedBlock,
  place: ValuePlace,
): NamedValue[] {
  try {
    const decipher = createDecipheriv('aes-256-gcm', dataKey, sealed.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(placeBytes(place, keyId));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const plain = Buffer.concat([
      decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)),
      decipher.final(),
    ]);
    return valuesForm.parse(JSON.parse(plain.toString('utf8')));
  } catch (cause) {
    throw refused(`a value under the key ${keyId} was altered, or sealed for another place`, cause);
  }
}

export function joinBlocks(blocks: readonly SealedBlock[]): Uint8Array<ArrayBuffer> {
  const parts = blocks.flatMap(({ keyId, sealed }) => {
    const head = Buffer.alloc(HEAD_BYTES);
    head.write(keyId, 'hex');
    head.writeUInt32BE(sealed.length, KEY_ID_BYTES);
    return [head, sealed];
  });
  return new Uint8Array(Buffer.concat([Uint8Array.of(VERSION), ...parts]));
}

/** @throws Failure `sealed.refused` when these are no sealed values. */
export function splitBlocks(bytes: Uint8Array): SealedBlock[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (buffer[0] !== VERSION) throw refused('the bytes are no sealed values of a known version');
  const blocks: SealedBlock[] = [];
  for (let at = 1; at < buffer.length; ) {
    const begin = at + HEAD_BYTES;
    const length = begin <= buffer.length ? buffer.readUInt32BE(begin - 4) : 0;
    if (length < NONCE_BYTES + TAG_BYTES || begin + length > buffer.length)
      throw refused('the bytes of the sealed values are cut off');
    blocks.push({
      keyId: buffer.subarray(at, at + KEY_ID_BYTES).toString('hex'),
      sealed: buffer.subarray(begin, begin + length),
    });
    at = begin + length;
  }
  if (blocks.length === 0) throw refused('there is no sealed value');
  return blocks;
}

const placeBytes = ({ orgId, subject, field, eventId }: ValuePlace, keyId: string): Buffer =>
  Buffer.concat([
    Buffer.from(`audit-field/v1\n${orgId}\n${subject}\n${field}\n`),
    eventId,
    Buffer.from(keyId, 'hex'),
  ]);

function refused(why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'sealed.refused',
    retry: 'no',
    message: why,
    mend: 'Compare the event with the archive: cairn proof, cairn verify.',
    ...(cause === undefined ? {} : { cause }),
  });
}
