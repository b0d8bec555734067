import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { seedFrom, signerOf } from '../test/deployment.ts';
import {
  hashOfHex,
  hexOfHash,
  KeyHistory,
  KnownTree,
  LogVerifier,
  noteLeafHash,
  openCheckpoint,
  openManifest,
  parseVkey,
  readSegment,
  signCheckpoint,
  verifyConsistency,
  verifyInclusion,
} from './index.ts';

const VECTORS = join(import.meta.dirname, '..', '..', '..', 'schemas', 'vectors');
const vectorsIn = <Vectors>(file: string): Vectors =>
  JSON.parse(readFileSync(join(VECTORS, file), 'utf8')) as Vectors;
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

interface GoVectors {
  readonly roots: Readonly<Record<string, string>>;
  readonly inclusion: readonly { index: number; size: number; hashes: string[] }[];
  readonly consistency: readonly { from: number; to: number; hashes: string[] }[];
  readonly origin: string;
  readonly vkey: string;
  readonly checkpoint: string;
}

describe('what golang.org/x/mod computes of the log of "event-0" and so on', () => {
  const go = vectorsIn<GoVectors>('ledger-go.json');
  const leaves = Array.from({ length: 1_000 }, (_, index) => noteLeafHash(utf8(`event-${index}`)));
  const tree = new KnownTree();
  tree.addLeaves(0, leaves);

  test.each(Object.entries(go.roots))('the root of %s leaves', (size, root) => {
    expect(hexOfHash(tree.root(Number(size)))).toBe(root);
  });

  test('inclusion proofs, made and verified', () => {
    for (const { index, size, hashes } of go.inclusion) {
      expect(tree.inclusionProof(index, size).map(hexOfHash)).toEqual(hashes);
      expect(verifyInclusion(leaves[index]!, index, size, hashes.map(hashOfHex), tree.root(size))).toBe(true);
    }
  });

  test('consistency proofs, made and verified', () => {
    for (const { from, to, hashes } of go.consistency) {
      expect(tree.consistencyProof(from, to).map(hexOfHash)).toEqual(hashes);
      expect(verifyConsistency(from, tree.root(from), to, tree.root(to), hashes.map(hashOfHex))).toBe(true);
    }
  });

  test('a checkpoint and its key, to the byte', () => {
    const signer = signerOf(go.origin, seedFrom(7));
    expect(signer.key.vkey).toBe(go.vkey);
    const checkpoint = { origin: go.origin, size: 1_000, root: tree.root(1_000) };
    expect(new TextDecoder().decode(signCheckpoint(checkpoint, signer))).toBe(go.checkpoint);
    expect(openCheckpoint(utf8(go.checkpoint), [parseVkey(go.vkey)], go.origin)).toEqual(checkpoint);
  });
});

interface PythonVectors {
  readonly deployment: string;
  readonly origin: string;
  readonly root_vkey: string;
  readonly objects: Readonly<Record<string, string>>;
  readonly leaf_hashes: readonly string[];
}

describe('a log that Python wrote from schemas/ledger.md, with fastavro, hashlib and cryptography', () => {
  const python = vectorsIn<PythonVectors>('ledger.json');
  const objects = new Map(Object.entries(python.objects).map(([name, hex]) => [name, bytes(hex)]));
  const named = (prefix: string): [string, Uint8Array][] =>
    [...objects].filter(([name]) => name.startsWith(prefix)).sort(([one], [other]) => (one < other ? -1 : 1));
  const keys = KeyHistory.of(
    python.deployment,
    named('key/').map(([, note]) => note),
    parseVkey(python.root_vkey),
  );

  test('is read, leaf hash by leaf hash', () => {
    const hashes = named('manifest/').flatMap(([, note]) => {
      const manifest = openManifest(note, keys.keysAt('archive', python.origin, 1));
      const parts = manifest.objects.map(({ key, schema }) => ({
        schemaId: schema,
        bytes: objects.get(key)!,
      }));
      const found: string[] = [];
      readSegment({ origin: python.origin, first: manifest.first, end: manifest.end }, parts, ({ hash }) =>
        found.push(hexOfHash(hash)),
      );
      return found;
    });
    expect(hashes).toEqual(python.leaf_hashes);
  });

  test('is intact: its notes open, its manifests are canonical and true, its streams are whole', () => {
    const log = new LogVerifier({ origin: python.origin, keys });
    for (const [name, note] of named('checkpoint/')) log.addCheckpoint(Number(name.slice(-25, -5)), note);
    for (const [name, note] of named('manifest/')) {
      const manifest = log.openManifest(Number(name.slice(-25, -5)), note);
      log.addSegment({ objects: (manifest?.objects ?? []).map(({ key }) => objects.get(key)) });
    }
    const report = log.end();
    expect(report).toMatchObject({ verdict: 'intact', proven: python.leaf_hashes.length, findings: [] });
    expect(report.streams.map(({ verdict }) => verdict)).toEqual(['intact', 'intact']);
  });
});
