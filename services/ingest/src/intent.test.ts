import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatIntent, parseIntent } from './intent.ts';

describe('an intent', () => {
  test('comes back from the metadata of a commit as it was written', () => {
    fc.assert(
      fc.property(
        fc.record({
          first: fc.nat(),
          last: fc.nat(),
          records: fc.nat(999_999_999),
          crc: fc.nat(2 ** 32 - 1),
          owner: fc.stringMatching(/^[\w.-]{1,80}$/),
        }),
        (intent) => expect(parseIntent(formatIntent(intent))).toEqual(intent),
      ),
    );
  });

  test.each([
    '',
    'v2|1|2|3|00000000|a',
    'v1|1|2|3|0000000|a',
    'v1|1|2|3|00000000|',
    'v1|-1|2|3|00000000|a',
    'kafka-streams',
  ])('is not read from metadata that is somebody else’s: %p', (metadata) =>
    expect(parseIntent(metadata)).toBeUndefined(),
  );
});
