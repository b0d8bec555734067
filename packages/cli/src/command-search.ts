import { type ArchivedSegment, openEvidence, placeFound, readArchive, readKeys } from '@cairn/archive';
import { Failure } from '@cairn/failure';
import {
  type Answer,
  FILTER_COLUMNS,
  type FilterColumn,
  type FoundEvent,
  type Over,
  searchEvents,
} from '@cairn/query';
import { conditionOf, necessaryOf, readSearch } from '@cairn/search';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import { type Output, tableOf } from './output.ts';
import type { OpenTrail } from './trail.ts';
import { readTrusted } from './trusted.ts';

export interface SearchOptions {
  readonly over: Over;
  readonly archive?: string;
  readonly copies?: string;
  readonly root?: string;
  /** Milliseconds since 1970; `to` is exclusive. */
  readonly from?: number;
  readonly to?: number;
  readonly limit: number;
  readonly oldest: boolean;
  readonly prove?: boolean;
  readonly org?: readonly string[];
  readonly gateway?: readonly string[];
  readonly agent?: readonly string[];
  readonly session?: readonly string[];
  readonly user?: readonly string[];
  readonly service?: readonly string[];
  readonly tool?: readonly string[];
  readonly action?: readonly string[];
  readonly decision?: readonly string[];
  readonly outcome?: readonly string[];
  readonly kind?: readonly string[];
}

/** Names of the command line, and the columns that they choose by. */
export const COLUMNS: Readonly<Record<string, FilterColumn>> = {
  org: 'org_id',
  gateway: 'gateway_id',
  agent: 'agent_id',
  session: 'session_id',
  user: 'user_id',
  service: 'service',
  tool: 'tool_name',
  action: 'action',
  decision: 'decision',
  outcome: 'result_status',
  kind: 'kind',
};

/**
 * `cairn search [search]`: events over hot, cold or both, and which store gave them. It reads the stores itself, of all organisations, as
 * whoever holds their credentials does: no event of the trail says so (search-over-api.ts is the other road).
 */
export async function search(
  open: OpenTrail,
  output: Output,
  config: CliConfig,
  text: string,
  options: SearchOptions,
): Promise<number> {
  const { over, limit, oldest } = options;
  const now = Date.now() * 1_000;
  const read = readSearch(text);
  const needed = necessaryOf(read, now);
  const filters = Object.fromEntries(
    Object.entries(COLUMNS).map(([name, column]) => [
      column,
      (options[name as keyof SearchOptions] as readonly string[] | undefined) ?? [],
    ]),
  );
  // What the search says outright rules out segments, as the options do.
  for (const column of FILTER_COLUMNS) {
    const value = needed.values[column];
    if (value !== undefined && (filters[column] ?? []).length === 0) filters[column] = [value];
  }
  const from = latest(options.from && options.from * 1_000, needed.from);
  const to = earliest(options.to && options.to * 1_000, needed.to);
  await using own = new AsyncDisposableStack();
  const trail = own.use(open());
  const archive = over === 'hot' ? undefined : await archiveOf(own, config, options);
  const answer = await searchEvents(trail, archive, {
    over,
    filters,
    condition: read.kind === 'all' ? undefined : conditionOf(read, now),
    from,
    to,
    order: oldest ? 'oldest' : 'newest',
    limit,
  });
  const { events: found, ...about } = answer;
  const { events, segments } = (await archive?.place(found)) ?? { events: found, segments: 0 };
  for (const event of events) output.value(event);
  output.value({ answer: about });
  for (const line of linesOf(events)) output.line(line);
  output.note(summaryOf(toldOf(answer)));
  if (options.prove === true) output.note(provenOf(answer, segments));
  return events.length > 0 ? EXIT.ok : EXIT.failed;
}

const latest = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
const earliest = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);

