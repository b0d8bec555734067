// An extension of Sigma: a rule with `business_hours` holds only for events outside (or inside) an organisation's hours.
//
//   business_hours:
//     matches: outside              # the default; or inside
//     time_zone: Europe/Berlin      # IANA
//     weekdays: [mon, tue, wed, thu, fri]
//     hours: 08:00-18:00            # the end is outside; 22:00-06:00 runs over midnight
//     holidays: {country: DE, state: BE}
import { type HolidayCalendar, holidayCalendar } from './holidays.ts';
import { didYouMean, RuleError } from './mistake.ts';
import { checkKeys, type Entry, entriesOf, entry, itemsOf, startOf, textOf } from './node.ts';
import type { Micros } from './rule.ts';

const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const KEYS = ['matches', 'time_zone', 'weekdays', 'hours', 'holidays'];
const MINUTE: Micros = 60_000_000;

interface Hours {
  readonly timeZone: string;
  readonly weekdays: ReadonlySet<number>;
  /** Minutes of the day; `to` is less than `from` when they run over midnight. */
  readonly from: number;
  readonly to: number;
  readonly isHoliday: HolidayCalendar;
}

/** Whether the rule may hold at this time. @throws RuleError */
export function businessHoursTest({ value, offset }: Entry): (time: Micros) => boolean {
  const entries = entriesOf(value, 'business_hours', offset);
  checkKeys(entries, KEYS, 'business_hours');
  const matches = optional(entries, 'matches') ?? 'outside';
  if (matches !== 'outside' && matches !== 'inside')
    throw new RuleError(entry(entries, 'matches')?.offset ?? offset, 'matches is outside or inside');
  const hours: Hours = {
    timeZone: timeZoneOf(required(entries, 'time_zone', offset)),
    weekdays: weekdaysOf(entry(entries, 'weekdays')),
    ...hoursOf(required(entries, 'hours', offset)),
    isHoliday: holidaysOf(entry(entries, 'holidays')),
  };
  const wanted = matches === 'inside';
  // Events come nearly in the order of time, and a minute is either inside or outside as a whole.
  let [minute, inside] = [Number.NaN, false];
  return (time) => {
    const at = Math.floor(time / MINUTE);
    if (at !== minute) [minute, inside] = [at, isInside(hours, at)];
    return inside === wanted;
  };
}

/** @param minute since 1970. */
function isInside({ timeZone, weekdays, from, to, isHoliday }: Hours, minute: number): boolean {
  const local = Temporal.Instant.fromEpochMilliseconds(minute * 60_000).toZonedDateTimeISO(timeZone);
  const ofDay = local.hour * 60 + local.minute;
  const worked = (date: Temporal.PlainDate): boolean =>
    weekdays.has(date.dayOfWeek) && !isHoliday(date.toString());
  const today = local.toPlainDate();
  if (from < to) return ofDay >= from && ofDay < to && worked(today);
  return (ofDay >= from && worked(today)) || (ofDay < to && worked(today.subtract({ days: 1 })));
}

function required(entries: readonly Entry[], key: string, offset: number): Entry {
  const found = entry(entries, key);
  if (found === undefined) throw new RuleError(offset, `business_hours must say ${key}`);
  return found;
}

function optional(entries: readonly Entry[], key: string): string | undefined {
  const found = entry(entries, key);
  return found === undefined ? undefined : textOf(found.value, key, found.offset);
}

function timeZoneOf({ value, offset }: Entry): string {
  const name = textOf(value, 'time_zone', offset);
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return name;
  } catch {
    throw new RuleError(
      startOf(value, offset),
      `there is no time zone ${name}; write a name of the IANA data base, such as Europe/Berlin`,
    );
  }
}

function weekdaysOf(found: Entry | undefined): ReadonlySet<number> {
  if (found === undefined) return new Set([1, 2, 3, 4, 5]);
  return new Set(
    itemsOf(found.value).map((item) => {
      const name = textOf(item, 'a weekday', found.offset);
      const index = WEEKDAYS.indexOf(name.toLowerCase());
      if (index < 0)
        throw new RuleError(
          startOf(item, found.offset),
          `there is no weekday ${name}${didYouMean(name, WEEKDAYS)}`,
        );
      return index + 1;
    }),
  );
}

function hoursOf({ value, offset }: Entry): { from: number; to: number } {
  const text = textOf(value, 'hours', offset);
  const [, fromHour, fromMinute, toHour, toMinute] = /^(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(text) ?? [];
  const from = Number(fromHour) * 60 + Number(fromMinute);
  const to = Number(toHour) * 60 + Number(toMinute);
  const valid = Number(fromMinute) < 60 && Number(toMinute) < 60 && from < 1440 && to <= 1440 && from !== to;
  if (!valid)
    throw new RuleError(startOf(value, offset), `${text} are no hours; write them like 08:00-18:00`);
  return { from, to };
}

function holidaysOf(found: Entry | undefined): HolidayCalendar {
  if (found === undefined) return () => false;
  const entries = entriesOf(found.value, 'holidays', found.offset);
  checkKeys(entries, ['country', 'state', 'region'], 'holidays');
  const country = optional(entries, 'country');
  if (country === undefined) throw new RuleError(found.offset, 'holidays must say country, such as DE');
  const calendar = holidayCalendar({
    country,
    state: optional(entries, 'state'),
    region: optional(entries, 'region'),
  });
  if (typeof calendar === 'string') throw new RuleError(startOf(found.value, found.offset), calendar);
  return calendar;
}
