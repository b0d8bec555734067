/**
 * The greatest of some numbers, none of which is below 0; 0 of none. A call has room for some 120,000 arguments, and an anchor
 * log of ten-minute rounds has more checkpoints than that within three years.
 */
export function greatestOf(numbers: Iterable<number>): number {
  let greatest = 0;
  for (const number of numbers) if (number > greatest) greatest = number;
  return greatest;
}
