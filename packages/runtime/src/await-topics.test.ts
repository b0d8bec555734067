import { expect, jest, test } from '@jest/globals';
import { awaitTopics, ensureTopicsSoon } from './await-topics.ts';

test('waits until every topic is there, says which one it waits for, and how many partitions each has', async () => {
  const asked: string[] = [];
  const said: unknown[] = [];
  const kafka = {
    partitionsOf: async (topic: string) => {
      asked.push(topic);
      return topic === 'late' && asked.filter((one) => one === 'late').length < 2 ? undefined : 4;
    },
  };
  const log = { warn: (facts: unknown) => void said.push(facts) };
  expect(await awaitTopics(kafka, ['there', 'late'], log as never)).toEqual([
    { topic: 'there', partitions: 4 },
    { topic: 'late', partitions: 4 },
  ]);
  expect(said).toEqual([{ topic: 'late' }]);
});

test('topics are made once the log answers, and what kept it is said', async () => {
  jest.useFakeTimers();
  let attempts = 0;
  const made: unknown[] = [];
  const said: unknown[] = [];
  const kafka = {
    ensureTopics: async (topics: unknown) => {
      attempts += 1;
      if (attempts < 3) throw new Error('away');
      made.push(topics);
    },
  };
  const log = { warn: (facts: unknown) => void said.push(facts) };
  ensureTopicsSoon(kafka, [{ name: 'a', partitions: 4 }], log as never);
  await jest.advanceTimersByTimeAsync(10_000);
  jest.useRealTimers();
  expect(attempts).toBe(3);
  expect(made).toEqual([[{ name: 'a', partitions: 4 }]]);
  expect(said).toEqual([{ reason: 'away' }, { reason: 'away' }]);
});
