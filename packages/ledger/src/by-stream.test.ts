import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ByStream } from './by-stream.ts';

describe('values by organisation and gateway', () => {
  test('are those of a map by both names, whatever the names and the order', () => {
    const name = fc.constantFrom('', 'a', 'b', 'ab', 'a\u0000', '\u0000b');
    const step = fc.record({ org: name, gateway: name, how: fc.constantFrom('set', 'get', 'clear') });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ours = new ByStream<number>();
        const plain = new Map<string, number>();
        for (const [value, { org, gateway, how }] of steps.entries()) {
          const key = JSON.stringify([org, gateway]);
          if (how === 'set') {
            ours.set(org, gateway, value);
            plain.set(key, value);
          } else if (how === 'clear' && value % 3 === 0) {
            ours.clear();
            plain.clear();
          }
          expect(ours.get(org, gateway)).toBe(plain.get(key));
          expect(ours.size).toBe(plain.size);
          expect([...ours.values()].sort()).toEqual([...plain.values()].sort());
        }
      }),
    );
  });
});
