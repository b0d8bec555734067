import { messageOf } from '@cairn/failure';
import type { Core } from './core.ts';
import type { Caller } from './identity.ts';

export interface Refusal {
  readonly service: string;
  /** `unauthenticated`, `header-mismatch`, `session-of-another`, `name`. */
  readonly reason: string;
  readonly sourceIp: string;
  /** Absent when nobody knows who it was: the event then belongs to the organisation that runs the gateway. */
  readonly caller?: Caller;
  readonly method?: string;
}

/** Refusals beyond this many a second are counted and not recorded one by one: whoever knocks must not fill the spool. */
const RECORDED_A_SECOND_MAX = 20;
let second = 0;
let inSecond = 0;

/** Records a message that was refused before it was a call. */
export async function recordRefusal(core: Core, refusal: Refusal): Promise<void> {
  const now = Math.floor(performance.now() / 1_000);
  if (now !== second) [second, inSecond] = [now, 0];
  inSecond += 1;
  if (inSecond > RECORDED_A_SECOND_MAX) return;
  const org_id = refusal.caller?.org_id ?? core.config.deployment;
  try {
    await core.recorder.record({
      org_id,
      kind: 'session',
      phase: 'single',
      agent_id: refusal.caller?.agent_id ?? '',
      user_id: refusal.caller?.user_id ?? '',
      auth_method: refusal.caller?.auth_method ?? 'none',
      source_ip: core.guard.token(org_id, 'ip', refusal.sourceIp),
      protocol: 'mcp',
      method: core.guard.scrub(refusal.method ?? '', 128).text,
      service: refusal.service,
      decision: 'deny',
      enforcement: 'enforce',
      result_status: 'denied',
      error_code: `gateway.${refusal.reason}`,
    });
  } catch (error) {
    core.log.error({ reason: messageOf(error) }, 'a refusal could not be recorded');
  }
}
