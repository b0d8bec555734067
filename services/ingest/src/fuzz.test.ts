import { expect, test } from '@jest/globals';
import { fuzz } from '../test/mutate-datums.ts';

/** `node services/ingest/test/fuzz.ts` walks ten million. */
const DATUMS = 100_000;

test('whatever the walk accepts of mutated datums is one event in canonical form, and no walk is slow', () => {
  const { wrong, accepted, refused } = fuzz(1, DATUMS);
  expect(wrong).toEqual([]);
  expect(accepted).toBeGreaterThan(DATUMS / 100);
  expect(Object.keys(refused).length).toBeGreaterThan(6);
}, 60_000);
