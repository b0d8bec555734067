/**
 * A data key at rest, under a key-encryption key:
 *
 *     wrapped := nonce (12, random) ‖ AES-256-GCM(key-encryption key, nonce, data key (32), AAD) ‖ tag (16)
 *     AAD     := "audit-dek/v1\n" org "\n" subject "\n" key id (16 bytes)
 *     commit  := HMAC-SHA256(data key, "audit-dek-commit/v1")
 *     id      := first 4 bytes of SHA-256("audit-kek-id/v1\n" ‖ key-encryption key), hex
 *
 * GCM does not commit to its key: one ciphertext can be made that opens under two keys. The commitment, which the trail holds
 * since the key was made, says which of them is meant.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hash,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { Failure } from '@cairn/failure';
import { makeSecretFile, readSecretFile } from './secret-file.ts';

export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
export const DATA_KEY_BYTES = 32;

/** Wraps the data keys of subjects. */
export interface KeyEncryptionKey {
  /** 8 hex digits; not secret. */
  readonly id: string;
  readonly secret: Uint8Array;
}

/** What a data key is bound to. */
export interface KeyPlace {
  readonly orgId: string;
  /** Token of the subject, or `organisation`. */
  readonly subject: string;
  /** 32 hex digits. */
  readonly keyId: string;
}

export const keyEncryptionKeyOf = (secret: Uint8Array): KeyEncryptionKey => ({
  id: hash('sha256', Buffer.concat([Buffer.from('audit-kek-id/v1\n'), secret]), 'hex').slice(0, 8),
  secret,
});

/** @throws Failure `keys.unreadable`, also where no file is there: it is never made by a service. */
export async function readKeyEncryptionKey(file: string): Promise<KeyEncryptionKey> {
  const secret = await readSecretFile(file, WHAT);
  if (secret === undefined)
    throw new Failure({
      code: 'keys.unreadable',
      retry: 'no',
      message: `${WHAT.name} ${file} is not there`,
      mend: `Make one with \`cairn subjects create-key\`, or restore it; it is not in the backups of the data keys.`,
    });
  return keyEncryptionKeyOf(secret);
}

/** Makes one, never in the place of another. @throws Failure `keys.exists` */
export async function makeKeyEncryptionKey(file: string): Promise<KeyEncryptionKey> {
  const { secret, isNew } = await makeSecretFile(file);
  if (isNew) return keyEncryptionKeyOf(secret);
  throw new Failure({
    code: 'keys.exists',
    retry: 'no',
    message: `${file} is there already, and nothing was changed`,
    mend: 'Name another file. What is wrapped by a key that is overwritten can never be opened again.',
  });
}

const WHAT = {
  name: 'the key-encryption key',
  mend: 'Restore it from its own backup, with mode 0600. What is wrapped by it cannot be opened without it.',
};

export function wrapKey(
  { secret }: KeyEncryptionKey,
  dataKey: Uint8Array,
  place: KeyPlace,
): Uint8Array<ArrayBuffer> {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', secret, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(placeBytes(place));
  return new Uint8Array(Buffer.concat([nonce, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]));
}

/** The data key. Whoever asks for it overwrites it after use. @throws Failure `keys.altered` */
export function unwrapKey({ secret, id }: KeyEncryptionKey, wrapped: Uint8Array, place: KeyPlace): Buffer {
  try {
    if (wrapped.length !== NONCE_BYTES + DATA_KEY_BYTES + TAG_BYTES)
      throw new RangeError(`it has ${wrapped.length} bytes`);
    const decipher = createDecipheriv('aes-256-gcm', secret, wrapped.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(placeBytes(place));
    decipher.setAuthTag(wrapped.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(wrapped.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw altered(place.keyId, `it does not unwrap under the key-encryption key ${id}`, cause);
  }
}

/** What the trail says of a data key, and what it is recognised by. 64 hex digits; tells nothing of the key. */
export const commitOf = (dataKey: Uint8Array): string =>
  createHmac('sha256', dataKey).update('audit-dek-commit/v1').digest('hex');

/** @throws Failure `keys.altered` when the key is not the one that was committed to. */
export function checkCommit(dataKey: Uint8Array, commit: string, keyId: string): void {
  if (timingSafeEqual(Buffer.from(commitOf(dataKey), 'hex'), Buffer.from(commit, 'hex'))) return;
  throw altered(keyId, 'it is not the key that was committed to');
}

const placeBytes = ({ orgId, subject, keyId }: KeyPlace): Buffer =>
  Buffer.concat([Buffer.from(`audit-dek/v1\n${orgId}\n${subject}\n`), Buffer.from(keyId, 'hex')]);

function altered(keyId: string, why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'keys.altered',
    retry: 'no',
    message: `the data key ${keyId} cannot be used: ${why}`,
    mend: 'Restore the key store from its backup, if the subject was not erased since.',
    ...(cause === undefined ? {} : { cause }),
  });
}
