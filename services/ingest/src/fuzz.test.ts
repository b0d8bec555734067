import { expect, test } from '@jest/globals';
import { fuzz } from '../test/mutate-datums.ts';

/** `node services/ingest/test/fuzz.ts` walks ten million. */
const DATUMS = 100_000;

test('whatever the walk accepts of mutated datums is one event in canonical form, and no walk takes much time or memory', () => {
  const { wrong, accepted, refused, most_bytes } = fuzz(1, DATUMS);
  expect(wrong).toEqual([]);
  // The measure is alive: what a walk returns is an object.
  expect(most_bytes).toBeGreaterThan(0);
  expect(accepted).toBeGreaterThan(DATUMS / 100);
  expect(Object.keys(refused).length).toBeGreaterThan(6);
}, 60_000);
