import { createHmac } from 'node:crypto';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hmacSha256Of } from './hmac-sha256.ts';

/** RFC 4231, sections 4.2 and 4.3, whose data is text: key, data and HMAC-SHA-256. */
test.each([
  [Buffer.alloc(20, 0x0b), 'Hi There', 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'],
  [
    Buffer.from('Jefe'),
    'what do ya want for nothing?',
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  ],
])('the MACs are those of RFC 4231', (key, data, mac) => {
  expect(hmacSha256Of(key)(data).toString('hex')).toBe(mac);
});

test('any key and text give the MAC that OpenSSL gives, whatever was computed before', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.array(fc.string({ unit: 'grapheme', maxLength: 200 }), { minLength: 1, maxLength: 4 }),
      (key, texts) => {
        const mac = hmacSha256Of(key);
        const macs = texts.map((text) => mac(text).toString('hex'));
        expect(macs).toEqual(texts.map((text) => createHmac('sha256', key).update(text).digest('hex')));
      },
    ),
  );
});

test('a key longer than a block is refused', () => {
  expect(() => hmacSha256Of(new Uint8Array(65))).toThrow(RangeError);
});
