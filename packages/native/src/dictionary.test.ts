import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Dictionary } from './dictionary.ts';
import { Pages } from './pages.ts';
import { readVarint, varintEnd } from './varint.ts';

/** The texts of all values, in order, read from what a block holds of the dictionary. */
function valuesOf(dictionary: Dictionary): string[] {
  const { texts, indexBytes, size } = dictionary;
  const keys: string[] = [];
  for (let at = 0; at < texts.length; at = varintEnd.at + keys.at(-1)!.length) {
    const length = readVarint(texts, at);
    keys.push(Buffer.from(texts.subarray(varintEnd.at, varintEnd.at + length)).toString('latin1'));
  }
  expect(keys).toHaveLength(size);
  const numbers = Buffer.concat(dictionary.numbers);
  return Array.from({ length: numbers.length / indexBytes }, (_, index) => {
    return keys[numbers.readUIntLE(index * indexBytes, indexBytes)]!;
  });
}

function put(dictionary: Dictionary, text: string): void {
  const bytes = Buffer.from(`..${text}.`, 'latin1');
  dictionary.text(bytes, 2, text.length);
}

test('a dictionary gives every value back, whatever their number and length', () => {
  const few = fc.constantFrom('', 'a', 'b', 'ab', 'x'.repeat(127), 'x'.repeat(128), 'y'.repeat(20_000));
  const many = fc.nat(400).map((number) => `text-${number}`);
  fc.assert(
    fc.property(fc.array(fc.oneof(few, many), { maxLength: 1_000, size: 'max' }), (texts) => {
      const dictionary = new Dictionary(new Pages());
      for (const text of texts) put(dictionary, text);
      expect(valuesOf(dictionary)).toEqual(texts);
      expect(dictionary.count).toBe(texts.length);
    }),
    { numRuns: 30 },
  );
});

test.each([256, 257, 65_536, 65_537])('%d different texts are told apart, before and after', (count) => {
  const dictionary = new Dictionary(new Pages());
  const texts = Array.from({ length: count + 10 }, (_, index) => `text-${index % count}`);
  for (const text of texts) put(dictionary, text);
  expect(valuesOf(dictionary)).toEqual(texts);
});

test('a dictionary that grows leaves alone where its user has read to', () => {
  const dictionary = new Dictionary(new Pages());
  readVarint(new Uint8Array([130, 1]), 0);
  for (let number = 0; number < 1_000; number += 1) put(dictionary, `text-${number}`);
  expect(varintEnd.at).toBe(2);
});

test('memory that was given back reads as zeros when it is used again', () => {
  const pages = new Pages();
  const page = pages.take(100, 0);
  page.fill(7, 0, 60);
  pages.giveBack(page, 60);
  const again = pages.take(100, 0);
  expect(again).toBe(page);
  expect(again.every((byte) => byte === 0)).toBe(true);
});
