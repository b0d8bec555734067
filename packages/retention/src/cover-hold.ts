import { hash } from 'node:crypto';
import { hexOf } from '@cairn/event';
import type { EventTimes } from './keep-until.ts';
import type { Millis } from './period.ts';
import type { LegalHold } from './policy.ts';

/** What is known of a segment or of a day when it is asked whether a hold covers it: no session and no agent. */
export interface Covered extends EventTimes {
  readonly orgs: readonly string[];
}

/** Persons that a release needs. */
const RELEASED_BY_LEAST = 2;

/** Whether a hold stands: two different persons have not, or not yet, released it. */
export function stands({ release }: LegalHold, now: Millis): boolean {
  if (release === undefined || new Set(release.by).size < RELEASED_BY_LEAST) return true;
  return now < release.at;
}

/**
 * Whether a hold covers something.
 *
 * A segment knows its organisations and its times and neither sessions nor agents, so a hold on a session or an agent covers
 * every segment of its organisation in its time: it keeps more than it names and never less. For the same reason the time
 * that the broker saw counts as well as the time that events say, since a gateway's clock may be wrong.
 */
export function covers(hold: LegalHold, { orgs, ...times }: Covered): boolean {
  if (hold.org !== undefined && !orgs.includes(hold.org)) return false;
  return (
    meets(hold, Math.floor(times.timestamps.min / 1_000), Math.floor(times.timestamps.max / 1_000)) ||
    meets(hold, times.received.min, times.received.max)
  );
}

/** The holds that stand and cover this, in the order of the file. */
export function holdsOn(holds: readonly LegalHold[], what: Covered, now: Millis): LegalHold[] {
  return holds.filter((hold) => stands(hold, now) && covers(hold, what));
}

function meets({ from = -Infinity, to = Infinity }: LegalHold, first: Millis, last: Millis): boolean {
  return first < to && from <= last;
}

/**
 * What a deletion says of the holds that it was compared with: how many, and the SHA-256 (hex) of the canonical JSON
 * (RFC 8785) of all of them, released ones too, in the order of the file.
 */
export function holdsCompared(holds: readonly LegalHold[]): { checked: number; sha256: string } {
  // Members in the order of RFC 8785; the values are texts and whole numbers, which JSON.stringify writes as it asks.
  const listed = holds.map(({ agent, from, id, org, placedAt, placedBy, reason, release, session, to }) => ({
    agent: agent ?? null,
    from: from ?? null,
    id,
    org: org ?? null,
    placed_at: placedAt,
    placed_by: placedBy,
    reason,
    release: release === undefined ? null : { at: release.at, by: release.by, reason: release.reason },
    session: session ?? null,
    to: to ?? null,
  }));
  const digest = hash('sha256', new TextEncoder().encode(JSON.stringify(listed)), 'buffer');
  return { checked: holds.length, sha256: hexOf(digest) };
}
