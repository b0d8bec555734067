import type { PlainEvent } from './plain-event.ts';
import type { StoredEvent } from './stored-event.ts';

/** How grave an event is, from 1 (informational) to 5 (critical): the numbers of OCSF. */
export type Severity = 1 | 2 | 3 | 4 | 5;

const SEVERITY_OF_LEVEL: Readonly<Record<string, Severity>> = {
  informational: 1,
  low: 2,
  medium: 3,
  high: 4,
  critical: 5,
};

/**
 * Alerts have the level of their rule. A hole in the record is high, a denial and a policy that fails to evaluate medium, a call
 * that failed low.
 */
export function severityOf({ event, alert }: PlainEvent): Severity {
  if (alert !== undefined) return SEVERITY_OF_LEVEL[alert.level] ?? 4;
  if (event.kind === 'gap') return 4;
  if (event.decision === 'deny' || event.result_status === 'denied' || event.policy_errors.length > 0)
    return 3;
  return event.result_status === 'failure' || event.result_status === 'timeout' ? 2 : 1;
}

/** What became of it, in one word: of a decision what the policy said, else how the call ended. */
export function resultOf(event: StoredEvent): string {
  if (event.result_status === 'denied' || (event.phase === 'decision' && event.decision === 'deny'))
    return event.enforcement === 'monitor' && event.result_status !== 'denied' ? 'would be denied' : 'denied';
  if (event.phase !== 'decision') return event.result_status;
  if (event.decision === 'allow') return 'allowed';
  return event.decision === 'require_approval' ? 'waits for approval' : 'not evaluated';
}

const VERBS: Readonly<Record<string, string>> = {
  tool_call: 'called',
  resource_read: 'read',
  prompt_get: 'asked for the prompt',
  discovery: 'listed what is offered by',
};

/** One sentence for a person: who did what, and what became of it. */
export function sentenceOf({ event, alert }: PlainEvent): string {
  if (alert !== undefined) {
    const reason = alert.reason === '' ? '' : `: ${alert.reason}`;
    return `alert ${alert.isOver ? 'ended' : 'opened'}: ${alert.title}${reason}`;
  }
  const verb = VERBS[event.kind];
  if (verb === undefined) {
    const what = [event.kind, event.method].filter((part) => part !== '').join(' ');
    return `${what} on ${event.gateway_id}: ${resultOf(event)}`;
  }
  const who = event.agent_id === '' ? 'an agent' : `agent ${event.agent_id}`;
  const target = [event.service, event.tool_name].filter((part) => part !== '').join('/');
  return `${who} ${verb} ${target || event.method}: ${resultOf(event)}`;
}

/** Time in RFC 3339, UTC, with all six digits of the microseconds. */
export function timeOf(micros: number): string {
  const ms = Math.floor(micros / 1_000);
  const rest = micros - ms * 1_000;
  return new Date(ms).toISOString().replace('Z', `${String(rest).padStart(3, '0')}Z`);
}