async function archiveOf(own: AsyncDisposableStack, config: CliConfig, options: SearchOptions) {
  const { archive: where, copies: copiesAt } = options;
  if (where === undefined) throw noArchive(options.over);
  const { rootKey } = await readTrusted(options, config.rootKey);
  const evidence = own.use(await openEvidence(where, config.s3));
  const copies = copiesAt === undefined ? undefined : own.use(await openEvidence(copiesAt, config.s3));
  const { history } = await readKeys(evidence, rootKey);
  let segments: readonly ArchivedSegment[] = [];
  return {
    collections: config.collections,
    segments: async () => (segments = await readArchive(evidence, history, copies)),
    place: (events: readonly FoundEvent[]) =>
      placeFound(evidence, history.deployment, segments, events, options.prove === true),
  };
}

const provenOf = ({ rows }: Answer, segments: number): string =>
  `Proven against the signed roots: ${rows.archive + rows.copy} cold events in ${segments} segments.`;

/** What a table shows of an event; the rest of it is under names that any event has. */
export type ShownEvent = Pick<FoundEvent, 'timestamp' | 'store'> & Readonly<Record<string, unknown>>;

export function linesOf(events: readonly ShownEvent[]): string[] {
  const text = (value: unknown): string => String(value ?? '');
  const rows = events.map((event) => [
    new Date(event.timestamp / 1_000).toISOString().slice(0, 23).replace('T', ' '),
    event.store,
    text(event['org_id']),
    text(event['agent_id']),
    [event['service'], event['tool_name'] || event['method'] || event['kind']].filter(Boolean).join('/'),
    text(event['phase']),
    text(event['decision']),
    text(event['result_status']),
    text(event['session_id']).slice(0, 16),
  ]);
  const header = [
    'TIME (UTC)',
    'FROM',
    'ORGANISATION',
    'AGENT',
    'WHAT',
    'PHASE',
    'DECISION',
    'OUTCOME',
    'SESSION',
  ];
  return rows.length === 0 ? [] : tableOf(header, rows);
}

/** An answer of the stores or of the query API, as far as a person is told of it. */
export interface Told extends Pick<Answer, 'rows' | 'segments'> {
  readonly events: number;
  /** What ClickHouse holds. */
  readonly hot: string;
  /** Which days were loaded back, where that is known. */
  readonly restored: string | undefined;
  readonly isMore: boolean;
}

const toldOf = ({ events, rows, hotDays, restoredDays, segments, next }: Answer): Told => ({
  events: events.length,
  rows,
  hot: `${hotDays.length} days`,
  restored: `${restoredDays.length} days`,
  segments,
  isMore: next !== undefined,
});

/** Which store gave what, for a person. */
export function summaryOf({ events, rows, hot, restored, segments, isMore }: Told): string {
  const { read, copiesRead, ruledOut, servedHot, notNeeded, deleted } = segments;
  const all = read + ruledOut + servedHot + notNeeded + deleted;
  const parts = [
    `${events} events: ${rows.hot} hot (${hot})`,
    `${rows.restored} restored${restored === undefined ? '' : ` (${restored})`}`,
    `${rows.copy + rows.archive} cold`,
  ];
  const why = [
    [ruledOut, 'ruled out by their manifests'],
    [servedHot, 'served hot'],
    [notNeeded, 'not needed'],
    [deleted, 'deleted under policy'],
  ].flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
  const cold =
    all === 0
      ? ''
      : ` Of ${all} segments ${read} were read${copiesRead === 0 ? '' : `, ${copiesRead} of them from copies`}${why.length === 0 ? '' : `; ${why.join(', ')}`}.`;
  return `${parts.join(', ')}.${cold}${isMore ? ' There may be more.' : ''}`;
}

const noArchive = (over: Over): Failure =>
  new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `to ask ${over === 'cold' ? 'the archive' : 'both stores'}, the archive must be named`,
    mend: 'Add --archive s3://bucket, or ask --over hot, or the query API (--api).',
  });
