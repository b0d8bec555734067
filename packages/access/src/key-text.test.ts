import { describe, expect, test } from '@jest/globals';
import { isKey, keyIdOf, makeKey } from './key-text.ts';

describe('an API key', () => {
  test('is told by its hash and by no other text', () => {
    const key = makeKey();
    expect(isKey(key.text, key.sha256)).toBe(true);
    expect(isKey(makeKey().text, key.sha256)).toBe(false);
    expect(isKey('', key.sha256)).toBe(false);
  });

  test('with one character changed or missing is none, and is not looked up', () => {
    const { id, text } = makeKey();
    expect(keyIdOf(text)).toBe(id);
    for (let at = 0; at < text.length; at += 1) {
      const other = text[at] === '0' ? '1' : '0';
      expect(keyIdOf(`${text.slice(0, at)}${other}${text.slice(at + 1)}`)).toBeUndefined();
      expect(keyIdOf(text.slice(0, at))).toBeUndefined();
    }
  });

  test('holds 256 random bits: no two of many are alike in any part', () => {
    const parts = Array.from({ length: 200 }, () => makeKey().text.split('_')).flatMap(([, id, secret]) => [
      id,
      secret,
    ]);
    expect(new Set(parts).size).toBe(400);
  });

  test('carries the check that another implementation computes', () => {
    // A key of fixed parts, its check computed with Python's binascii.crc32.
    const head = `cairn_${'0123456789abcdef'}_${'00'.repeat(32)}`;
    expect(keyIdOf(`${head}_e98f2b19`)).toBe('0123456789abcdef');
  });
});
