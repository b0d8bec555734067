/**
 * Whether a value of JSON is nested no deeper than so many levels. `JSON.parse` knows no depth, while what looks a value through
 * goes down it level by level and would end where the stack does.
 */
export function isWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (levels === 0) return false;
  return Object.values(value).every((entry) => isWithin(entry, levels - 1));
}
