import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { joined, membership, type Range } from './event-table.ts';

const ranges: fc.Arbitrary<Range[]> = fc.array(
  fc.tuple(fc.nat(60), fc.nat(8)).map(([first, length]) => ({ first, last: first + length })),
  { maxLength: 12 },
);
const holds = (of: readonly Range[], offset: number): boolean =>
  of.some(({ first, last }) => first <= offset && offset <= last);

describe('offsets that the table accounts for', () => {
  test('joined ranges hold exactly the same offsets, in order, and never touch', () => {
    fc.assert(
      fc.property(ranges, (given) => {
        const result = joined(given);
        for (let offset = 0; offset <= 70; offset += 1)
          expect(holds(result, offset)).toBe(holds(given, offset));
        for (const [index, range] of result.entries()) {
          const before = result[index - 1];
          if (before) expect(range.first).toBeGreaterThan(before.last + 1);
        }
      }),
    );
  });

  test('membership agrees with the ranges, whatever offsets are asked for, in whatever order', () => {
    fc.assert(
      fc.property(ranges, fc.uniqueArray(fc.nat(75)), (given, offsets) => {
        const isCovered = membership(joined(given));
        for (const offset of offsets) expect(isCovered(offset)).toBe(holds(given, offset));
      }),
    );
  });
});
