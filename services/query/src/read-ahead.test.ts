import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { readAhead } from './read-ahead.ts';

const AHEAD = 2;
const upTo = (end: number): number[] => Array.from({ length: end }, (_, at) => at);

/** Reads each number as itself; later ones are there sooner, as far as that can be. */
function counting(failing = -1) {
  const seen = { began: 0, ended: 0 };
  const read = async (at: number): Promise<number> => {
    seen.began += 1;
    for (let wait = 0; wait < 6 - (at % 3) * 2; wait += 1) await turn();
    seen.ended += 1;
    if (at === failing) throw new Error('it broke off');
    return at;
  };
  return { seen, read };
}

describe('pieces that are read ahead', () => {
  test('come whole and in the order of their sources, whichever is there first', async () => {
    const { read } = counting();
    expect(await Array.fromAsync(readAhead(upTo(7), AHEAD, read))).toEqual(upTo(7));
    expect(await Array.fromAsync(readAhead(upTo(1), AHEAD, read))).toEqual([0]);
    expect(await Array.fromAsync(readAhead([], AHEAD, read))).toEqual([]);
  });

  test('are read side by side while one is taken, and none behind these', async () => {
    const { seen, read } = counting();
    for await (const at of readAhead(upTo(6), AHEAD, read)) {
      for (let wait = 0; wait < 20; wait += 1) await turn();
      expect(seen.began).toBe(Math.min(at + 1 + AHEAD, 6));
    }
  });

  test('give what came before an error, and then the error', async () => {
    const { read } = counting(3);
    const taken: number[] = [];
    const take = async () => {
      for await (const at of readAhead(upTo(9), AHEAD, read)) taken.push(at);
    };
    await expect(take()).rejects.toThrow('it broke off');
    expect(taken).toEqual([0, 1, 2]);
  });

  test('are read no further when nobody takes them any more, and none is at work behind the end', async () => {
    const { seen, read } = counting();
    for await (const at of readAhead(upTo(100), AHEAD, read)) if (at === 1) break;
    expect(seen).toEqual({ began: 4, ended: 4 });
  });
});
