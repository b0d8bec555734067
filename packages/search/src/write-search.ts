import { ALIASES } from './search-fields.ts';
import type { Condition, SearchQuery, Value } from './search-query.ts';

/** A query as text that reads as the same query. */
export function writeSearch(query: SearchQuery): string {
  switch (query.kind) {
    case 'all':
      return '';
    case 'and':
      return query.of.map((one) => inGroup(one, ['and', 'or'])).join(' ');
    case 'or':
      return query.of.map((one) => inGroup(one, ['or'])).join(' OR ');
    case 'not':
      return `NOT ${inGroup(query.of, ['and', 'or'])}`;
    case 'text':
      return writeValue(query.value);
    default:
      return `${query.field}:${writeCondition(query.condition)}`;
  }
}

const inGroup = (query: SearchQuery, kinds: readonly SearchQuery['kind'][]): string =>
  kinds.includes(query.kind) ? `(${writeSearch(query)})` : writeSearch(query);

function writeCondition(condition: Condition): string {
  switch (condition.kind) {
    case 'is':
      return writeValue(condition.value);
    case 'compare':
      return `${condition.operator}${writeExact(condition.value)}`;
    default: {
      const { from, to, fromIncluded, toIncluded } = condition;
      return `${fromIncluded ? '[' : '{'}${writeExact(from)} TO ${writeExact(to)}${toIncluded ? ']' : '}'}`;
    }
  }
}

function writeValue(value: Value): string {
  if (value.kind === 'exact') return writeExact(value.text);
  return value.pieces.map((piece) => ('wild' in piece ? piece.wild : escaped(piece.literal))).join('');
}

/** As a word where it is one, else in quotes. */
function writeExact(text: string): string {
  const isWord = /^[^\s()[\]{}"\\<>*?:-][^\s()[\]{}"\\*?:]*$/u.test(text) && !KEYWORD.test(text);
  return isWord && !Object.hasOwn(ALIASES, text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

const KEYWORD = /^(?:and|or|not|to)$/i;

const escaped = (text: string): string => text.replaceAll(/[\s()[\]{}"\\<>*?:-]/gu, '\\$&');
