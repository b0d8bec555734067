/**
 * A length of time as regimes state it: `400 days`, `12 months`, `6 years`. Calendar units stay what they are; six years
 * are 2,191 or 2,192 days, and 2,190 across the year 2100.
 */
export interface Period {
  readonly count: number;
  readonly unit: 'days' | 'months' | 'years';
}

/** An instant, in milliseconds since 1970-01-01T00:00:00Z, as manifests and stores say it. `Infinity` is no end. */
export type Millis = number;

/** The form of a period: a whole number and a unit. Locks cannot be shortened, so a hundred years is the most. */
export const PERIOD_FORM = '^([1-9][0-9]{0,4}) (days?|months?|years?)$';

const DAYS_MAX = 36_525;
const COUNT_MAX = { days: DAYS_MAX, months: 1_200, years: 100 } as const;

/** @returns undefined when the text is no period, or one of more than a hundred years. */
export function parsePeriod(text: string): Period | undefined {
  const [, digits, word] = new RegExp(PERIOD_FORM).exec(text) ?? [];
  if (digits === undefined || word === undefined) return undefined;
  const unit = UNITS[word[0] as keyof typeof UNITS];
  const count = Number(digits);
  return count <= COUNT_MAX[unit] ? { count, unit } : undefined;
}

const UNITS = { d: 'days', m: 'months', y: 'years' } as const;

export function periodText({ count, unit }: Period): string {
  return `${count} ${count === 1 ? unit.slice(0, -1) : unit}`;
}

/**
 * The last day of a period that begins on this day. The first day is not counted, and where the last month has no such
 * day, its last day takes the place: 29 February 2024 and six years end with 28 February 2030 (as Regulation (EEC,
 * Euratom) No 1182/71, Art. 3, counts months and years). The calendar is the proleptic Gregorian one.
 */
export function lastDayOf(from: Temporal.PlainDate, { count, unit }: Period): Temporal.PlainDate {
  return from.add({ [unit]: count }, { overflow: 'constrain' });
}

/**
 * Where a period ends that is counted from an event: with the last hour of its last day, in the time zone of whoever states
 * it. So it is never shorter than the period, and all events of a day end together.
 */
export function endOf(from: Millis, period: Period, timezone: string): { lastDay: string; until: Millis } {
  const lastDay = lastDayOf(dayOf(from, timezone), period);
  return { lastDay: lastDay.toString(), until: endOfDay(lastDay, timezone) };
}

/** The day on which an instant falls in a time zone. */
export function dayOf(at: Millis, timezone: string): Temporal.PlainDate {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(timezone).toPlainDate();
}

/** The first instant of a day in a time zone; not always midnight, since clocks may go forward then. */
export function startOfDay(day: Temporal.PlainDate, timezone: string): Millis {
  return day.toZonedDateTime(timezone).epochMilliseconds;
}

/** The first instant after a day. */
export function endOfDay(day: Temporal.PlainDate, timezone: string): Millis {
  return startOfDay(day.add({ days: 1 }), timezone);
}

/** An instant as text, RFC 3339 in UTC to the second, as Object Lock dates are given. Null where there is no end. */
export function instantText(at: Millis): string | null {
  if (!Number.isFinite(at)) return null;
  return Temporal.Instant.fromEpochMilliseconds(at).toString({ smallestUnit: 'second' });
}

/**
 * How many days a store that drops whole days has to keep, today's included, so that the latest `period` is always in it.
 * Three months back from 1 October is 1 July, 92 days; with the day itself that is 93, and 90 is too few.
 */
export function daysToCover({ count, unit }: Period): number {
  if (unit === 'days') return count + 1;
  let most = 0;
  // Four years with their leap day hold every case; without one they hold fewer days.
  for (let day = CYCLE_START; day.year < CYCLE_START.year + 4; day = day.add({ days: 1 })) {
    most = Math.max(most, day.subtract({ [unit]: count }).until(day, { largestUnit: 'days' }).days);
  }
  return most + 1;
}

const CYCLE_START = Temporal.PlainDate.from('2001-01-01');
