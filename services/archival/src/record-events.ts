import type { LockReport } from '@cairn/adapters';
import type { Manifest } from '@cairn/ledger';
import type { RecordDraft } from '@cairn/recorder';
import type { Finding } from './finding.ts';
import type { JobRun } from './schedule-jobs.ts';

/** What archival asks of the recorder. */
export interface EventRecorder {
  /** Resolves when the event is on disk. */
  record(draft: RecordDraft): Promise<unknown>;
}

/**
 * A finding as an alert event: in the trail of the organisation whose stream it is about, else in the installation's own.
 *
 * @param org the installation's.
 */
export function findingEvent(finding: Finding, org: string): RecordDraft {
  const { reason, origin, at, stream, detail } = finding;
  return {
    org_id: stream !== undefined && isOrgId(stream.orgId) ? stream.orgId : org,
    kind: 'alert',
    phase: 'single',
    service: 'archival',
    method: 'ledger/finding',
    result_status: 'failure',
    error_code: `ledger.${reason}`,
    error_message: detail.slice(0, 500),
    detail: compactJson({
      at,
      origin,
      ...(stream === undefined
        ? {}
        : { epoch: stream.epoch, gateway: stream.gatewayId, org: stream.orgId, seq: stream.seq }),
    }),
  };
}

/** A run of a job. */
export function jobEvent({ job, outcome, facts, error, tookMs }: JobRun, org: string): RecordDraft {
  return {
    org_id: org,
    kind: 'admin',
    phase: 'single',
    service: 'archival',
    method: `job/${job}`,
    result_status: outcome,
    error_code: error === undefined ? '' : 'job.failed',
    error_message: (error ?? '').slice(0, 500),
    latency_ms: Math.round(tookMs),
    detail: compactJson(facts),
  };
}

/** The decision to delete a segment, or its deletion: told to each organisation whose events are in it. */
export function decisionEvents(
  { origin, first, end, retention, streams }: Manifest,
  what: 'tombstone' | 'deletion',
  org: string,
): RecordDraft[] {
  const events = new Map<string, number>();
  for (const stream of streams) {
    const orgId = isOrgId(stream.org) ? stream.org : org;
    events.set(orgId, (events.get(orgId) ?? 0) + stream.events);
  }
  return [...events].map(([orgId, count]) => ({
    org_id: orgId,
    kind: 'retention',
    phase: 'single',
    service: 'archival',
    method: `segment/${what}`,
    action: 'delete',
    result_status: what === 'deletion' ? 'success' : 'pending',
    detail: compactJson({
      class: retention.class,
      end,
      events: count,
      first,
      origin,
      until: retention.until,
    }),
  }));
}

/** How the store's locks were seen to behave at the start. */
export function probeEvent({ behaviours, clockAheadMs }: LockReport, org: string): RecordDraft {
  return {
    org_id: org,
    kind: 'admin',
    phase: 'single',
    service: 'archival',
    method: 'store/probe',
    result_status: behaviours.every(({ holds, reliedOn }) => holds || !reliedOn) ? 'success' : 'failure',
    detail: compactJson({
      clock_ahead_ms: clockAheadMs,
      holds: behaviours.filter(({ holds }) => holds).map(({ name }) => name),
      lacks: behaviours.filter(({ holds }) => !holds).map(({ name }) => name),
    }),
  };
}

/** Of which a recorder makes names of keys and files. */
export const isOrgId = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text);

/** Keys sorted, as the trail's details have them. */
export function compactJson(facts: Readonly<Record<string, unknown>>): string {
  const sorted = Object.entries(facts).sort(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify(Object.fromEntries(sorted)).slice(0, DETAIL_MAX);
}

const DETAIL_MAX = 16_384;
