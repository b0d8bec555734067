/**
 * Keys as signed-note verifier keys (C2SP signed-note):
 *
 *     <name> "+" <id, 8 hex digits> "+" base64(0x01 ‖ Ed25519 public key)
 *     id = SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[0..4]
 *
 * The name of a gateway's key is `<deployment>/<org>/gw/<gateway>`. A witness's key has 0x04 for 0x01 (C2SP
 * tlog-cosignature).
 */
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { bytesOfHex, hexOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { base64Of, base64UrlOf, bytesOfBase64 } from './base64.ts';

/** Ed25519 over the note's text, or with the time before it, as witnesses sign. */
export type SignatureType = 0x01 | 0x04;

export interface NoteKey {
  readonly name: string;
  readonly type: SignatureType;
  /** 8 hex digits; `key_id` of an event. */
  readonly keyId: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The whole line that a verifier is given. */
  readonly vkey: string;
}

const ED25519 = 0x01;
const COSIGNATURE = 0x04;

/** White space as Unicode and as ECMAScript have it, and what splits a verifier key. */
const NOT_IN_NAMES = /[\s\u0085+]/u;

/**
 * @param publicKey raw Ed25519 key, 32 bytes.
 * @throws Failure `key.invalid`
 */
export function noteKeyOf(name: string, publicKey: Uint8Array, type: SignatureType = ED25519): NoteKey {
  if (name === '' || NOT_IN_NAMES.test(name))
    throw invalid(`the name "${name}" is empty or holds a space or a plus`);
  if (publicKey.length !== 32) throw invalid(`an Ed25519 key has 32 bytes, not ${publicKey.length}`);
  const nameBytes = encoder.encode(name);
  const preimage = new Uint8Array(nameBytes.length + 34);
  preimage.set(nameBytes);
  preimage[nameBytes.length] = 0x0a;
  preimage[nameBytes.length + 1] = type;
  preimage.set(publicKey, nameBytes.length + 2);
  const keyId = hexOf(hash('sha256', preimage, 'buffer').subarray(0, 4));
  const vkey = `${name}+${keyId}+${base64Of(preimage.subarray(nameBytes.length + 1))}`;
  return { name, type, keyId, publicKey: publicKey.slice(), vkey };
}

/** @throws Failure `key.invalid` when the line is no verifier key or its id does not belong to it. */
export function parseVkey(vkey: string): NoteKey {
  const parts = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/u.exec(vkey);
  if (parts === null) throw invalid('it is not of the form name+id+key');
  const [, name = '', id = '', encoded = ''] = parts;
  let bytes: Uint8Array;
  try {
    bytes = bytesOfBase64(encoded);
  } catch (cause) {
    throw invalid('its key is not base64', cause);
  }
  const [type] = bytes;
  if ((type !== ED25519 && type !== COSIGNATURE) || bytes.length !== 33)
    throw invalid('it is not an Ed25519 key');
  const key = noteKeyOf(name, bytes.subarray(1), type);
  if (hexOf(bytesOfHex(id)) !== key.keyId) throw invalid(`its id is ${id} and should be ${key.keyId}`);
  return key;
}

/** The key object that verifies with a raw Ed25519 key of 32 bytes. */
export function publicKeyOf(raw: Uint8Array): KeyObject {
  const x = base64UrlOf(raw);
  const known = keyObjects.get(x);
  if (known !== undefined) return known;
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  if (keyObjects.size >= KEY_OBJECTS_MAX) keyObjects.clear();
  keyObjects.set(x, key);
  return key;
}

/** To make one costs a fifth of verifying with it, and a verifier needs the same few over and over. */
const keyObjects = new Map<string, KeyObject>();
const KEY_OBJECTS_MAX = 4_096;

const encoder = new TextEncoder();

function invalid(why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'key.invalid',
    retry: 'no',
    message: `the verifier key cannot be used: ${why}`,
    mend: 'Give the line that the gateway wrote beside its private key.',
    ...(cause === undefined ? {} : { cause }),
  });
}
