import type { EventPage } from '@cairn/client';
import { readSearch, type SearchQuery, writeSearch } from '@cairn/search';
import { type ApiAccess, askApi } from './ask-api.ts';
import { COLUMNS, linesOf, type SearchOptions, summaryOf } from './command-search.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';

/** Events of one page of the API. */
const PAGE_MAX = 1_000;

/**
 * `cairn search --api`: the same out of the query API, of the organisation of the key and with what its role may see; each page that is
 * read is an event of the trail. What the archive gave was compared with the bytes that were signed, by the service.
 *
 * @throws SearchMistake; Failure `api.refused`, `api.unreachable`
 */
export async function searchOverApi(
  output: Output,
  api: ApiAccess,
  text: string,
  options: SearchOptions,
): Promise<number> {
  const { over, limit, oldest } = options;
  const search = narrowed(text, options);
  const pages: EventPage[] = [];
  let found = 0;
  for (let cursor: string | null | undefined; cursor !== null && found < limit; ) {
    const asked = new URLSearchParams({
      search,
      store: over,
      order: oldest ? 'oldest' : 'newest',
      limit: String(Math.min(PAGE_MAX, limit - found)),
      ...(cursor === undefined ? {} : { cursor }),
    });
    const page = (await (await askApi(api, `/v1/events?${asked}`)).json()) as EventPage;
    pages.push(page);
    found += page.events.length;
    cursor = page.next;
    for (const event of page.events) output.value(event);
  }
  const answer = together(pages);
  output.value({ answer });
  for (const line of linesOf(pages.flatMap(({ events }) => events))) output.line(line);
  const from = answer.hot_from;
  output.note(
    summaryOf({
      events: found,
      rows: answer.rows,
      hot: from === null ? 'no day' : `from ${from} on`,
      restored: undefined,
      segments: segmentsOf(answer),
      isMore: answer.next !== null,
    }),
  );
  return found > 0 ? EXIT.ok : EXIT.failed;
}

/** The search with the options as more of its conditions; as it was written where there are none, so that a mistake keeps its column. */
export function narrowed(text: string, options: SearchOptions): string {
  const conditions: SearchQuery[] = [];
  for (const [name, field] of Object.entries(COLUMNS)) {
    const values = (options[name as keyof SearchOptions] as readonly string[] | undefined) ?? [];
    const any = values.map(
      (value): SearchQuery => ({
        kind: 'field',
        field,
        condition: { kind: 'is', value: { kind: 'exact', text: value } },
      }),
    );
    if (any.length > 0) conditions.push(any.length === 1 ? any[0]! : { kind: 'or', of: any });
  }
  const within = (operator: '>=' | '<', ms: number | undefined): void => {
    if (ms === undefined) return;
    const value = new Date(ms).toISOString();
    conditions.push({ kind: 'field', field: 'timestamp', condition: { kind: 'compare', operator, value } });
  };
  within('>=', options.from);
  within('<', options.to);
  if (conditions.length === 0) return text;
  const read = readSearch(text);
  return writeSearch({ kind: 'and', of: read.kind === 'all' ? conditions : [read, ...conditions] });
}

type Answered = Omit<EventPage, 'events'>;

/** Several pages as one answer: rows of all, segments as often as they were read, and of those that were not what the last page says. */
function together(pages: readonly EventPage[]): Answered {
  const { events: _, ...last } = pages.at(-1)!;
  const sum = (count: (page: EventPage) => number): number =>
    pages.reduce((total, page) => total + count(page), 0);
  return {
    ...last,
    rows: {
      hot: sum(({ rows }) => rows.hot),
      restored: sum(({ rows }) => rows.restored),
      copy: sum(({ rows }) => rows.copy),
      archive: sum(({ rows }) => rows.archive),
    },
    segments: {
      ...last.segments,
      read: sum(({ segments }) => segments.read),
      from_copies: sum(({ segments }) => segments.from_copies),
    },
  };
}

const segmentsOf = ({ segments: of }: Answered) => ({
  read: of.read,
  copiesRead: of.from_copies,
  ruledOut: of.ruled_out,
  servedHot: of.served_hot,
  notNeeded: of.not_needed,
  deleted: of.deleted,
});
