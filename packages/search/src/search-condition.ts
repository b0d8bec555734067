// A query as a condition of ClickHouse. What was asked for is bound as parameters; what stands in the text is ours: names of
// columns out of FIELDS, types and functions.
import { FIELDS, type SearchField, TEXT_FIELDS } from './search-fields.ts';
import type { Comparison, Condition, PatternPiece, SearchQuery, Value } from './search-query.ts';
import { readTime, type TimeSpan } from './time-expression.ts';

export interface BoundCondition {
  /** Over the columns of cairn.events. */
  readonly sql: string;
  readonly parameters: Readonly<Record<string, string | number>>;
}

/**
 * @param query as `readSearch` gives it.
 * @param now microseconds since 1970, for times from now.
 * @throws RangeError when the query names a field that does not exist, which `readSearch` refuses.
 */
export function conditionOf(query: SearchQuery, now: number): BoundCondition {
  const parameters: Record<string, string | number> = {};
  const bind: Bind = (value, type) => {
    const name = `search_${Object.keys(parameters).length}`;
    parameters[name] = value;
    return `{${name}:${type}}`;
  };
  return { sql: sqlOf(query, now, bind, true), parameters };
}

type Bind = (value: string | number, type: string) => string;

/**
 * @param positive false below a NOT: there a condition over what an event does not have must be false and not NULL, for NOT NULL
 * is NULL again, and the event would be missing.
 */
function sqlOf(query: SearchQuery, now: number, bind: Bind, positive: boolean): string {
  switch (query.kind) {
    case 'all':
      return '1';
    case 'and':
    case 'or': {
      const word = query.kind === 'and' ? ' AND ' : ' OR ';
      return `(${query.of.map((one) => sqlOf(one, now, bind, positive)).join(word)})`;
    }
    case 'not':
      return `NOT (${sqlOf(query.of, now, bind, false)})`;
    case 'text': {
      const pattern = bind(likeOf(query.value, true), 'String');
      return `(${TEXT_FIELDS.map((name) => `${name} ILIKE ${pattern}`).join(' OR ')})`;
    }
    default: {
      const field = FIELDS.get(query.field);
      if (field === undefined) throw new RangeError(`events have no field ${query.field}`);
      const sql = fieldSql(field, query.condition, now, bind);
      const nullable = 'nullable' in field && field.nullable;
      return nullable && !positive ? `ifNull(${sql}, 0)` : sql;
    }
  }
}

function fieldSql(field: SearchField, condition: Condition, now: number, bind: Bind): string {
  if (condition.kind === 'is' && isAny(condition.value)) return presentSql(field);
  const { name } = field;
  switch (field.kind) {
    case 'time':
      return timeSql(name, condition, now, bind);
    case 'number': {
      const number = (text: string) => bind(Number(text), 'Int64');
      if (condition.kind === 'compare') return `${name} ${condition.operator} ${number(condition.value)}`;
      if (condition.kind === 'is') return `${name} = ${number(exactOf(condition.value))}`;
      const { from, to, fromIncluded, toIncluded } = condition;
      return `(${name} ${fromIncluded ? '>=' : '>'} ${number(from)} AND ${name} ${toIncluded ? '<=' : '<'} ${number(to)})`;
    }
    case 'id':
      return `${name} = ${bind(exactOf(writtenOf(condition)).toLowerCase(), 'UUID')}`;
    case 'hash': {
      const hex = exactOf(writtenOf(condition))
        .toLowerCase()
        .slice(0, field.bytes * 2);
      // A FixedString beside a text of the same length compares by its bytes.
      return `${name} = unhex(${bind(hex, 'String')})`;
    }
    case 'list':
      return writtenOf(condition).kind === 'exact'
        ? `has(${field.column}, ${bind(exactOf(writtenOf(condition)), 'String')})`
        : `arrayExists(one -> one LIKE ${bind(likeOf(writtenOf(condition), false), 'String')}, ${field.column})`;
    default:
      return writtenOf(condition).kind === 'exact'
        ? `${name} = ${bind(exactOf(writtenOf(condition)), 'String')}`
        : `${name} LIKE ${bind(likeOf(writtenOf(condition), false), 'String')}`;
  }
}

