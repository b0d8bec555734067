import { randomUUIDv7 } from 'node:crypto';
import { type Phase, parseUuid, type Redaction, type ResultStatus } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import type { GuardedParameters, Sealer } from '@cairn/privacy';
import type { RecordDraft } from '@cairn/recorder';
import { type Inbound, type Outcome, sinceMs } from './call.ts';
import type { Core } from './core.ts';
import { rememberInterruption } from './interrupted-calls.ts';
import { isObject } from './read-message.ts';

interface Opened {
  readonly facts: Partial<RecordDraft> & Pick<RecordDraft, 'org_id' | 'kind'>;
  readonly parameters: GuardedParameters;
  readonly phase: Phase;
  /** Seals the response; absent where no rule says so. */
  readonly seal: ReturnType<Sealer['response']>;
  /** Parameters of the call are sealed. */
  readonly isSealed: boolean;
}

/** Records the end of a call. Resolves when that is on disk. */
export async function closeCall(
  core: Core,
  inbound: Inbound,
  opened: Opened,
  outcome: Outcome,
): Promise<void> {
  const { facts, parameters, phase, seal, isSealed } = opened;
  const { ended, unreadable } = endOrUnreadable(core, inbound, opened, outcome);
  const latency_ms = sinceMs(inbound);
  const upstream_ms = Math.round(outcome.upstreamMs);
  try {
    const sealed = seal && unreadable === undefined ? await sealedOf(seal, outcome) : undefined;
    const draft: RecordDraft = {
      ...facts,
      ...parameters,
      ...ended,
      ...sealed?.facts,
      // The server's words may repeat what is sealed.
      ...((isSealed || seal) && { error_message: '' }),
      redactions: merged([
        ...parameters.redactions,
        ...ended.redactions,
        ...(sealed === undefined ? [] : sealed.redactions),
      ]),
      phase,
      latency_ms,
      upstream_ms,
    };
    await core.recorder.record(draft).catch((error: unknown) => {
      // Beside all that a rule keeps there may be no room for it. The call has its outcome all the same, which says so.
      if (!isFailure(error, 'event.too-large') || !draft.response_sealed) throw error;
      const redactions = merged([{ rule: 'seal.no-room', count: 1 }, ...(draft.redactions ?? [])]);
      return core.recorder.record({ ...draft, response_sealed: null, redactions });
    });
  } catch (error) {
    core.count.withheld();
    core.log.error({ reason: messageOf(error) }, 'an answer was withheld: its outcome could not be recorded');
    throw error;
  }
  core.count.ended(inbound.service, ended.result_status, latency_ms, upstream_ms);
  // The event says that it was not understood, so it does not go on.
  if (unreadable !== undefined) throw unreadable;
}

/** An answer that cannot be looked through, such as one that is nested beyond all measure, is a failure of the upstream. */
function endOrUnreadable(
  core: Core,
  inbound: Inbound,
  opened: Opened,
  outcome: Outcome,
): { ended: End; unreadable?: Error } {
  try {
    return { ended: endOf(core, inbound, opened, outcome) };
  } catch (error) {
    core.count.withheld();
    core.log.error({ reason: messageOf(error) }, 'an answer was withheld: it cannot be looked through');
    const ended: End = { result_status: 'failure', error_code: 'upstream.unreadable', redactions: [] };
    return { ended, unreadable: error instanceof Error ? error : new Error(messageOf(error)) };
  }
}

/** The response of an answered call, sealed for the event that will hold it. */
async function sealedOf(
  seal: NonNullable<Opened['seal']>,
  outcome: Outcome,
): Promise<{ facts: Partial<RecordDraft>; redactions: readonly Redaction[] } | undefined> {
  if (outcome.kind !== 'answered') return undefined;
  const event_id = parseUuid(randomUUIDv7());
  const { result, error } = outcome.message;
  const { bytes, redactions } = await seal(event_id, error ?? result ?? null);
  return { facts: { event_id, response_sealed: bytes }, redactions };
}

interface End {
  readonly result_status: ResultStatus;
  readonly error_code?: string;
  readonly error_message?: string;
  readonly response_hash?: Uint8Array;
  readonly response_size?: number;
  readonly items_before?: number;
  readonly items_after?: number;
  readonly redactions: readonly Redaction[];
}

function endOf(core: Core, inbound: Inbound, { facts }: Opened, outcome: Outcome): End {
  if (outcome.kind === 'timeout')
    return { result_status: 'timeout', error_code: 'upstream.timeout', redactions: [] };
  if (outcome.kind === 'cancelled')
    return { result_status: 'cancelled', error_code: 'client.cancelled', redactions: [] };
  if (outcome.kind === 'lost') {
    const { text, redactions } = core.guard.scrub(outcome.why);
    return { result_status: 'failure', error_code: outcome.code, error_message: text, redactions };
  }
  const { caller, service, message: request } = inbound;
  const { result, error } = outcome.message;
  const name = facts.tool_name ?? '';
  const response = core.guard.response(
    caller.org_id,
    service,
    name,
    error ?? result ?? null,
    outcome.sizeBytes,
  );
  if (error) {
    const { text, redactions } = core.guard.scrub(error.message);
    const all = [...response.redactions, ...(response.redactions.length > 0 ? [] : redactions)];
    return {
      ...response,
      result_status: 'failure',
      error_code: String(error.code),
      error_message: text,
      redactions: all,
    };
  }
  if (!isObject(result)) return { ...response, result_status: 'success' };
  if (result['resultType'] === 'input_required') {
    const state = result['requestState'];
    if (typeof state === 'string' && facts.call_id) {
      const attempt = { callId: facts.call_id, attempt: facts.attempt ?? 1 };
      rememberInterruption(core.guard.hash(caller.org_id, state), attempt);
    }
    return { ...response, result_status: 'pending' };
  }
  if (request.method === 'tools/list') core.catalogue.learn(service, result);
  if (result['isError'] === true) {
    const error_message = core.guard.scrub(firstText(result)).text;
    return { ...response, result_status: 'failure', error_code: 'tool.error', error_message };
  }
  return { ...response, ...itemsOf(result), result_status: 'success' };
}

/** How many entries a list showed; nothing is filtered, so before and after are the same. */
function itemsOf(result: Record<string, unknown>): { items_before?: number; items_after?: number } {
  const list = ['tools', 'resources', 'prompts', 'resourceTemplates']
    .map((name) => result[name])
    .find(Array.isArray);
  return list ? { items_before: list.length, items_after: list.length } : {};
}

function firstText(result: Record<string, unknown>): string {
  const content = Array.isArray(result['content']) ? (result['content'] as unknown[]) : [];
  const texts = content.map((part) =>
    isObject(part) && typeof part['text'] === 'string' ? part['text'] : '',
  );
  return texts.find((text) => text !== '') ?? '';
}

function merged(redactions: readonly Redaction[]): Redaction[] {
  const counts = new Map<string, number>();
  for (const { rule, count } of redactions) counts.set(rule, (counts.get(rule) ?? 0) + count);
  return [...counts].map(([rule, count]) => ({ rule, count })).slice(0, 32);
}
