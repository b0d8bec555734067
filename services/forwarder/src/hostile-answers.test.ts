// What a receiver answers stands in the log, in the trail and in what is parked: with nothing in it that a terminal would obey.
import { createLog } from '@cairn/runtime';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { saidBy, verdictOf } from './http-verdict.ts';
import { parkedEvent } from './record-forwarding.ts';

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const HOSTILE = [
  ...['\t', '\n', '\r', '\u001b[31m', '\u007f', '\u0085', '\u009b2J', '\u00ad', '\u061c', '\u200b', '\u200f'],
  ...['\u2028', '\u2029', '\u202a', '\u202e', '\u2066', '\u2069', '\ufeff', '\ufff9', '\u{e0001}', '😀'],
];
const answerOf = fc.record({
  status: fc.constantFrom(400, 401, 404, 408, 413, 422, 429, 500, 503),
  retryAfter: fc.constant(undefined),
  excerpt: fc
    .array(fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ unit: 'binary' })), { maxLength: 80 })
    .map((parts) => parts.join('')),
});

test('the reason of a verdict, its log line and its event have no such character, wherever it is cut', () => {
  fc.assert(
    fc.property(answerOf, (answer) => {
      const verdict = verdictOf(answer as Parameters<typeof verdictOf>[0], 0);
      const reason = 'reason' in verdict ? verdict.reason : '';
      expect(reason).not.toBe('');
      const lines: string[] = [];
      const log = createLog({
        name: 'forwarder',
        destination: { write: (line: string) => void lines.push(line) },
      });
      log.warn({ destination: 'one', ...verdict, answer: answer.excerpt }, 'not taken whole');
      const item = { topic: 't', partition: 0, offset: 1, eventId: 'e', isOwn: false };
      const event = parkedEvent('one', [{ item, reason: answer.excerpt } as never], 'acme');
      for (const text of [
        reason,
        saidBy(answer.excerpt),
        event?.error_message ?? '',
        ...lines.map((line) => line.trimEnd()),
      ])
        expect(text).not.toMatch(UNSAFE);
    }),
    { numRuns: 300 },
  );
});
