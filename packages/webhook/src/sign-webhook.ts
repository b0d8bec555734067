/**
 * Signatures of Standard Webhooks 1.0.0 (https://www.standardwebhooks.com). Signed is
 *
 *     <webhook-id> "." <webhook-timestamp> "." <body>
 *
 * and a signature is
 *
 *     "v1,"  base64(HMAC-SHA256)     by a secret  "whsec_" base64(<24 to 64 bytes>)
 *     "v1a," base64(Ed25519)         by a key     "whsk_"  base64(<32 bytes seed> or <32 bytes seed ‖ 32 bytes public key>)
 *
 * Several stand in the header, divided by a space: one for each secret while one is exchanged for another.
 */
import { createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { Failure } from '@cairn/failure';

export type Signer = (content: Buffer) => string;

export interface WebhookHeaders {
  readonly 'webhook-id': string;
  readonly 'webhook-timestamp': string;
  readonly 'webhook-signature': string;
}

/** RFC 8410: what stands before the seed of an Ed25519 key in PKCS #8. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
/** The same before a public key in SubjectPublicKeyInfo. */
const SPKI_HEAD_BYTES = 12;

/**
 * What signs with a secret or key as people write it.
 *
 * @throws Failure `webhook.secret-invalid`; never says what the secret was.
 */
export function signerOf(secret: string): Signer {
  const [, kind, encoded = ''] = /^(whsec|whsk)_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? [];
  const bytes = Buffer.from(encoded, 'base64');
  if (kind === 'whsec' && bytes.length >= 24 && bytes.length <= 64)
    return (content) => `v1,${createHmac('sha256', bytes).update(content).digest('base64')}`;
  if (kind === 'whsk' && (bytes.length === 32 || bytes.length === 64)) {
    const key = createPrivateKey({
      key: Buffer.concat([PKCS8_HEAD, bytes.subarray(0, 32)]),
      format: 'der',
      type: 'pkcs8',
    });
    if (bytes.length === 32 || publicBytes(key).equals(bytes.subarray(32)))
      return (content) => `v1a,${sign(null, content, key).toString('base64')}`;
  }
  throw new Failure({
    code: 'webhook.secret-invalid',
    retry: 'no',
    message:
      'a webhook secret is neither whsec_ with 24 to 64 bytes nor whsk_ with an Ed25519 key, in base64',
    mend: 'Make one with: echo "whsec_$(openssl rand -base64 32)"',
  });
}

/**
 * The three headers of one attempt.
 *
 * @param id must hold no full stop, which divides what is signed.
 * @param nowMs time of this attempt: receivers refuse what is older than five minutes.
 */
export function signWebhook(
  signers: readonly Signer[],
  id: string,
  nowMs: number,
  body: Buffer,
): WebhookHeaders {
  const timestamp = String(Math.floor(nowMs / 1000));
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signers.map((signer) => signer(content)).join(' '),
  };
}

/** The key by which a receiver checks `v1a` signatures: `whpk_` base64(<32 bytes>). Undefined for a shared secret. */
export function publicKeyOf(secret: string): string | undefined {
  if (!secret.startsWith('whsk_')) return undefined;
  const seed = Buffer.from(secret.slice('whsk_'.length), 'base64').subarray(0, 32);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' });
  return `whpk_${publicBytes(key).toString('base64')}`;
}

const publicBytes = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_HEAD_BYTES);
