// A request that creates something, sent again with the same Idempotency-Key, is answered as it was and creates nothing again
// (draft-ietf-httpapi-idempotency-key-header-07). What is kept of it, for 24 hours:
//
//   name    once:base64url(SHA-256(JSON [org, caller, key]))
//   value   "running" SP fingerprint              while the first one is under way, at most two minutes
//           "done" SP fingerprint SP sealed       behind it; sealed is base64url(iv 12 | tag 16 | AES-256-GCM(JSON of the answer))
//
// The fingerprint is SHA-256 over method, path and body. The answer is sealed under HKDF-SHA256 of the caller's credential and the
// key, which only the caller has: the text of an API key, which is kept nowhere, is not to be read here either.
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import type { Caller } from './authenticate.ts';
import { Refusal } from './problem.ts';
import type { Facts } from './route.ts';
import type { SharedClaims } from './shared-claims.ts';

/** An answer as it is given again. */
export interface KeptAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly etag?: string | undefined;
  readonly facts: Facts;
}

export interface Repeatable {
  /** The header as it came. */
  readonly header: string;
  readonly caller: Caller;
  /** The header by which the caller proved who they are. */
  readonly credential: string;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

/** A structured header's string (RFC 9651), or the same without its quotes, as most clients send it. */
const HEADER = /^(?:"([\x20\x21\x23-\x5b\x5d-\x7e]{8,255})"|([A-Za-z0-9_.:~+/=-]{8,255}))$/;
const RUNNING_MS_MAX = 120_000;
const KEPT_MS = 86_400_000;

/**
 * Answers once: 1. the key is claimed; 2. the work is done, and recorded; 3. the answer is kept, and then sent. A crash between 2
 * and 3 leaves what was created and no answer: the key is free again after two minutes, and a repetition creates another one.
 *
 * @param work is done at most once for a key that is kept; what it throws frees the key.
 * @returns the answer, and whether it is one of before.
 * @throws Refusal `request.invalid` for a header that is none, `idempotency.different`, `idempotency.running`; Failure (later) when
 *   nobody knows whether the key is taken: then nothing was done.
 */
export async function answerOnce(
  claims: SharedClaims,
  asked: Repeatable,
  work: () => Promise<KeptAnswer>,
): Promise<{ readonly answer: KeptAnswer; readonly isRepeated: boolean }> {
  const key = keyIn(asked.header);
  const { orgId, id } = asked.caller;
  const name = `once:${digest([orgId, id, key])}`;
  const fingerprint = digest([asked.method, asked.path, asked.body ?? null]);
  const secret = secretOf(asked.credential, key);

  const held = await claims.claim(name, `running ${fingerprint}`, RUNNING_MS_MAX);
  if (held !== undefined) {
    const [state, of, sealed = ''] = held.split(' ');
    if (of !== fingerprint)
      throw new Refusal('idempotency.different', 'The key was sent with another request. Take a new one.');
    if (state === 'running')
      throw new Refusal('idempotency.running', 'The first request with this key is not answered yet.');
    return { answer: opened(sealed, secret), isRepeated: true };
  }
  let answer: KeptAnswer;
  try {
    answer = await work();
  } catch (error) {
    await claims.release(name).catch(() => {});
    throw error;
  }
  await claims.settle(name, `done ${fingerprint} ${sealedOf(answer, secret)}`, KEPT_MS);
  return { answer, isRepeated: false };
}

function keyIn(header: string): string {
  const [, quoted, bare] = HEADER.exec(header) ?? [];
  const key = quoted ?? bare;
  if (key !== undefined) return key;
  throw new Refusal('request.invalid', 'Idempotency-Key is a string of 8 to 255 characters, such as a UUID.');
}

const digest = (parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url');

const secretOf = (credential: string, key: string): Buffer =>
  Buffer.from(hkdfSync('sha256', credential, key, 'cairn idempotency answer', 32));

const IV = 12;
const TAG = 16;

function sealedOf(answer: KeptAnswer, secret: Buffer): string {
  const iv = randomBytes(IV);
  const cipher = createCipheriv('aes-256-gcm', secret, iv);
  const text = Buffer.concat([cipher.update(JSON.stringify(answer)), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64url');
}

/** @throws Refusal `idempotency.different` when the caller's credential is another one: what was answered cannot be said again. */
function opened(sealed: string, secret: Buffer): KeptAnswer {
  const bytes = Buffer.from(sealed, 'base64url');
  const decipher = createDecipheriv('aes-256-gcm', secret, bytes.subarray(0, IV), { authTagLength: TAG });
  decipher.setAuthTag(bytes.subarray(IV, IV + TAG));
  try {
    return JSON.parse(
      Buffer.concat([decipher.update(bytes.subarray(IV + TAG)), decipher.final()]).toString(),
    );
  } catch {
    throw new Refusal('idempotency.different', 'The key was sent with another credential. Take a new one.');
  }
}
