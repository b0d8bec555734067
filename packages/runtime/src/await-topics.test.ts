import { expect, test } from '@jest/globals';
import { awaitTopics } from './await-topics.ts';

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
