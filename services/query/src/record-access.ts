import type { RecordDraft } from '@cairn/recorder';
import type { Caller } from './authenticate.ts';
import type { Facts, Route } from './route.ts';

/** What the API asks of the recorder. */
export interface AccessRecorder {
  /** Resolves when the event is on disk; rejects when it may not be, and then nothing is answered. */
  record(draft: RecordDraft): Promise<unknown>;
}

/** What became of a request. */
export interface Access {
  readonly route: Pick<Route, 'recorded' | 'id' | 'scope'> | undefined;
  readonly caller: Caller | undefined;
  readonly outcome: 'success' | 'denied' | 'failure';
  /** Code of the problem; empty when it was answered. */
  readonly code: string;
  readonly requestId: string;
  readonly facts: Facts;
}

const DETAIL_MAX = 8_192;

/** @param org the installation's, for requests of nobody. */
export function accessEvent(
  { route, caller, outcome, code, requestId, facts }: Access,
  org: string,
): RecordDraft {
  const [kind, method] = route?.recorded ?? ['audit_access', 'unknown'];
  const known = {
    request: requestId,
    ...(caller && { caller: caller.id, role: caller.role }),
    // By it a report finds what a key may and nobody does with it.
    ...(route && { scope: route.scope }),
    ...facts,
  };
  const sorted = Object.entries(known).sort(([one], [other]) => (one < other ? -1 : 1));
  return {
    org_id: caller?.orgId ?? org,
    kind,
    phase: 'single',
    service: 'query',
    method,
    principal_type: caller === undefined ? 'unknown' : caller.auth === 'oidc' ? 'human' : 'service',
    user_id: caller?.id ?? '',
    auth_method: caller?.auth ?? 'none',
    decision: outcome === 'denied' ? 'deny' : 'allow',
    result_status: outcome,
    error_code: code,
    detail: JSON.stringify(Object.fromEntries(sorted)).slice(0, DETAIL_MAX),
  };
}
