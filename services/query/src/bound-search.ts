import type { QuestionCondition } from '@cairn/query';
import {
  conditionOf,
  necessaryOf,
  readSearch,
  SEARCH_CHARACTERS_MAX,
  type SearchQuery,
  writeSearch,
} from '@cairn/search';
import { z } from 'zod';
import type { Caller } from './authenticate.ts';
import { hiddenFrom } from './event-schema.ts';
import { Refusal } from './problem.ts';

export const searchParameter = z
  .string()
  .max(SEARCH_CHARACTERS_MAX)
  .default('')
  .describe('In the search language (docs/search.md); empty finds everything.');

/** A search of one caller, bound to their organisation. */
export interface BoundSearch {
  /** As it was understood. */
  readonly text: string;
  readonly condition: QuestionCondition;
  /** Microseconds, [from, to). */
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** It names the id of something that has few events. */
  readonly isById: boolean;
}

const IDS = ['event_id', 'call_id', 'session_id'];

/**
 * @param now microseconds; a page that goes on keeps the first one's.
 * @throws SearchMistake `search.invalid`; Refusal `access.forbidden` when it asks by what the caller may not see: whether something
 * is found would tell it.
 */
export function boundSearch(text: string, caller: Caller, now: number): BoundSearch {
  const query = readSearch(text);
  const hidden = hiddenFrom(caller.role);
  for (const field of fieldsOf(query))
    if (hidden.includes(field))
      throw new Refusal('access.forbidden', `A ${caller.role} does not search by ${field}.`);
  const { sql, parameters } = conditionOf(query, now);
  const { from, to, values } = necessaryOf(query, now);
  return {
    text: writeSearch(query),
    condition: {
      sql: `org_id = {search_org:String} AND (${sql})`,
      parameters: { ...parameters, search_org: caller.orgId },
    },
    from,
    to,
    isById: IDS.some((field) => field in values),
  };
}

function* fieldsOf(query: SearchQuery): Generator<string> {
  if (query.kind === 'field') yield query.field;
  else if (query.kind === 'not') yield* fieldsOf(query.of);
  else if (query.kind === 'and' || query.kind === 'or') for (const one of query.of) yield* fieldsOf(one);
}
