/** A stretch of time in microseconds since 1970: [start, end). */
export interface TimeSpan {
  readonly start: number;
  readonly end: number;
}

const UNITS: Readonly<Record<string, number>> = {
  s: 1_000_000,
  m: 60_000_000,
  h: 3_600_000_000,
  d: 86_400_000_000,
  w: 604_800_000_000,
};

const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})$/;
const NOW = /^now(?:([+-])(\d{1,6})([smhdw]))?$/;

export const TIME_FORMS = '2026-11-25, 2026-11-25T08:00Z, 2026-11-25T08:00:00.5Z, now, now-1h, now-7d';

/**
 * A time as it is written in a search: a UTC day, an RFC 3339 time, or one from now. What is written stands for as much time as
 * it leaves open: a day for its 24 hours, a time without seconds for its minute.
 *
 * @param now microseconds since 1970.
 * @returns undefined when it is none.
 */
export function readTime(text: string, now: number): TimeSpan | undefined {
  const relative = NOW.exec(text);
  if (relative !== null) {
    const [, sign, count = '0', unit = 's'] = relative;
    const start = now + (sign === '-' ? -1 : 1) * Number(count) * UNITS[unit]!;
    return start < 0 ? undefined : { start, end: start + 1 };
  }
  if (DAY.test(text)) return spanFrom(`${text}T00:00:00Z`, UNITS['d']!);
  if (!TIME.test(text)) return undefined;
  const fraction = /\.(\d+)/.exec(text)?.[1];
  if (fraction !== undefined) return spanFrom(text, 10 ** (6 - fraction.length));
  const hasSeconds = /T\d{2}:\d{2}:\d{2}/.test(text);
  return hasSeconds
    ? spanFrom(text, UNITS['s']!)
    : spanFrom(text.replace(/T\d{2}:\d{2}/, '$&:00'), UNITS['m']!);
}

function spanFrom(text: string, length: number): TimeSpan | undefined {
  try {
    const start = Number(Temporal.Instant.from(text).epochNanoseconds / 1_000n);
    return start < 0 ? undefined : { start, end: start + length };
  } catch {
    return undefined;
  }
}
