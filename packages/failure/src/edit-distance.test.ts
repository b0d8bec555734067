import { describe, expect, test } from '@jest/globals';
import { editDistance } from './edit-distance.ts';

describe('the distance between two words', () => {
  test.each([
    ['', '', 0],
    ['agent', '', 5],
    ['', 'agent', 5],
    ['kitten', 'sitting', 3],
    ['decison', 'decision', 1],
    ['flaw', 'lawn', 2],
  ])('%j and %j are %i letters apart, in both directions', (one, other, letters) => {
    expect(editDistance(one, other)).toBe(letters);
    expect(editDistance(other, one)).toBe(letters);
  });
});
