// What stands in command lines, and how it is read.
import { InvalidArgumentError, Option } from 'commander';

export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    if (number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** It stands in the statement, where no parameter can. */
export function formatName(text: string): string {
  if (/^[A-Za-z]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a name such as CSVWithNames.');
}

export function dayName(text: string): string {
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00Z`) : undefined;
  const day = Number.isNaN(at?.getTime() ?? Number.NaN) ? undefined : at?.toISOString().slice(0, 10);
  if (day === text && day >= '2000-01-01' && day < '2200-01-01') return text;
  throw new InvalidArgumentError('It must be a day from 2000-01-01 to 2199-12-31.');
}

/** An id as ClickHouse and people write it. */
export function eventIdOf(text: string): string {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a UUID in lower case.');
}

/** A UTC day or an RFC 3339 time, in milliseconds since 1970. */
export function timeOf(text: string): number {
  const isTime = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?Z)?$/.test(text);
  const ms = isTime ? Date.parse(text) : Number.NaN;
  if (ms >= 0) return ms;
  throw new InvalidArgumentError(
    'It must be a day such as 2026-11-25 or a time such as 2026-11-25T08:00:00Z.',
  );
}

const SPANS: Readonly<Record<string, number>> = { m: 60e6, h: 3_600e6, d: 86_400e6 };

/** A span such as 12h or 7d, in microseconds. */
export function spanOf(text: string): number {
  const [, count = '', unit = ''] = /^([1-9]\d{0,3})([mhd])$/.exec(text) ?? [];
  const span = Number(count) * (SPANS[unit] ?? 0);
  if (span > 0 && span <= 400 * 86_400e6) return span;
  throw new InvalidArgumentError('It must be a span such as 30m, 12h or 7d, and at most 400d.');
}

/** It stands in a statement. */
export function orgName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be the name of an organisation.');
}

export const rootOption = (): Option =>
  new Option('--root <key>', 'verifier key of the root, or its file; default CAIRN_ROOT_KEY');
