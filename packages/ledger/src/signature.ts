import { type KeyObject, sign, verify } from 'node:crypto';
import { bodyOf, signedBytes } from '@cairn/event';
import { publicKeyOf } from './note-key.ts';

/**
 * The Ed25519 signature (64 bytes, RFC 8032) of a datum whose signature field is filled with 64 bytes of anything: what is
 * signed ends before that field.
 */
export function signDatum(
  privateKey: KeyObject,
  schemaId: number,
  datum: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return sign(null, signedBytes(schemaId, bodyOf(datum, true)), privateKey);
}

/**
 * Whether a signed datum's own signature is that of this key.
 *
 * @param publicKey raw Ed25519 key, 32 bytes.
 * @param datum a walked datum that is signed.
 */
export function verifyDatum(publicKey: Uint8Array, schemaId: number, datum: Uint8Array): boolean {
  const signature = datum.subarray(datum.length - 64);
  return verify(null, signedBytes(schemaId, bodyOf(datum, true)), publicKeyOf(publicKey), signature);
}
