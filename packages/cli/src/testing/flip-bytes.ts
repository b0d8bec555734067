import { readFileSync } from 'node:fs';
import { sha256Hex } from '@cairn/ledger';
import { buildBundle } from '../build-bundle.ts';
import { openEvidence } from '../evidence.ts';
import { readKeys } from '../verify-archive.ts';
import { verifyBundle } from '../verify-bundle-file.ts';
import { Archive, Folder, Gateway, Keys } from './archive-on-disk.ts';

export interface FlipOptions {
  /** The bundle has at least so many. */
  readonly bytes: number;
  /** Every so many bytes one is changed. */
  readonly every: number;
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
export async function flipEveryByte({ bytes: wanted, every, onProgress }: FlipOptions): Promise<Flipped> {
  using folder = new Folder();
  const { path, trusted } = await bundleOf(folder, wanted);
  const bytes = new Uint8Array(readFileSync(path));
  const source = { size: bytes.length, read: (at: number, count: number) => bytes.slice(at, at + count) };
  const whole = await verifyBundle(source, trusted);
  if (whole.verdict !== 'intact') throw new Error(`the bundle is ${whole.verdict} before it was touched`);
  const undetected: number[] = [];
  const unverifiable: number[] = [];
  const unnamed: number[] = [];
  let flips = 0;
  for (let at = 0; at < bytes.length; at += every) {
    const bit = 1 << (flips % 8);
    bytes[at]! ^= bit;
    const { verdict, bundle, keys, anchors, logs } = await verifyBundle(source, trusted);
    bytes[at]! ^= bit;
    flips += 1;
    if (verdict === 'intact') undetected.push(at);
    else if (verdict !== 'broken') unverifiable.push(at);
    const findings = [...(bundle?.findings ?? []), ...keys.findings, ...anchors.findings];
    const isNamed =
      findings.some(({ object }) => object !== '') || logs.some((log) => log.first_bad !== null);
    if (!isNamed) unnamed.push(at);
    onProgress?.(flips, Math.ceil(bytes.length / every));
  }
  return { bytes: bytes.length, flips, undetected, unverifiable, unnamed };
}

/** A bundle of at least so many bytes: as many events as it takes. */
async function bundleOf(folder: Folder, wanted: number) {
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
    const trusted = { rootKey, kept: [], timeCertificates: undefined, witnesses: [], isAnchored: false };
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
    if (bytes >= wanted) return { path, trusted };
    calls = Math.ceil(calls * 1.1 * Math.max(1, wanted / bytes));
  }
}

/** 500 bytes that no compression makes fewer, as text: few events fill a bundle, so that one is verified quickly. */
const incompressible = (seed: number): string =>
  Array.from({ length: 16 }, (_, at) => sha256Hex(new TextEncoder().encode(`${seed} ${at}`)))
    .join('')
    .slice(0, 1_000);

const NO_STORE = { endpoint: '', region: '' };
