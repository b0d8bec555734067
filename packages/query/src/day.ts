/** A UTC day as `YYYY-MM-DD`: the day on which the broker appended an event, by which the hot store is kept and dropped. */
export type Day = string;

export const DAY_MS = 86_400_000;

/** @param ms milliseconds since 1970. */
export const dayOf = (ms: number): Day =>
  Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO('UTC').toPlainDate().toString();

/** Its first instant, milliseconds since 1970. */
export const startOf = (day: Day): number =>
  Temporal.PlainDate.from(day).toZonedDateTime('UTC').epochMilliseconds;

/** The days that [first, last] touches, milliseconds since 1970. */
export function* daysWithin(first: number, last: number): Generator<Day> {
  for (let ms = first; ms <= last; ms = (Math.floor(ms / DAY_MS) + 1) * DAY_MS) yield dayOf(ms);
}
