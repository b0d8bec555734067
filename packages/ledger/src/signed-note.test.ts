import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ORIGIN, seedFrom, signerOf } from '../test/deployment.ts';
import {
  checkpointText,
  cosignatureLine,
  cosignedAt,
  formatTlogProof,
  hashOfHex,
  KnownTree,
  noteLeafHash,
  openCheckpoint,
  openNote,
  parseCheckpoint,
  parseTlogProof,
  parseVkey,
  signCheckpoint,
  signNote,
  splitNote,
  verifyTlogProof,
  withLines,
} from './index.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('known answers', () => {
  test('the signed note of Go’s sumdb/note documentation opens', () => {
    const key = parseVkey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
    const text =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const note = utf8(
      `${text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`,
    );
    expect(openNote(note, [key]).text).toBe(text);
  });

  test('the signed note of the C2SP specification opens, and has the key id that its key names', () => {
    const key = parseVkey('example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k');
    const text = 'This is an example message.\n';
    const note = utf8(
      `${text}\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n`,
    );
    expect(openNote(note, [key]).text).toBe(text);
    expect(splitNote(note).lines.map(({ keyId }) => keyId)).toEqual(['530d903a']);
  });

  test('the checkpoint of 70,000 entries bears the signature that Go’s note verifies', () => {
    const signer = signerOf('audit.example/acme/audit.events.v1/0', seedFrom(0));
    const root = hashOfHex('cb6c0dc41879e806df8946d9648a9f2578d49148913e13a48e3c789441036f65');
    const note = new TextDecoder().decode(
      signCheckpoint({ origin: signer.key.name, size: 70_000, root }, signer),
    );
    expect(note).toBe(
      'audit.example/acme/audit.events.v1/0\n70000\ny2wNxBh56AbfiUbZZIqfJXjUkUiRPhOkjjx4lEEDb2U=\n\n' +
        '— audit.example/acme/audit.events.v1/0 rUHJMKrVjUtnGY+BnuIjCfEiyQESEvGGr6WB0RQDQS2z7fiYUDoaAxMkj8OfMPuoeiwyF9pwFQT+q27q8JEJx77CvQg=\n',
    );
  });
});

describe('a signed note', () => {
  const signer = signerOf(ORIGIN, seedFrom(7));
  const witness = signerOf('witness.example/w1', seedFrom(8), 0x04);
  const checkpoint = { origin: ORIGIN, size: 12, root: noteLeafHash(utf8('x')) };
  const note = signCheckpoint(checkpoint, signer);

  test('is opened by its key, and by no other', () => {
    expect(openCheckpoint(note, [signer.key], ORIGIN)).toEqual(checkpoint);
    expect(() => openNote(note, [witness.key])).toThrow('none of the known keys');
    const namesake = signerOf(ORIGIN, seedFrom(9));
    expect(() => openNote(note, [namesake.key])).toThrow('none of the known keys');
    expect(() => openCheckpoint(note, [signer.key], 'audit.example/other/0')).toThrow('and not of');
  });

  test('is refused after any byte is changed', () => {
    for (let at = 0; at < note.length; at += 1) {
      for (const flip of [1, 0x20]) {
        const changed = note.slice();
        changed[at]! ^= flip;
        expect(() => openCheckpoint(changed, [signer.key], ORIGIN)).toThrow();
      }
    }
  });

  test('carries the cosignatures of witnesses, with their time', () => {
    const line = cosignatureLine(checkpointText(checkpoint), 1_679_315_147, witness);
    const cosigned = withLines(note, line);
    expect(openNote(cosigned, [signer.key, witness.key]).signedBy).toEqual([signer.key, witness.key]);
    expect(openNote(cosigned, [signer.key]).signedBy).toEqual([signer.key]);
    expect(cosignedAt(splitNote(cosigned).lines[1]!)).toBe(1_679_315_147);
    const forged = withLines(note, cosignatureLine(checkpointText({ ...checkpoint, size: 13 }), 1, witness));
    expect(() => openNote(forged, [signer.key, witness.key])).toThrow('does not verify');
  });

  test('holds no control character, and is not opened beyond its bounds', () => {
    expect(() => signNote('a\u0000b\n', signer)).toThrow('control');
    expect(() => signNote('no newline', signer)).toThrow('newline');
    const line = new TextDecoder().decode(note).split('\n\n')[1]!;
    expect(() => openNote(utf8(`text\n\n${line.repeat(101)}`), [signer.key])).toThrow('more than 100');
    expect(() => openNote(new Uint8Array(16 * 1024 * 1024 + 1), [signer.key])).toThrow('16 MiB');
    expect(() => openNote(utf8('\ufefftext\n'), [signer.key])).toThrow();
  });

  test('never lets an error of another kind out, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => openNote(bytes, [signer.key])).toThrow('the signed note cannot be opened');
      }),
    );
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        expect(() => parseCheckpoint(text)).toThrow('it is no checkpoint');
      }),
    );
  });
});

describe('a proof file', () => {
  const signer = signerOf(ORIGIN, seedFrom(7));
  const entries = Array.from({ length: 9 }, (_, at) => utf8(`entry ${at}`));
  const tree = new KnownTree();
  tree.addLeaves(0, entries.map(noteLeafHash));
  const checkpoint = signCheckpoint({ origin: ORIGIN, size: 9, root: tree.root(9) }, signer);
  const fileOf = (index: number): Uint8Array =>
    formatTlogProof({ extra: entries[index]!, index, hashes: tree.inclusionProof(index, 9), checkpoint });

  test('reads back and verifies for every leaf', () => {
    for (let index = 0; index < 9; index += 1) {
      const proof = parseTlogProof(fileOf(index));
      expect(proof).toMatchObject({ index, hashes: tree.inclusionProof(index, 9) });
      expect(verifyTlogProof(proof, [signer.key], ORIGIN)).toMatchObject({ size: 9 });
    }
  });

  test('is refused after any bit is flipped', () => {
    const file = fileOf(4);
    for (let bit = 0; bit < file.length * 8; bit += 1) {
      const changed = file.slice();
      changed[bit >> 3]! ^= 1 << (bit % 8);
      expect(() => verifyTlogProof(parseTlogProof(changed), [signer.key], ORIGIN)).toThrow();
    }
  });
});
