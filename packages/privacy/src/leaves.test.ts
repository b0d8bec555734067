import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { beginningInJson, bytesInJson } from './leaves.ts';

const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: fc.constantFrom('"', '\\', '\u0001', 'é', '\u{1f512}', 'x'), maxLength: 200 }),
);

test('a text is cut so that it takes no more room in JSON than it may, at no place but its end', () => {
  fc.assert(
    fc.property(texts, fc.integer({ min: 3, max: 300 }), (text, bytesMax) => {
      const kept = beginningInJson(text, bytesMax);
      expect(bytesInJson(kept)).toBeLessThanOrEqual(bytesMax);
      const whole = text.toWellFormed();
      if (bytesInJson(whole) <= bytesMax) expect(kept).toBe(whole);
      else {
        expect(kept.endsWith('…')).toBe(true);
        expect(whole.startsWith(kept.slice(0, -1))).toBe(true);
      }
    }),
    { numRuns: 2_000 },
  );
});
