import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { buildBundle, openEvidence, readKeys } from '@cairn/archive';
import { readUstarHeader, sha256Hex, USTAR_BLOCK_BYTES } from '@cairn/ledger';
import { verifyBundle } from '../verify-bundle-file.ts';
import { Archive, Folder, Gateway, Keys } from './archive-on-disk.ts';
import type { FlipShare, FlipsDone } from './flip-worker.ts';
import { trustedOf } from './flip-worker.ts';

export interface FlipOptions {
  /** The bundle has at least so many. */
  readonly bytes: number;
  /** Every so many bytes one is changed. */
  readonly every: number;
  /** Of those every so many is verified to the end as well, the others until the bundle is broken; default 1, all. */
  readonly whole?: number;
  /** Threads that share the positions; default 1. */
  readonly threads?: number;
  readonly onProgress?: (done: number, of: number) => void;
}

export interface Flipped {
  readonly bytes: number;
  readonly flips: number;
  /** Of them, verified to the end as well. */
  readonly wholes: number;
  /** Positions at which the verification to the end came to another verdict than the one that ends where it is broken. */
  readonly disagreed: readonly number[];
  /** Positions at which a change left it intact. */
  readonly undetected: readonly number[];
  /**
   * Positions at which a change left it not verifiable here. Where the signature of bundle.note names its key, by name and
   * by id, a change names another, which is unknown: nothing contradicts itself, and nobody answers for the list.
   */
  readonly unverifiable: readonly number[];
  /** Those of them that are elsewhere. */
  readonly unexplained: readonly number[];
  /** Positions at which neither a leaf nor an object was named. */
  readonly unnamed: readonly number[];
}

/** Changes one byte of a bundle after the other, each by another bit, and verifies it each time. */
export async function flipEveryByte({
  bytes: wanted,
  every,
  whole = 1,
  threads = 1,
  onProgress,
}: FlipOptions): Promise<Flipped> {
  using folder = new Folder();
  const { path, rootVkey } = await bundleOf(folder, wanted);
  const bytes = new Uint8Array(readFileSync(path));
  const source = { size: bytes.length, read: (at: number, count: number) => bytes.slice(at, at + count) };
  const { verdict } = await verifyBundle(source, trustedOf(rootVkey));
  if (verdict !== 'intact') throw new Error(`the bundle is ${verdict} before it was touched`);
  const flips = Math.ceil(bytes.length / every);
  const sum = { flips: 0, wholes: 0, disagreed: [], undetected: [], unverifiable: [], unnamed: [] } as {
    -readonly [Name in keyof FlipsDone]: FlipsDone[Name] extends number ? number : number[];
  };
  const shares = Array.from({ length: threads }, (_, share) =>
    flipsOf({ bytes, rootVkey, every, whole, share, of: threads }, (done) => {
      sum.flips += done.flips;
      sum.wholes += done.wholes;
      sum.disagreed.push(...done.disagreed);
      sum.undetected.push(...done.undetected);
      sum.unverifiable.push(...done.unverifiable);
      sum.unnamed.push(...done.unnamed);
      onProgress?.(sum.flips, flips);
    }),
  );
  await Promise.all(shares);
  const named = namedKeyIn(bytes);
  const unexplained = sum.unverifiable.filter((at) => at < named.from || at >= named.to);
  return { bytes: bytes.length, ...sum, unexplained };
}

/** Where the one signature line of bundle.note, the first member, names its key: the name, and the id, 6 digits of base64. */
function namedKeyIn(bytes: Uint8Array): { readonly from: number; readonly to: number } {
  const { size } = readUstarHeader(bytes.subarray(0, USTAR_BLOCK_BYTES))!;
  const note = Buffer.from(bytes.subarray(USTAR_BLOCK_BYTES, USTAR_BLOCK_BYTES + size));
  const from = note.lastIndexOf('\n— ') + Buffer.byteLength('\n— ');
  return { from: USTAR_BLOCK_BYTES + from, to: USTAR_BLOCK_BYTES + note.indexOf(' ', from) + 1 + 6 };
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
