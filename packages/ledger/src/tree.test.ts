import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  bytesOfHash,
  CompactRange,
  EMPTY_ROOT,
  foldNodes,
  hashOfHex,
  hexOfHash,
  KnownTree,
  LeafRange,
  nodeHash,
  noteLeafHash,
  pieceAt,
  rootOf,
  sha256Text,
  subtreesOf,
  tilePath,
  verifyConsistency,
  verifyInclusion,
} from './index.ts';

const entry = (text: string): Uint8Array => new TextEncoder().encode(text);
const leafOf = (bytes: Uint8Array): string => noteLeafHash(bytes);

/** RFC 6962, section 2.1, as it is written there. */
function recursiveRoot(leaves: readonly string[]): string {
  if (leaves.length === 0) return sha256Text(new Uint8Array());
  if (leaves.length === 1) return leaves[0]!;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(recursiveRoot(leaves.slice(0, split)), recursiveRoot(leaves.slice(split)));
}

const leaves = fc
  .array(fc.nat(1_000), { maxLength: 700 })
  .map((numbers) => numbers.map((number) => leafOf(entry(`${number}`))));

describe('known answers', () => {
  const CT_INPUTS = [
    '',
    '00',
    '10',
    '2021',
    '3031',
    '40414243',
    '5051525354555657',
    '606162636465666768696a6b6c6d6e6f',
  ];
  const CT_ROOTS = [
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];

  test('the roots of Certificate Transparency’s test inputs, sizes 0 to 8', () => {
    const range = new CompactRange();
    for (const [size, root] of CT_ROOTS.entries()) {
      expect(hexOfHash(range.root())).toBe(root);
      if (size < 8) range.append(leafOf(new Uint8Array(Buffer.from(CT_INPUTS[size] ?? '', 'hex'))));
    }
    expect(hexOfHash(EMPTY_ROOT)).toBe(CT_ROOTS[0]);
  });

  test('the roots that Go’s sumdb/tlog computes of 70,000 entries', () => {
    const roots: Record<number, string> = {
      255: 'f897cd1ca68411adcf7c96d6ff8f2a3820fb8f875326b7a0ccd5e7cd2401f8ca',
      256: '63c56b646560de064a88321722936845520f2c8663e3dc01e6277fe608311679',
      257: 'ca8470b7fee55b3a4083bd3fb8afb0a74b0c365a2daef3d969012211da45488c',
      1000: '3864040a16db2508f61b0dfce48c1ae570690fa82bbbb167f813ebeb915f1175',
      65536: 'de8b46e338fde16d099447f91ec594e1598ec5bbdbca8938beb7512e76f39daa',
      65537: '204718ca1d559ac2823f193d33c3b4a06c54def012ff1ef2c80436e86e45283f',
      70000: 'cb6c0dc41879e806df8946d9648a9f2578d49148913e13a48e3c789441036f65',
    };
    const range = new CompactRange();
    for (let index = 0; index < 70_000; index += 1) {
      range.append(leafOf(entry(`event-${index}`)));
      const root = roots[index + 1];
      if (root !== undefined) expect([index + 1, hexOfHash(range.root())]).toEqual([index + 1, root]);
    }
  });

  test('paths of tiles', () => {
    expect(tilePath(0, 1_234_067)).toBe('tile/0/x001/x234/067');
    expect(tilePath('entries', 273, 112)).toBe('tile/entries/273.p/112');
    expect(tilePath(2, 0, 1)).toBe('tile/2/000.p/1');
  });
});

describe('the tree', () => {
  test('grown leaf by leaf has the root of the recursive definition', () => {
    fc.assert(
      fc.property(leaves, (list) => {
        expect(rootOf(list)).toBe(recursiveRoot(list));
      }),
      { numRuns: 60 },
    );
  });

  test('cut into ranges and joined by their nodes has the same root, and only as many nodes join', () => {
    fc.assert(
      fc.property(leaves, fc.nat(), fc.nat(), (list, one, other) => {
        const [from, to] = [one % (list.length + 1), other % (list.length + 1)].sort((a, b) => a - b) as [
          number,
          number,
        ];
        const joined = new CompactRange();
        for (const [first, end] of [
          [0, from],
          [from, to],
          [to, list.length],
        ] as const) {
          const range = new CompactRange(first);
          for (const leaf of list.slice(first, end)) range.append(leaf);
          expect(range.nodes()).toHaveLength(subtreesOf(first, end).length);
          expect(joined.join(end, [...range.nodes(), EMPTY_ROOT])).toBe(false);
          expect(joined.join(end, range.nodes())).toBe(true);
        }
        expect(joined.root()).toBe(recursiveRoot(list));
        expect(foldNodes(joined.nodes())).toBe(joined.root());
      }),
      { numRuns: 60 },
    );
  });

  test('has pieces that are the roots of their leaves alone', () => {
    fc.assert(
      fc.property(fc.nat(600), fc.integer({ min: 1, max: 900 }), (first, count) => {
        const range = new LeafRange(first);
        const list = Array.from({ length: count }, (_, at) => leafOf(entry(`${first + at}`)));
        for (const leaf of list) range.append(leaf);
        const pieces = range.pieces();
        for (const [number, piece] of pieces.entries()) {
          const at = pieceAt(first, first + count, number);
          expect(piece).toBe(recursiveRoot(list.slice(at.first - first, at.end - first)));
        }
        expect(pieceAt(first, first + count, pieces.length - 1).end).toBe(first + count);
      }),
      { numRuns: 60 },
    );
  });
});

