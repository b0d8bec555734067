import { describe, expect, test } from '@jest/globals';
import { detectionText, rulesOf } from './testing/sample-event.ts';

function firesAt(hours: string, time: string): boolean | undefined {
  const text = detectionText('{s: {action: pay}, condition: s}', `business_hours: ${hours}\n`);
  return rulesOf(text).detections[0]?.matches({ action: 'pay', timestamp: Date.parse(time) * 1_000 });
}

describe('outside business hours', () => {
  const BERLIN = '{time_zone: Europe/Berlin, hours: 08:00-18:00, holidays: {country: DE, state: BE}}';
  test.each([
    ['2026-11-25T06:59:59Z', true],
    ['2026-11-25T07:00:00Z', false],
    ['2026-11-25T16:59:59Z', false],
    ['2026-11-25T17:00:00Z', true],
    // Summer time begins on 2026-03-29.
    ['2026-03-27T06:30:00Z', true],
    ['2026-03-30T06:30:00Z', false],
    ['2026-11-28T10:00:00Z', true],
    ['2026-12-25T10:00:00Z', true],
    // International Women's Day is a holiday in Berlin alone; in 2027 it is a Monday.
    ['2027-03-08T10:00:00Z', true],
    // Good Friday 2027, which moves with Easter.
    ['2027-03-26T10:00:00Z', true],
  ])('%s in Berlin: %s', (time, expected) => {
    expect(firesAt(BERLIN, time)).toBe(expected);
  });

  test('a holiday of one state is none elsewhere', () => {
    expect(
      firesAt(
        '{time_zone: Europe/Berlin, hours: 08:00-18:00, holidays: {country: DE, state: HH}}',
        '2027-03-08T10:00:00Z',
      ),
    ).toBe(false);
  });

  test('hours over midnight belong to the day on which they begin', () => {
    const night = '{time_zone: UTC, hours: 22:00-06:00, weekdays: [fri]}';
    expect(firesAt(night, '2026-11-27T23:00:00Z')).toBe(false);
    expect(firesAt(night, '2026-11-28T05:59:00Z')).toBe(false);
    expect(firesAt(night, '2026-11-28T06:00:00Z')).toBe(true);
    expect(firesAt(night, '2026-11-27T05:00:00Z')).toBe(true);
  });

  test('matches: inside turns it round', () => {
    expect(firesAt('{time_zone: UTC, hours: 08:00-18:00, matches: inside}', '2026-11-25T10:00:00Z')).toBe(
      true,
    );
  });
});
