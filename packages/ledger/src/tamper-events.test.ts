import { describe, expect, test } from '@jest/globals';
import { SHOWN_BY, TAMPERINGS, TamperedLogs } from '../test/tamper-events.ts';

// `npm run bench -- tampering` makes 10,000 of these.
const TRIALS = 300;

describe('a log that was signed anew without one event as it was', () => {
  const logs = new TamperedLogs();

  test('is intact as long as nothing was done to it', () => {
    expect(logs.untouched()).toMatchObject({ verdict: 'intact', findings: [] });
  });

  test.each(TAMPERINGS.map((tampering, at) => [tampering, at] as const))(
    '%s is broken each time, by its reason',
    (tampering, first) => {
      for (let number = first; number < TRIALS; number += TAMPERINGS.length) {
        const trial = logs.trial(number);
        expect([number, trial]).toEqual([
          number,
          {
            ...trial,
            tampering,
            verdict: 'broken',
            reasons: expect.arrayContaining([SHOWN_BY[tampering]]),
            firstBadLeaf: expect.any(Number),
          },
        ]);
      }
    },
  );
});