describe('a proof', () => {
  const list = Array.from({ length: 300 }, (_, at) => leafOf(entry(`event-${at}`)));
  const tree = new KnownTree();
  tree.addLeaves(0, list);
  const flipped = (hash: string, bit: number): string => {
    const bytes = bytesOfHash(hash);
    bytes[(bit >> 3) % 32]! ^= 1 << (bit % 8);
    return String.fromCharCode(...bytes);
  };

  test('of inclusion verifies, and not after any bit is flipped, for another leaf, index or size', () => {
    const place = fc
      .integer({ min: 1, max: 300 })
      .chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)));
    fc.assert(
      fc.property(place, fc.nat(255), fc.nat(), ([size, index], bit, at) => {
        const proof = tree.inclusionProof(index, size);
        const root = tree.root(size);
        const leaf = list[index]!;
        expect(verifyInclusion(leaf, index, size, proof, root)).toBe(true);
        expect(verifyInclusion(flipped(leaf, bit), index, size, proof, root)).toBe(false);
        expect(verifyInclusion(leaf, index, size, proof, flipped(root, bit))).toBe(false);
        expect(verifyInclusion(leaf, index, size, [...proof, leaf], root)).toBe(false);
        expect(verifyInclusion(leaf, index + size, size, proof, root)).toBe(false);
        if (size > 1) expect(verifyInclusion(leaf, (index + 1) % size, size, proof, root)).toBe(false);
        if (proof.length === 0) return;
        const damaged = proof.with(at % proof.length, flipped(proof[at % proof.length]!, bit));
        expect(verifyInclusion(leaf, index, size, damaged, root)).toBe(false);
        expect(verifyInclusion(leaf, index, size, proof.slice(1), root)).toBe(false);
      }),
      { numRuns: 400 },
    );
  });

  test('of consistency verifies, and not after any bit is flipped', () => {
    const sizes = fc.integer({ min: 0, max: 300 }).chain((to) => fc.tuple(fc.nat(to), fc.constant(to)));
    fc.assert(
      fc.property(sizes, fc.nat(255), fc.nat(), ([from, to], bit, at) => {
        const proof = tree.consistencyProof(from, to);
        const [fromRoot, toRoot] = [tree.root(from), tree.root(to)];
        expect(verifyConsistency(from, fromRoot, to, toRoot, proof)).toBe(true);
        if (from > 0) expect(verifyConsistency(from, fromRoot, to, flipped(toRoot, bit), proof)).toBe(false);
        expect(verifyConsistency(from, flipped(fromRoot, bit), to, toRoot, proof)).toBe(false);
        if (proof.length === 0) return;
        const damaged = proof.with(at % proof.length, flipped(proof[at % proof.length]!, bit));
        expect(verifyConsistency(from, fromRoot, to, toRoot, damaged)).toBe(false);
        expect(verifyConsistency(from, fromRoot, to, toRoot, proof.slice(0, -1))).toBe(false);
      }),
      { numRuns: 400 },
    );
  });

  test('of a leaf needs of other segments their nodes alone', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 298 }),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(),
        (first, count, at) => {
          const end = Math.min(300, first + count);
          const known = new KnownTree();
          for (const [from, to] of [
            [0, first],
            [end, 300],
          ] as const) {
            known.addNodes(
              from,
              to,
              subtreesOf(from, to).map((subtree) => tree.node(subtree)),
            );
          }
          known.addLeaves(first, list.slice(first, end));
          const index = first + (at % (end - first));
          expect(known.inclusionProof(index, 300)).toEqual(tree.inclusionProof(index, 300));
          if (first > 1) expect(() => known.inclusionProof(0, 300)).toThrow('not known');
        },
      ),
    );
  });
});

test('a hash is written as 64 digits of lower-case hex and nothing else', () => {
  expect(hexOfHash(hashOfHex('0a'.repeat(32)))).toBe('0a'.repeat(32));
  for (const wrong of ['', '0A'.repeat(32), '0a'.repeat(31), `${'0a'.repeat(32)}\n`])
    expect(() => hashOfHex(wrong)).toThrow();
});
