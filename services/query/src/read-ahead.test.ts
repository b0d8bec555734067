import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { readAhead } from './read-ahead.ts';

interface Seen {
  began: number;
  isEnded: boolean;
}

async function* counting(seen: Seen, to: number, failing = false): AsyncGenerator<number, void> {
  try {
    for (let at = 0; at < to; at += 1) {
      seen.began += 1;
      await turn();
      yield at;
    }
    if (failing) throw new Error('it broke off');
  } finally {
    seen.isEnded = true;
  }
}

const start = (): Seen => ({ began: 0, isEnded: false });

describe('pieces that are read ahead', () => {
  test('come whole and in order', async () => {
    const seen = start();
    expect(await Array.fromAsync(readAhead(counting(seen, 5)))).toEqual([0, 1, 2, 3, 4]);
    expect(await Array.fromAsync(readAhead(counting(start(), 0)))).toEqual([]);
    expect(seen.isEnded).toBe(true);
  });

  test('are two at a time: the next is begun while one is taken, and none behind it', async () => {
    const seen = start();
    for await (const at of readAhead(counting(seen, 6))) {
      for (let wait = 0; wait < 20; wait += 1) await turn();
      expect(seen.began).toBe(Math.min(at + 2, 6));
    }
  });

  test('give what came before an error, and then the error', async () => {
    const taken: number[] = [];
    const read = async () => {
      for await (const at of readAhead(counting(start(), 3, true))) taken.push(at);
    };
    await expect(read()).rejects.toThrow('it broke off');
    expect(taken).toEqual([0, 1, 2]);
  });

  test('are read no further when nobody takes them any more, and their source is ended', async () => {
    const seen = start();
    for await (const at of readAhead(counting(seen, 100))) if (at === 1) break;
    expect(seen).toEqual({ began: 3, isEnded: true });
  });
});
