import type { BaselineTerms, Micros } from './rule.ts';

/** What a group did in the same hour of earlier weeks. */
export interface History {
  /** One count for each week in which the group was known, zeros included; newest first. */
  readonly counts: readonly number[];
}

/** Why a count is or is not unusual. */
export interface Judgement {
  readonly unusual: boolean;
  readonly count: number;
  /** Median of the history; undefined when there is too little of it. */
  readonly expected: number | undefined;
  /** The spread: 1.4826 times the median absolute deviation, and at least the square root of the median, and 1. */
  readonly spread: number | undefined;
  /** The count fires above this. */
  readonly limit: number;
  readonly weeks: number;
  /** One sentence: which count, what was expected, by how much it is above. */
  readonly reason: string;
}

/** Makes the median absolute deviation of normally distributed values their standard deviation (1 / Φ⁻¹(3/4)). */
const MAD_TO_DEVIATION = 1.4826;

export const HOUR: Micros = 3_600_000_000;
export const WEEK: Micros = 168 * HOUR;

/** Hour of the week, 0 to 167; 0 is Monday from 00:00 UTC. */
export function hourOfWeek(time: Micros): number {
  // 1970-01-01 was a Thursday.
  return (Math.floor(time / HOUR) + 72) % 168;
}

/**
 * Judges a count against the group's own history: median and median absolute deviation, so that a few wild weeks neither
 * raise what is expected nor widen it. Counts scatter at least as a Poisson process does, so the spread is never less than
 * the square root of the median.
 */
export function judgeVolume(terms: BaselineTerms, count: number, { counts }: History): Judgement {
  const known = counts.slice(0, terms.weeks);
  if (known.length < terms.weeksMin) {
    const unusual = count > terms.atLeast;
    return {
      unusual,
      count,
      expected: undefined,
      spread: undefined,
      limit: terms.atLeast,
      weeks: known.length,
      reason:
        `${count} in this hour; ${known.length} of the ${terms.weeksMin} weeks needed are known, so the limit is ` +
        `at_least: ${terms.atLeast}`,
    };
  }
  const expected = medianOf(known);
  const deviation = medianOf(known.map((value) => Math.abs(value - expected)));
  const spread = Math.max(1, Math.sqrt(expected), MAD_TO_DEVIATION * deviation);
  const limit = Math.max(terms.atLeast, expected + terms.deviations * spread);
  return {
    unusual: count > limit,
    count,
    expected,
    spread,
    limit,
    weeks: known.length,
    reason:
      `${count} in this hour; ${short(expected)} was expected (median of the same hour in ${known.length} weeks), ` +
      `the limit is ${short(limit)}, and ${short((count - expected) / spread)} deviations of ${short(spread)} lie between`,
  };
}

/** @param values at least one. */
function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

const short = (value: number): string => String(Math.round(value * 10) / 10);
