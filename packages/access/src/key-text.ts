// An API key as its owner holds it:
//
//   cairn_<id>_<secret>_<check>
//
//   id      16 hex digits; names the key in lists, logs and the trail
//   secret  64 hex digits, 256 random bits
//   check   CRC-32 of `cairn_<id>_<secret>`, 8 hex digits: secret scanners and people tell a key from what looks like one
//
// Of the whole text only the SHA-256 is kept. The secret has 256 bits, so a slow hash would protect nothing.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';

const FORM = /^cairn_([0-9a-f]{16})_([0-9a-f]{64})_([0-9a-f]{8})$/;

export interface NewKey {
  readonly id: string;
  /** Shown once, kept nowhere. */
  readonly text: string;
  /** SHA-256 of `text`, hex. */
  readonly sha256: string;
}

export function makeKey(): NewKey {
  const id = randomBytes(8).toString('hex');
  const head = `cairn_${id}_${randomBytes(32).toString('hex')}`;
  const text = `${head}_${checkOf(head)}`;
  return { id, text, sha256: hashOf(text) };
}

/** The id in the text of a key, or undefined when it is none: a word that was cut or mistyped is not looked up. */
export function keyIdOf(text: string): string | undefined {
  const [, id, secret, check] = FORM.exec(text) ?? [];
  return id !== undefined && checkOf(`cairn_${id}_${secret}`) === check ? id : undefined;
}

/** Whether a text is the key with this hash, in constant time. */
export function isKey(text: string, sha256: string): boolean {
  const wanted = Buffer.from(sha256, 'hex');
  const given = createHash('sha256').update(text).digest();
  return wanted.length === given.length && timingSafeEqual(wanted, given);
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
const checkOf = (text: string): string => crc32(text).toString(16).padStart(8, '0');
