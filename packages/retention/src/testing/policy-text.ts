import { policyOf, type RetentionPolicy, readPolicy } from '../index.ts';

/** Regimes as tests want them: a year, six years, three months hot, a maximum, a lifetime, one with dates. */
export const REGIMES = `
regimes:
  year: { title: A year, basis: practice, source: Habit, says: A year., keep_at_least: 12 months }
  six: { title: Six years, basis: law, source: Act 6, says: Six years., keep_at_least: 6 years }
  hot: { title: Hot, basis: standard, source: Rule 3, says: Hot., keep_at_least: 12 months, hot_at_least: 3 months }
  most: { title: At most, basis: law, source: Act 5, says: No longer., keep_at_most: stated }
  life: { title: Lifetime, basis: practice, source: Act 12, says: While it lives., keep_at_least: 6 months, keep_after_operation: stated }
  dated: { title: Dated, basis: law, source: Act 7, says: Ten years., keep_at_least: 10 years, applies_from: 2027-01-01, applies_until: 2029-01-01 }
`;

/** A policy of these classes and whatever follows them. */
export function policyWith(rest: string): RetentionPolicy {
  return policyOf(readPolicy(`version: 1\n${REGIMES}\n${rest}`), 'test.yaml');
}

export const at = (text: string): number => Date.parse(text);

/** Times of what happened and arrived between two instants. */
export function times(from: string, to = from) {
  return {
    timestamps: { min: at(from) * 1_000, max: at(to) * 1_000 },
    received: { min: at(from), max: at(to) },
  };
}
