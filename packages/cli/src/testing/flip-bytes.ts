import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { buildBundle, openEvidence, readKeys } from '@cairn/archive';
import { sha256Hex } from '@cairn/ledger';
import { verifyBundle } from '../verify-bundle-file.ts';
import { Archive, Folder, Gateway, Keys } from './archive-on-disk.ts';
import type { FlipShare, FlipsDone } from './flip-worker.ts';
import { trustedOf } from './flip-worker.ts';

export interface FlipOptions {
  /** The bundle has at least so many. */
  readonly bytes: number;
  /** Every so many bytes one is changed. */
  readonly every: number;
  /** Threads that share the positions; default 1. Each verifies the whole bundle for each of its positions. */
  readonly threads?: number;
  readonly onProgress?: (done: number, of: number) => void;
}

export interface Flipped {
  readonly bytes: number;
  readonly flips: number;
  /** Positions at which a change left it intact. */
  readonly undetected: readonly number[];
  /** Positions at which a change left it not verifiable here: a signature that names another key is one by a key that is unknown. */
  readonly unverifiable: readonly number[];
  /** Positions at which neither a leaf nor an object was named. */
  readonly unnamed: readonly number[];
}

/** Changes one byte of a bundle after the other, each by another bit, and verifies it each time. */
export async function flipEveryByte({
  bytes: wanted,
  every,
  threads = 1,
  onProgress,
}: FlipOptions): Promise<Flipped> {
  using folder = new Folder();
  const { path, rootVkey } = await bundleOf(folder, wanted);
  const bytes = new Uint8Array(readFileSync(path));
  const source = { size: bytes.length, read: (at: number, count: number) => bytes.slice(at, at + count) };
  const whole = await verifyBundle(source, trustedOf(rootVkey));
  if (whole.verdict !== 'intact') throw new Error(`the bundle is ${whole.verdict} before it was touched`);
  const flips = Math.ceil(bytes.length / every);
  const sum = { flips: 0, undetected: [], unverifiable: [], unnamed: [] } as {
    -readonly [Name in keyof FlipsDone]: FlipsDone[Name] extends number ? number : number[];
  };
  const shares = Array.from({ length: threads }, (_, share) =>
    flipsOf({ bytes, rootVkey, every, share, of: threads }, (done) => {
      sum.flips += done.flips;
      sum.undetected.push(...done.undetected);
      sum.unverifiable.push(...done.unverifiable);
      sum.unnamed.push(...done.unnamed);
      onProgress?.(sum.flips, flips);
    }),
  );
  await Promise.all(shares);
  return { bytes: bytes.length, ...sum };
}

/** One thread's share. @param onDone told again and again what was done since. */
function flipsOf(share: FlipShare, onDone: (done: FlipsDone) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./flip-worker.ts', import.meta.url), { workerData: share });
    worker.on('message', onDone);
    worker.once('error', reject);
    worker.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`the thread ended with ${code}`)),
    );
  });
}

/** A bundle of at least so many bytes: as many events as it takes. */
async function bundleOf(folder: Folder, wanted: number): Promise<{ path: string; rootVkey: string }> {
  let calls = Math.ceil(wanted / 700);
  for (;;) {
    const gateways = [new Gateway('acme', 'gw-1'), new Gateway('globex', 'gw-1')];
    const archive = new Archive(new Keys(...gateways));
    const [acme, globex] = gateways as [Gateway, Gateway];
    archive.append(acme.record('stream_open'), ...globex.stream(10));
    for (let call = 0; call < calls; call += 1)
      archive.append(acme.record('tool_call', incompressible(call)));
    archive.append(acme.record('seal'));
    const { end } = archive.cut();
    archive.anchor(
      ...[...archive.bucket].filter(([name]) => name.startsWith('checkpoint/')).map(([, note]) => note),
    );
    const { keys } = archive;
    const rootKey = keys.root.key;
    await using evidence = await openEvidence(folder.writeBucket(`archive-${end}`, archive.bucket), NO_STORE);
    const { history } = await readKeys(evidence, rootKey);
    const path = folder.file(`${end}.tar`);
    const asked = {
      org: 'acme',
      from: 0,
      to: Number.MAX_SAFE_INTEGER,
      query: '',
      createdAt: 0,
      policies: [],
    };
    const { bytes } = await buildBundle(evidence, history, rootKey, keys.archive, asked, path);
    if (bytes >= wanted) return { path, rootVkey: rootKey.vkey };
    calls = Math.ceil(calls * 1.1 * Math.max(1, wanted / bytes));
  }
}

/** 500 bytes that no compression makes fewer, as text: few events fill a bundle, so that one is verified quickly. */
const incompressible = (seed: number): string =>
  Array.from({ length: 16 }, (_, at) => sha256Hex(new TextEncoder().encode(`${seed} ${at}`)))
    .join('')
    .slice(0, 1_000);

const NO_STORE = { endpoint: '', region: '' };
