import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Turns } from './turns.ts';

test('never so many at once, nor so many bytes unless one alone has more; and each has its turn, in order', async () => {
  const jobs = fc.array(fc.record({ bytes: fc.nat(150), waits: fc.nat(4), fails: fc.boolean() }));
  await fc.assert(
    fc.asyncProperty(jobs, async (list) => {
      const turns = new Turns(3, 100);
      const now = new Set<number>();
      const begun: number[] = [];
      const all = list.map(({ bytes, waits, fails }, index) =>
        turns.take(
          () => bytes,
          async () => {
            begun.push(index);
            now.add(index);
            expect(now.size).toBeLessThanOrEqual(3);
            const held = [...now].reduce((sum, one) => sum + Math.min(list[one]!.bytes, 100), 0);
            expect(held).toBeLessThanOrEqual(100);
            for (let wait = 0; wait < waits; wait += 1) await new Promise(setImmediate);
            now.delete(index);
            if (fails) throw new Error('fails');
            return index;
          },
        ),
      );
      const ended = await Promise.allSettled(all);
      expect(begun).toEqual(list.map((_, index) => index));
      expect(ended.map(({ status }) => status === 'rejected')).toEqual(list.map(({ fails }) => fails));
    }),
  );
});
