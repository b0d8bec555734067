import { createPublicKey, hash, type KeyObject, sign } from 'node:crypto';
import { bodyOf, signedBytes } from '@cairn/event';

export function genesisHash(
  orgId: string,
  gatewayId: string,
  epoch: number,
  previousHead: Uint8Array,
): Uint8Array {
  const e = Buffer.alloc(8);
  e.writeBigUInt64BE(BigInt(epoch));
  const bytes = Buffer.concat([Buffer.from(`audit-genesis/v1\n${orgId}\n${gatewayId}\n`), e, previousHead]);
  return hash('sha256', bytes, 'buffer');
}

export function noteKeyOf(name: string, raw: Uint8Array): { vkey: string; keyId: string } {
  const key = Buffer.concat([Buffer.from([1]), raw]);
  const keyId = hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), key]), 'hex').slice(0, 8);
  return { vkey: `${name}+${keyId}+${key.toString('base64')}`, keyId };
}

export function signDatum(privateKey: KeyObject, schemaId: number, datum: Uint8Array): Uint8Array {
  void createPublicKey;
  return sign(null, signedBytes(schemaId, bodyOf(datum, true)), privateKey);
}
