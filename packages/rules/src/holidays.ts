import Holidays from 'date-holidays';
import { didYouMean } from './mistake.ts';

/** Whether a day, written as 2026-12-25, is a public holiday. */
export type HolidayCalendar = (day: string) => boolean;

/** A country, and where it has them a state and a region of it, as date-holidays names them (ISO 3166). */
export interface HolidayPlace {
  readonly country: string;
  readonly state: string | undefined;
  readonly region: string | undefined;
}

/** The calendar of a place, or what is wrong with the place. Computed for each year when it is first asked for. */
export function holidayCalendar({ country, state, region }: HolidayPlace): HolidayCalendar | string {
  const all = new Holidays();
  const unknown = (what: string, name: string, known: object | undefined): string =>
    `there are no holidays of ${what} ${name}${didYouMean(name, Object.keys(known ?? {}))}`;
  const countries = all.getCountries();
  if (!Object.hasOwn(countries, country)) return unknown('country', country, countries);
  const states = all.getStates(country);
  if (state !== undefined && !Object.hasOwn(states ?? {}, state)) return unknown('state', state, states);
  const regions = state === undefined ? undefined : all.getRegions(country, state);
  if (region !== undefined && !Object.hasOwn(regions ?? {}, region))
    return unknown('region', region, regions);
  const place = new Holidays({
    country,
    ...(state === undefined ? {} : { state }),
    ...(region === undefined ? {} : { region }),
  });
  const years = new Map<number, ReadonlySet<string>>();
  return (day) => {
    const year = Number(day.slice(0, 4));
    let days = years.get(year);
    if (days === undefined) {
      days = new Set(
        place
          .getHolidays(year)
          .filter(({ type }) => type === 'public')
          .flatMap(({ date, start, end }) => daysFrom(date, end.getTime() - start.getTime())),
      );
      years.set(year, days);
    }
    return days.has(day);
  };
}

const DAY_MS = 86_400_000;

/** The days that a holiday touches. @param date begins with its first day, in the place's own time. */
function daysFrom(date: string, lastsMs: number): string[] {
  const first = Date.parse(`${date.slice(0, 10)}T00:00:00Z`);
  const count = Math.max(1, Math.round(lastsMs / DAY_MS));
  return Array.from({ length: count }, (_, index) =>
    new Date(first + index * DAY_MS).toISOString().slice(0, 10),
  );
}
