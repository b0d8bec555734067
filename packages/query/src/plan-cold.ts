import type { Manifest } from '@cairn/ledger';
import { type Day, daysWithin } from './day.ts';
import type { Question } from './question.ts';

/** What is known of a segment before it is read. */
export interface Segment {
  readonly manifest: Pick<
    Manifest,
    'origin' | 'first' | 'end' | 'objects' | 'received' | 'timestamps' | 'streams'
  >;
  /** Its deletion was decided: it is not read any more, whether or not it is still there. */
  readonly isDeleted: boolean;
  /** Name of its query copy; undefined when it has none. */
  readonly copy: string | undefined;
}

/** Which segments answer a question, and what became of the others. */
export interface ColdPlan {
  /** To be read, in the order in which they can hold what comes first in the answer. */
  readonly segments: readonly Segment[];
  /** That hold no event that was asked for, by their manifests. */
  readonly ruledOut: number;
  /** All of whose days the hot store answers for. */
  readonly servedHot: number;
  /** That may have held some, and were deleted under policy. */
  readonly deleted: number;
}

/**
 * Which segments may hold events that a question asks for. Only what the manifests say rules one out, so one that holds a
 * match is never left out; what they do not say (agents, sessions, tools) rules out nothing.
 *
 * @param served days that the hot store answers for; none when the archive is asked alone.
 */
export function planCold(question: Question, all: readonly Segment[], served: ReadonlySet<Day>): ColdPlan {
  const segments: Segment[] = [];
  let [ruledOut, servedHot, deleted] = [0, 0, 0];
  for (const segment of all) {
    if (!mayHold(segment.manifest, question)) ruledOut += 1;
    else if (isServed(segment.manifest, served)) servedHot += 1;
    else if (segment.isDeleted) deleted += 1;
    else segments.push(segment);
  }
  segments.sort((one, other) =>
    question.order === 'newest'
      ? other.manifest.timestamps.max - one.manifest.timestamps.max
      : one.manifest.timestamps.min - other.manifest.timestamps.min,
  );
  return { segments, ruledOut, servedHot, deleted };
}

/** False when the manifest shows that no event of the segment matches. */
export function mayHold(
  { timestamps, streams }: Segment['manifest'],
  { from = 0, to = Number.MAX_SAFE_INTEGER, filters, order, after }: Question,
): boolean {
  if (timestamps.max < from || timestamps.min >= to) return false;
  if (after !== undefined) {
    // At the very time of the place there may be others behind it.
    if (order === 'newest' ? timestamps.min > after.timestamp : timestamps.max < after.timestamp)
      return false;
  }
  const { org_id: orgs = [], gateway_id: gateways = [] } = filters;
  return streams.some(
    ({ org, gateway }) =>
      (orgs.length === 0 || orgs.includes(org)) && (gateways.length === 0 || gateways.includes(gateway)),
  );
}

function isServed({ received }: Segment['manifest'], served: ReadonlySet<Day>): boolean {
  if (served.size === 0) return false;
  for (const day of daysWithin(received.min, received.max)) if (!served.has(day)) return false;
  return true;
}

/**
 * True when nothing in these segments or behind them can come before the last of the rows that were found: reading on changes
 * nothing.
 *
 * @param next the segment that would be read next, in the order of the plan.
 * @param last timestamp of the last row of a full answer, microseconds.
 */
export const isBehind = ({ manifest }: Segment, last: number, order: Question['order']): boolean =>
  order === 'newest' ? manifest.timestamps.max < last : manifest.timestamps.min > last;