/** `field:*`: the event has it. */
function presentSql(field: SearchField): string {
  if (field.kind === 'list') return `notEmpty(${field.column})`;
  if (field.kind === 'text') return `${field.name} != ''`;
  if (field.kind === 'choice') return `${field.name} NOT IN ('', 'unknown')`;
  return 'nullable' in field && field.nullable ? `${field.name} IS NOT NULL` : '1';
}

function timeSql(name: string, condition: Condition, now: number, bind: Bind): string {
  const at = (micros: number) => `fromUnixTimestamp64Micro(${bind(micros, 'Int64')}, 'UTC')`;
  const { from, to } = timeBoundsOf(condition, now);
  const parts = [
    ...(from === undefined ? [] : [`${name} >= ${at(from)}`]),
    ...(to === undefined ? [] : [`${name} < ${at(to)}`]),
  ];
  return parts.length === 1 ? parts[0]! : `(${parts.join(' AND ')})`;
}

/** The time that a condition allows, as [from, to). */
function timeBoundsOf(condition: Condition, now: number): { readonly from?: number; readonly to?: number } {
  const span = (text: string): TimeSpan => readTime(text, now) ?? { start: 0, end: 0 };
  if (condition.kind === 'is') {
    const { start, end } = span(exactOf(condition.value));
    return { from: start, to: end };
  }
  if (condition.kind === 'compare') return boundOf(condition.operator, span(condition.value));
  return {
    ...boundOf(condition.fromIncluded ? '>=' : '>', span(condition.from)),
    ...boundOf(condition.toIncluded ? '<=' : '<', span(condition.to)),
  };
}

function boundOf(operator: Comparison, { start, end }: TimeSpan): { from?: number; to?: number } {
  if (operator === '>') return { from: end };
  if (operator === '>=') return { from: start };
  return operator === '<' ? { to: start } : { to: end };
}

/**
 * What must hold of each event that a query finds, as far as it is said outright: what rules out segments of the archive and days
 * of the table before anything is read.
 *
 * @returns times in microseconds as [from, to), and the values that columns are held to.
 */
export function necessaryOf(
  query: SearchQuery,
  now: number,
): { readonly from?: number; readonly to?: number; readonly values: Readonly<Record<string, string>> } {
  const values: Record<string, string> = {};
  let from: number | undefined;
  let to: number | undefined;
  for (const one of query.kind === 'and' ? query.of : [query]) {
    if (one.kind !== 'field') continue;
    if (one.field === 'timestamp' && !(one.condition.kind === 'is' && isAny(one.condition.value))) {
      const bounds = timeBoundsOf(one.condition, now);
      if (bounds.from !== undefined) from = Math.max(from ?? 0, bounds.from);
      if (bounds.to !== undefined) to = Math.min(to ?? Number.MAX_SAFE_INTEGER, bounds.to);
    } else if (one.condition.kind === 'is' && one.condition.value.kind === 'exact') {
      values[one.field] = one.condition.value.text;
    }
  }
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }), values };
}

const isAny = (value: Value): boolean =>
  value.kind === 'pattern' &&
  value.pieces.length === 1 &&
  'wild' in value.pieces[0]! &&
  value.pieces[0].wild === '*';

/** A pattern of LIKE. */
function likeOf(value: Value, anywhere: boolean): string {
  const pieces: readonly PatternPiece[] = value.kind === 'exact' ? [{ literal: value.text }] : value.pieces;
  const pattern = pieces
    .map((piece) => {
      if ('literal' in piece) return piece.literal.replaceAll(/[\\%_]/g, '\\$&');
      return piece.wild === '*' ? '%' : '_';
    })
    .join('');
  return anywhere ? `%${pattern}%` : pattern;
}

function writtenOf(condition: Condition): Value {
  return condition.kind === 'is' ? condition.value : { kind: 'exact', text: '' };
}

const exactOf = (value: Value): string => (value.kind === 'exact' ? value.text : '');
