import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DETECTORS } from './detectors.ts';
import { bounded, linear, type Search } from './search.ts';

/** Everything that a search finds, one match behind the other. */
function allOf(search: Search, text: string): (readonly [number, number])[] {
  const found: (readonly [number, number])[] = [];
  for (let match = search(text, 0); match; match = search(text, match.end))
    found.push([match.start, match.end]);
  return found;
}

const searchOf = (rule: string): Search => DETECTORS.find((detector) => detector.rule === rule)!.search;

/** Texts in which matches, near matches and what separates them come close together. */
const textOf = (pieces: readonly string[]): fc.Arbitrary<string> =>
  fc
    .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 3 })), { maxLength: 40 })
    .map((all) => all.join(''));

test('an address is found where one regular expression for the whole of it finds it', () => {
  const whole = bounded(/[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2,24}/g);
  const pieces = [
    'a',
    'Z9',
    '.',
    '-',
    '+',
    '@',
    '@@',
    ' ',
    'é',
    '.com',
    '.c',
    'x.example',
    "o'hara",
    'b'.repeat(63),
  ];
  fc.assert(
    fc.property(textOf(pieces), (text) => {
      expect(allOf(searchOf('pii.email'), text)).toEqual(allOf(whole, text));
    }),
    { numRuns: 2_000 },
  );
});

test('a telephone number is found where a search of the whole text finds it', () => {
  const beginning = /\+[0-9]{1,3}[ .-]?\(?[0-9]|\([0-9]{3}\) ?[0-9]/g;
  const whole = linear(
    beginning,
    '(?:\\+[0-9]{1,3}[ .-]?(?:\\(?[0-9]{1,4}\\)?[ .-]?){2,6}[0-9]{1,4}\\b|\\([0-9]{3}\\) ?[0-9]{3}[ .-][0-9]{4}\\b)',
  );
  const pieces = [
    '+',
    '+49',
    '(',
    ')',
    '(555)',
    ' ',
    '-',
    '.',
    '0',
    '1234',
    '421 555 0142',
    'x',
    '_',
    '9'.repeat(30),
  ];
  fc.assert(
    fc.property(textOf(pieces), (text) => {
      expect(allOf(searchOf('pii.phone'), text)).toEqual(allOf(whole, text));
    }),
    { numRuns: 2_000 },
  );
});
