import { describe, expect, test } from '@jest/globals';
import { nextAttempt, RETRY_SCHEDULE_MS, retryAfterMs } from './next-attempt.ts';

const NOW = Date.parse('2026-11-25T12:00:00Z');

describe('the schedule', () => {
  test('is the one that Standard Webhooks publishes: ten attempts in 75:35:05', () => {
    expect(RETRY_SCHEDULE_MS.length).toBe(10);
    expect(RETRY_SCHEDULE_MS.reduce((sum, ms) => sum + ms)).toBe(((75 * 60 + 35) * 60 + 5) * 1000);
  });

  test('is followed by every failure, spread by at most a fifth, and ends in parking', () => {
    for (const status of [undefined, 301, 302, 400, 404, 429, 500, 503]) {
      for (let attempts = 1; attempts < 10; attempts += 1) {
        const wait = RETRY_SCHEDULE_MS[attempts]!;
        expect(nextAttempt(status, undefined, attempts, NOW, 0)).toEqual({ next: 'retry', afterMs: wait });
        expect(nextAttempt(status, undefined, attempts, NOW, 0.999_999)).toEqual({
          next: 'retry',
          afterMs: Math.round(wait * (1 + 0.999_999 / 5)),
        });
      }
      expect(nextAttempt(status, undefined, 10, NOW, 0)).toEqual({ next: 'park' });
    }
  });

  test('ends with any 2xx; 410 disables the endpoint', () => {
    for (const status of [200, 202, 204, 299])
      expect(nextAttempt(status, undefined, 1, NOW, 0)).toEqual({ next: 'delivered' });
    expect(nextAttempt(410, '5', 1, NOW, 0)).toEqual({ next: 'disable' });
  });

  test('waits longer when the receiver asks for it, never shorter, and not for ever', () => {
    expect(nextAttempt(429, '120', 1, NOW, 0)).toEqual({ next: 'retry', afterMs: 120_000 });
    expect(nextAttempt(503, 'Wed, 25 Nov 2026 12:01:00 GMT', 1, NOW, 0)).toEqual({
      next: 'retry',
      afterMs: 60_000,
    });
    expect(nextAttempt(429, '1', 3, NOW, 0)).toEqual({ next: 'retry', afterMs: 1_800_000 });
    expect(nextAttempt(429, '999999999', 1, NOW, 0)).toEqual({ next: 'retry', afterMs: 86_400_000 });
  });

  test.each(['', 'soon', '-5', '1e9', '99999999999', 'NaN'])('does not trip over Retry-After %j', (text) => {
    const ms = retryAfterMs(text, NOW);
    expect(ms === undefined || (ms >= 0 && ms <= 86_400_000)).toBe(true);
  });
});
