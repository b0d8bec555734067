import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Question } from './question.ts';
import { type Window, windowsOf } from './search-windows.ts';

const HOUR = 3_600_000_000;
const NOW = 1_795_000_000_000_000;

/** What a table would give: the walk over times of events, as a search goes it. */
function walked(times: readonly number[], question: Question): { found: number[]; windows: Window[] } {
  const sign = question.order === 'newest' ? -1 : 1;
  const sorted = times.toSorted((one, other) => sign * (one - other));
  const within = ({ from = 0, to = Number.POSITIVE_INFINITY }: Window) =>
    sorted.filter((time) => time >= from && time < to);
  const [found, windows]: [number[], Window[]] = [[], []];
  const walk = windowsOf(question);
  for (let step = walk.next(0); !step.done; ) {
    windows.push(step.value);
    const here = within(step.value).slice(0, question.limit - found.length);
    found.push(...here);
    step = walk.next(here.length);
  }
  return { found, windows };
}

const times = fc.array(
  fc.oneof(
    fc.integer({ min: NOW - 40 * 24 * HOUR, max: NOW + HOUR }),
    fc.integer({ min: NOW - 3 * HOUR, max: NOW }),
    fc.constantFrom(0, 1, NOW, NOW + 400 * 24 * HOUR),
  ),
  { maxLength: 60 },
);
const maybe = (arbitrary: fc.Arbitrary<number>) => fc.option(arbitrary, { nil: undefined });
const bound = maybe(fc.integer({ min: NOW - 50 * 24 * HOUR, max: NOW + 2 * HOUR }));
const question = fc.record({
  order: fc.constantFrom('newest' as const, 'oldest' as const),
  limit: fc.integer({ min: 1, max: 40 }),
  from: bound,
  to: bound,
  now: maybe(fc.constant(NOW)),
});

describe('windows', () => {
  test('give what one statement over the whole time gives, whatever the table holds', () => {
    fc.assert(
      fc.property(times, question, (all, { order, limit, from, to, now }) => {
        const asked: Question = { over: 'hot', filters: {}, order, limit, from, to, now };
        const sign = order === 'newest' ? -1 : 1;
        const whole = all
          .filter((time) => time >= (from ?? 0) && time < (to ?? Number.POSITIVE_INFINITY))
          .toSorted((one, other) => sign * (one - other))
          .slice(0, limit);
        expect(walked(all, asked).found).toEqual(whole);
      }),
      { numRuns: 3_000 },
    );
  });

  test('go on behind the page before', () => {
    fc.assert(
      fc.property(times, question, fc.integer({ min: 0, max: 39 }), (all, { order, limit, now }, at) => {
        const sign = order === 'newest' ? -1 : 1;
        const sorted = [...new Set(all)].toSorted((one, other) => sign * (one - other));
        const timestamp = sorted[at];
        if (timestamp === undefined) return;
        const after = { timestamp, topic: 't', partition: 0, offset: 0 };
        const asked: Question = { over: 'hot', filters: {}, order, limit, after, now };
        const behind = sorted.slice(at + 1);
        expect(walked(behind, asked).found).toEqual(behind.slice(0, limit));
      }),
      { numRuns: 2_000 },
    );
  });

  test('are three at most, and one where nothing says where to begin', () => {
    const asked = { over: 'hot', filters: {}, order: 'newest', limit: 10 } as const;
    expect(walked([], { ...asked, now: NOW }).windows).toHaveLength(3);
    expect(walked([], asked).windows).toEqual([{}]);
    expect(walked([], { ...asked, order: 'oldest', now: NOW }).windows).toEqual([{}]);
    const day = { from: NOW - HOUR / 2, to: NOW };
    expect(walked([], { ...asked, ...day, now: NOW }).windows).toEqual([day]);
  });

  test('end with the one that fills the answer, and none before it is as long as everything', () => {
    const everyHour = Array.from({ length: 30 * 24 }, (_, hour) => NOW - 1 - hour * HOUR);
    const { found, windows } = walked(everyHour, {
      over: 'hot',
      filters: {},
      order: 'newest',
      limit: 100,
      now: NOW,
    });
    expect(found).toEqual(everyHour.slice(0, 100));
    expect(windows).toHaveLength(2);
    expect(windows[1]!.from).toBeGreaterThan(NOW - 7 * 24 * HOUR);
  });
});
