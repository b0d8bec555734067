import { Failure } from '@cairn/failure';

/** Columns by which events are chosen: each holds a text, and the empty one means absent. */
export const FILTER_COLUMNS = [
  'org_id',
  'gateway_id',
  'environment',
  'agent_id',
  'user_id',
  'session_id',
  'client_name',
  'kind',
  'phase',
  'service',
  'tool_name',
  'method',
  'action',
  'sensitivity',
  'decision',
  'result_status',
  'error_code',
] as const;
export type FilterColumn = (typeof FILTER_COLUMNS)[number];

/** Which stores are asked: ClickHouse alone, the archive alone, or each for what the other one does not have. */
export const OVER = ['hot', 'cold', 'both'] as const;
export type Over = (typeof OVER)[number];

/** Where an event stands in the order of an answer: by its own time, then by its place in the log. Unique to an event. */
export interface EventPlace {
  /** Microseconds since 1970. */
  readonly timestamp: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface Question {
  readonly over: Over;
  /** Of each column that is named one of these values. Of a column without values nothing is asked. */
  readonly filters: Readonly<Partial<Record<FilterColumn, readonly string[]>>>;
  /** One more condition over the columns of cairn.events, all values bound: a search that was read (packages/search). */
  readonly condition?: QuestionCondition | undefined;
  /** Events whose own time lies in [from, to), microseconds since 1970. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** Newest or oldest first, by `EventPlace`. */
  readonly order: 'newest' | 'oldest';
  /** Only events behind this one in that order: the last of the page before. */
  readonly after?: EventPlace | undefined;
  /** At most so many, 1 to 10,000. */
  readonly limit: number;
  /** Segments that may be read for it; default any number. */
  readonly segmentsMax?: number | undefined;
  /**
   * Microseconds since 1970 at which it is asked. It changes nothing of the answer, only where the hot table is looked through
   * first (search-windows.ts); left out, the table is asked once for everything, which is right for what few events match anywhere.
   */
  readonly now?: number | undefined;
}

export interface QuestionCondition {
  readonly sql: string;
  /** Under names that no other part of the statement has: `search_0`, `search_1`, … */
  readonly parameters: Readonly<Record<string, string | number>>;
}

export const LIMIT_MAX = 10_000;
/** Values of all filters together: they travel in the address of a request. */
export const VALUES_MAX = 1_000;

/** @throws Failure `question.invalid` */
export function checkQuestion({ limit, from = 0, to = Number.MAX_SAFE_INTEGER, filters }: Question): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > LIMIT_MAX)
    throw invalid(`the limit is ${limit}, and not 1 to ${LIMIT_MAX}`);
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < 0)
    throw invalid('a time is no whole number of microseconds since 1970');
  const asked = Object.entries(filters);
  const unknown = asked.find(([column]) => !FILTER_COLUMNS.includes(column as FilterColumn));
  if (unknown !== undefined) throw invalid(`events are not chosen by ${JSON.stringify(unknown[0])}`);
  const values = asked.reduce((sum, [, of]) => sum + (of?.length ?? 0), 0);
  if (values > VALUES_MAX) throw invalid(`${values} values are more than ${VALUES_MAX}`);
}

/** Negative when the first stands before the second in the order of an answer. */
export function byPlace(order: Question['order']): (one: EventPlace, other: EventPlace) => number {
  const sign = order === 'newest' ? -1 : 1;
  return (one, other) =>
    sign *
    (one.timestamp - other.timestamp ||
      (one.topic < other.topic ? -1 : one.topic > other.topic ? 1 : 0) ||
      one.partition - other.partition ||
      one.offset - other.offset);
}

function invalid(why: string): Failure {
  return new Failure({ code: 'question.invalid', retry: 'no', message: `this cannot be asked: ${why}` });
}
