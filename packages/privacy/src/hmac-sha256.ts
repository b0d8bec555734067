import { hash } from 'node:crypto';

/*
 * HMAC (RFC 2104) over SHA-256 (FIPS 180-4), block 64 bytes:
 *
 *   mac := H( (key ^ opad) || H( (key ^ ipad) || text ) )       ipad 36 36 …, opad 5c 5c …, the key filled up with zeros
 *
 * In two one-shot digests: an `Hmac` object of Node is a stream with a native part, and costs as much as hashing 3 KB.
 */

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;

/** The MAC of a text, taken as UTF-8: 32 bytes. */
export type Mac = (text: string) => Buffer;

/** Computes MACs under one key of at most 64 bytes. */
export function hmacSha256Of(key: Uint8Array): Mac {
  if (key.length > BLOCK_BYTES) throw new RangeError(`A key of ${key.length} bytes is longer than a block.`);
  const inner = Buffer.alloc(BLOCK_BYTES, 0x36);
  const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES, 0x5c);
  for (const [at, byte] of key.entries()) {
    inner[at]! ^= byte;
    outer[at]! ^= byte;
  }
  return (text) => {
    const message = Buffer.allocUnsafe(BLOCK_BYTES + Buffer.byteLength(text));
    message.set(inner);
    message.write(text, BLOCK_BYTES);
    // As text: a digest as a Buffer costs more than the digest.
    outer.write(hash('sha256', message, 'latin1'), BLOCK_BYTES, 'latin1');
    return Buffer.from(hash('sha256', outer, 'latin1'), 'latin1');
  };
}
