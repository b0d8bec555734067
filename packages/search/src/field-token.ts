import { ExternalTokenizer } from '@lezer/lr';
import { Field } from './search.terms.gen.ts';

const COLON = 58;

/** `name:`, the beginning of a condition. The grammar asks for it only where one can begin. */
export const fieldToken = new ExternalTokenizer((input) => {
  if (!isLetter(input.next)) return;
  while (isLetter(input.next) || isDigit(input.next) || input.next === 46) input.advance();
  if (input.next !== COLON) return;
  input.advance();
  input.acceptToken(Field);
});

const isLetter = (code: number): boolean =>
  (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95;
const isDigit = (code: number): boolean => code >= 48 && code <= 57;
