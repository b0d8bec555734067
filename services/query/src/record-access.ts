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
  /** `single` for what is only read; an act has a decision and an outcome (do-act.ts), joined by `callId`. */
  readonly phase?: 'single' | 'decision' | 'outcome';
  readonly callId?: Uint8Array;
  readonly outcome: 'success' | 'denied' | 'failure' | 'pending' | 'unknown';
  /** Code of the problem; empty when it was answered. */
  readonly code: string;
  readonly requestId: string;
  readonly facts: Facts;
}

const DETAIL_MAX = 8_192;

/** @param org the installation's, for requests of nobody. */
export function accessEvent(
  { route, caller, phase = 'single', callId, outcome, code, requestId, facts }: Access,
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
  return {
    org_id: caller?.orgId ?? org,
    kind,
    phase,
    ...(callId && { call_id: callId }),
    service: 'query',
    method,
    principal_type: caller === undefined ? 'unknown' : principalOf(caller),
    user_id: caller?.id ?? '',
    auth_method: caller?.auth ?? 'none',
    decision: outcome === 'denied' ? 'deny' : 'allow',
    result_status: outcome,
    error_code: code,
    detail: detailOf(known),
  };
}

/** A person has a token of an issuer; a key may be anybody's. */
export const principalOf = ({ auth }: Caller): 'human' | 'service' => (auth === 'oidc' ? 'human' : 'service');

/** Compact JSON with sorted keys. What is too long is cut, the longest first and by halves, and named in `cut`. */
function detailOf(known: Facts): string {
  const said: Record<string, Facts[string]> = { ...known };
  const cut = new Set<string>();
  for (;;) {
    const all = cut.size === 0 ? said : { ...said, cut: [...cut].sort() };
    const sorted = Object.entries(all).sort(([one], [other]) => (one < other ? -1 : 1));
    const text = JSON.stringify(Object.fromEntries(sorted));
    if (text.length <= DETAIL_MAX) return text;
    const [longest = '', value] = Object.entries(said).toSorted(
      ([, one], [, other]) => JSON.stringify(other).length - JSON.stringify(one).length,
    )[0]!;
    if (typeof value === 'number' || typeof value === 'boolean' || value === undefined || value.length === 0)
      throw new TypeError(`the facts of a request take ${text.length} characters`);
    said[longest] =
      typeof value === 'string'
        ? value.slice(0, value.length / 2).toWellFormed()
        : value.slice(0, value.length / 2);
    cut.add(longest);
  }
}
