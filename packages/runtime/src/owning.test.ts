import { expect, test } from '@jest/globals';
import { owning } from './owning.ts';

const opens = (closed: string[]) => async (own: AsyncDisposableStack) => {
  own.defer(() => void closed.push('first'));
  own.defer(() => void closed.push('second'));
  return 'started';
};

test('what was opened by a start that fails is closed, the last opened first', async () => {
  const closed: string[] = [];
  const starting = owning(async (own) => {
    await opens(closed)(own);
    throw new Error('no port');
  });
  await expect(starting).rejects.toThrow('no port');
  expect(closed).toEqual(['second', 'first']);
});

test('what was opened by a start that succeeds stays open', async () => {
  const closed: string[] = [];
  expect(await owning(opens(closed))).toBe('started');
  expect(closed).toEqual([]);
});
