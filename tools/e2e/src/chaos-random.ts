/** Random choices that a seed decides. */
export interface Random {
  /** From 0 up to 1, without 1. */
  next(): number;
  /** A number from `least` up to `most`. */
  between(least: number, most: number): number;
  /** True once in `1 / share` times. */
  chance(share: number): boolean;
}

/** The same choices for the same seed and purpose (mulberry32); another purpose is another sequence. */
export function randomOf(seed: number, purpose: string): Random {
  let state = seed | 0;
  for (const character of purpose) state = Math.imul(state ^ character.charCodeAt(0), 0x9e3779b1);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (least, most) => least + next() * (most - least),
    chance: (share) => next() < share,
  };
}
