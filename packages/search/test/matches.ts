import { FIELDS, readTime, type SearchQuery, TEXT_FIELDS, type Value } from '../src/index.ts';

/** A row as tests hold it: names of the schema; texts, numbers (times in microseconds), null, or arrays of texts. */
export type Row = Readonly<Record<string, string | number | null | readonly string[]>>;

/** What a search means, told a second time and in the simplest way: the reference that ClickHouse is compared with. */
export function matches(query: SearchQuery, row: Row, now: number): boolean {
  switch (query.kind) {
    case 'all':
      return true;
    case 'and':
      return query.of.every((one) => matches(one, row, now));
    case 'or':
      return query.of.some((one) => matches(one, row, now));
    case 'not':
      return !matches(query.of, row, now);
    case 'text': {
      const wanted = patternOf(query.value, true);
      return TEXT_FIELDS.some((name) => wanted.test(String(row[name])));
    }
    default: {
      const field = FIELDS.get(query.field)!;
      const held = row[query.field];
      const { condition } = query;
      if (condition.kind === 'is' && condition.value.kind === 'pattern' && isStar(condition.value)) {
        if (field.kind === 'choice') return held !== '' && held !== 'unknown';
        return Array.isArray(held) ? held.length > 0 : held !== null && held !== '';
      }
      if (held === null || held === undefined) return false;
      if (field.kind === 'time' || field.kind === 'number') {
        const span = (text: string) =>
          field.kind === 'time' ? readTime(text, now)! : { start: Number(text), end: Number(text) + 1 };
        const number = Number(held);
        const compare = (operator: string, text: string): boolean => {
          const { start, end } = span(text);
          if (operator === '>') return number >= end;
          if (operator === '>=') return number >= start;
          return operator === '<' ? number < start : number < end;
        };
        if (condition.kind === 'compare') return compare(condition.operator, condition.value);
        if (condition.kind === 'range') {
          const { from, to, fromIncluded, toIncluded } = condition;
          return compare(fromIncluded ? '>=' : '>', from) && compare(toIncluded ? '<=' : '<', to);
        }
        const { start, end } = span((condition.value as { text: string }).text);
        return number >= start && number < end;
      }
      if (condition.kind !== 'is') return false;
      const wanted = patternOf(condition.value, false);
      if (field.kind === 'id' || field.kind === 'hash') {
        const whole = (condition.value as { text: string }).text.toLowerCase();
        return held === (field.kind === 'hash' ? whole.slice(0, field.bytes * 2) : whole);
      }
      return Array.isArray(held) ? held.some((one) => wanted.test(one)) : wanted.test(String(held));
    }
  }
}

const isStar = (value: Value & { kind: 'pattern' }): boolean =>
  value.pieces.length === 1 && 'wild' in value.pieces[0]! && value.pieces[0].wild === '*';

function patternOf(value: Value, anywhere: boolean): RegExp {
  const pieces = value.kind === 'exact' ? [{ literal: value.text }] : value.pieces;
  const body = pieces
    .map((piece) => ('literal' in piece ? escaped(piece.literal) : piece.wild === '*' ? '.*' : '.'))
    .join('');
  return anywhere ? new RegExp(body, 'isu') : new RegExp(`^(?:${body})$`, 'su');
}

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
