// A thread of flip-bytes.ts: its share of the positions. Nothing of the verifier is kept from one verification for the next;
// the answer of Ed25519 to the very same key, bytes and signature is, which was a quarter of the time.

import crypto, { type KeyObject } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { Trusted } from '@cairn/archive';
import { parseVkey } from '@cairn/ledger';
import { verifyBundle } from '../verify-bundle-file.ts';

export interface FlipShare {
  readonly bytes: Uint8Array;
  readonly rootVkey: string;
  readonly every: number;
  /** Of `of` shares; the position with number n is in share n modulo `of`. */
  readonly share: number;
  readonly of: number;
}

export interface FlipsDone {
  readonly flips: number;
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

async function flipShare({ bytes, rootVkey, every, share, of }: FlipShare): Promise<void> {
  const trusted = trustedOf(rootVkey);
  const source = { size: bytes.length, read: (at: number, count: number) => bytes.slice(at, at + count) };
  let done = { flips: 0, undetected: [] as number[], unverifiable: [] as number[], unnamed: [] as number[] };
  const tell = (): void => {
    parentPort?.postMessage(done satisfies FlipsDone);
    done = { flips: 0, undetected: [], unverifiable: [], unnamed: [] };
  };
  for (let number = share; number * every < bytes.length; number += of) {
    const at = number * every;
    const bit = 1 << (number % 8);
    bytes[at]! ^= bit;
    const { verdict, bundle, keys, anchors, logs } = await verifyBundle(source, trusted);
    bytes[at]! ^= bit;
    done.flips += 1;
    if (verdict === 'intact') done.undetected.push(at);
    else if (verdict !== 'broken') done.unverifiable.push(at);
    const findings = [...(bundle?.findings ?? []), ...keys.findings, ...anchors.findings];
    const isNamed =
      findings.some(({ object }) => object !== '') || logs.some((log) => log.first_bad !== null);
    if (!isNamed) done.unnamed.push(at);
    if (done.flips === TOLD_EVERY) tell();
  }
  tell();
}

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
