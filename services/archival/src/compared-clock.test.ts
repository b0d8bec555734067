import { describe, expect, test } from '@jest/globals';
import { comparedClock } from './compared-clock.ts';

const HOUR_MS = 3_600_000;

/** Clocks that a test sets: the wall, and the monotonic one. */
const clocks = (storeAheadMs: number) => {
  const at = { wall: 1_795_000_000_000, monotonic: 5_000 };
  const clock = comparedClock(
    { clockAheadMs: storeAheadMs },
    () => at.wall,
    () => at.monotonic,
  );
  const pass = (ms: number): void => {
    at.wall += ms;
    at.monotonic += ms;
  };
  return { at, clock, pass };
};

describe('the clock of archival beside the store’s', () => {
  test('is believed while both go alike', () => {
    const { clock, pass } = clocks(0);
    pass(400 * 24 * HOUR_MS);
    expect(clock.finding('e2e/anchors')).toBeUndefined();
    expect(() => clock.check()).not.toThrow();
  });

  test.each([
    ['ahead of', -HOUR_MS],
    ['behind', HOUR_MS],
  ])('an hour %s it at the start: told, and nothing is decided by it', (word, storeAheadMs) => {
    const { clock } = clocks(storeAheadMs);
    expect(clock.finding('e2e/anchors')).toMatchObject({
      reason: 'clock-off',
      detail: `the clock of archival is 3600 s ${word} the store's`,
    });
    expect(() => clock.check()).toThrow(expect.objectContaining({ code: 'clock.off', retry: 'later' }));
  });

  test('stepped while it runs: told, until it is stepped back', () => {
    const { at, clock, pass } = clocks(0);
    pass(HOUR_MS);
    at.wall += HOUR_MS;
    expect(clock.aheadMs()).toBe(HOUR_MS);
    expect(() => clock.check()).toThrow();
    at.wall -= HOUR_MS;
    expect(clock.finding('e2e/anchors')).toBeUndefined();
    expect(() => clock.check()).not.toThrow();
  });

  test('two minutes off: told, and still used', () => {
    const { at, clock } = clocks(0);
    at.wall -= 120_000;
    expect(clock.finding('e2e/anchors')).toMatchObject({ reason: 'clock-off' });
    expect(() => clock.check()).not.toThrow();
  });
});
