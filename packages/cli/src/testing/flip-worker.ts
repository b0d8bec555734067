// A thread of flip-bytes.ts: its share of the positions. Nothing of the verifier is kept from one verification for the next;
// the answer of Ed25519 to the very same key, bytes and signature is, which was a quarter of the time.
//
// Each change is verified until the bundle is broken, as `cairn verify --until-broken` does, and some to the end as well: what
// was found is never taken back, so both must come to one verdict.

import crypto, { type KeyObject } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { Trusted } from '@cairn/archive';
import { type EvidenceVerdict, parseVkey } from '@cairn/ledger';
import { verifyBundle } from '../verify-bundle-file.ts';

export interface FlipShare {
  readonly bytes: Uint8Array;
  readonly rootVkey: string;
  readonly every: number;
  /** Of the positions every so many is verified to the end as well. */
  readonly whole: number;
  /** Of `of` shares; the position with number n is in share n modulo `of`. */
  readonly share: number;
  readonly of: number;
}

export interface FlipsDone {
  readonly flips: number;
  /** Of them, verified to the end as well. */
  readonly wholes: number;
  /** Positions at which both verifications did not come to one verdict. */
  readonly disagreed: readonly number[];
  readonly undetected: readonly number[];
  readonly unverifiable: readonly number[];
  readonly unnamed: readonly number[];
}

export const trustedOf = (rootVkey: string): Trusted => ({
  rootKey: parseVkey(rootVkey),
  kept: [],
  timeCertificates: undefined,
  witnesses: [],
  isAnchored: false,
});

/** Positions after which it is told how far the thread has come. */
const TOLD_EVERY = 200;

async function flipShare({ bytes, rootVkey, every, whole, share, of }: FlipShare): Promise<void> {
  const trusted = trustedOf(rootVkey);
  const source = { size: bytes.length, read: (at: number, count: number) => bytes.subarray(at, at + count) };
  let done = nothingDone();
  for (let number = share; number * every < bytes.length; number += of) {
    const at = number * every;
    const bit = 1 << (number % 8);
    bytes[at]! ^= bit;
    const found = await verifyBundle(source, trusted, { untilBroken: true });
    const isWhole = Math.floor(number / of) % whole === 0;
    const end = isWhole ? await verifyBundle(source, trusted) : found;
    bytes[at]! ^= bit;
    done.flips += 1;
    if (isWhole) done.wholes += 1;
    if (found.verdict !== end.verdict) done.disagreed.push(at);
    if (found.verdict === 'intact') done.undetected.push(at);
    else if (found.verdict !== 'broken') done.unverifiable.push(at);
    if (!isNamed(found) || !isNamed(end)) done.unnamed.push(at);
    if (done.flips < TOLD_EVERY) continue;
    parentPort?.postMessage(done satisfies FlipsDone);
    done = nothingDone();
  }
  parentPort?.postMessage(done satisfies FlipsDone);
}

const nothingDone = () => ({
  flips: 0,
  wholes: 0,
  disagreed: [] as number[],
  undetected: [] as number[],
  unverifiable: [] as number[],
  unnamed: [] as number[],
});

/** Whether a leaf or an object is named. */
const isNamed = ({ bundle, keys, anchors, logs }: EvidenceVerdict): boolean =>
  [...(bundle?.findings ?? []), ...keys.findings, ...anchors.findings].some(({ object }) => object !== '') ||
  logs.some(({ first_bad: firstBad }) => firstBad !== null);

/** Has `verify` of node:crypto remember what it answered: a function of its arguments, which are told by their SHA-256. */
function rememberSignatures(): void {
  const { verify } = crypto;
  const answers = new Map<string, boolean>();
  const numbers = new WeakMap<KeyObject, number>();
  let keys = 0;
  const remembering = (algorithm: null, data: Uint8Array, key: KeyObject, signature: Uint8Array): boolean => {
    let number = numbers.get(key);
    if (number === undefined) numbers.set(key, (number = keys++));
    const asked = `${number} ${crypto.hash('sha256', data)} ${Buffer.from(signature).toString('latin1')}`;
    let answer = answers.get(asked);
    if (answer === undefined) {
      answer = verify(algorithm, data, key, signature);
      if (answers.size >= ANSWERS_MAX) answers.clear();
      answers.set(asked, answer);
    }
    return answer;
  };
  crypto.verify = remembering as typeof crypto.verify;
  syncBuiltinESMExports();
}

const ANSWERS_MAX = 65_536;

if (!isMainThread) {
  rememberSignatures();
  await flipShare(workerData as FlipShare);
}
