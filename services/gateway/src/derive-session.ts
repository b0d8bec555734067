import { randomUUID } from 'node:crypto';
import type { SessionSource } from '@cairn/event';
import { hexOf } from '@cairn/event';
import type { PrivacyGuard } from '@cairn/privacy';
import { LRUCache } from 'lru-cache';
import type { Caller } from './identity.ts';
import { isObject } from './read-message.ts';

/** The session of a call, and what says so. */
export interface Session {
  readonly session_id: string;
  readonly session_source: SessionSource;
  /** Order inside the session, from 1, as this gateway saw it. */
  readonly step: number;
  /** 16 bytes, or null. */
  readonly trace_id: Uint8Array | null;
  /** 8 bytes, or null. */
  readonly span_id: Uint8Array | null;
}

export interface SessionHints {
  /** `_meta` of the request. */
  readonly meta: unknown;
  readonly baggage: string | undefined;
  readonly traceparent: string | undefined;
  readonly mcpSessionId: string | undefined;
}

/** Silence after which a caller without any other hint begins a new session. */
const IDLE_MS = 30 * 60_000;
const SESSIONS_REMEMBERED = 50_000;

/** Our own key in `_meta`, for agents that know their session and say so. */
const SESSION_META = 'dev.cairn/session-id';

/**
 * Derives sessions. MCP's own session is often missing and often shared, so the best hint wins: the agent's assertion,
 * baggage, the trace, MCP's session, and at last the caller itself with a gap of 30 minutes.
 */
export function createSessions(
  guard: PrivacyGuard,
  nowMs: () => number = Date.now,
): (caller: Caller, hints: SessionHints) => Session {
  const steps = new LRUCache<string, number>({ max: SESSIONS_REMEMBERED });
  const idle = new LRUCache<string, { readonly id: string; readonly lastMs: number }>({
    max: SESSIONS_REMEMBERED,
  });

  const derived = (caller: Caller): string => {
    const now = nowMs();
    const key = `${caller.org_id} ${caller.key}`;
    const known = idle.get(key);
    const id = known && now - known.lastMs < IDLE_MS ? known.id : randomUUID();
    idle.set(key, { id, lastMs: now });
    return id;
  };

  return (caller, hints) => {
    const meta = isObject(hints.meta) ? hints.meta : {};
    const text = (name: string): string | undefined =>
      typeof meta[name] === 'string' ? (meta[name] as string) : undefined;
    const trace = traceOf(text('traceparent') ?? hints.traceparent);
    const asserted = text(SESSION_META);
    const carried = sessionOfBaggage(text('baggage') ?? hints.baggage);
    const [session_source, session_id]: [SessionSource, string] = asserted
      ? ['asserted', safeId(guard, caller, asserted)]
      : carried
        ? ['baggage', safeId(guard, caller, carried)]
        : trace
          ? ['trace', hexOf(trace.traceId)]
          : hints.mcpSessionId
            ? ['transport', hexOf(guard.hash(caller.org_id, hints.mcpSessionId)).slice(0, 32)]
            : ['derived', derived(caller)];
    const key = `${caller.org_id} ${session_id}`;
    const step = (steps.get(key) ?? 0) + 1;
    steps.set(key, step);
    return {
      session_id,
      session_source,
      step,
      trace_id: trace?.traceId ?? null,
      span_id: trace?.spanId ?? null,
    };
  };
}

/** W3C Trace Context, version 00. */
export function traceOf(
  traceparent: string | undefined,
): { readonly traceId: Uint8Array; readonly spanId: Uint8Array } | undefined {
  const parts = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}/.exec(traceparent ?? '');
  const [, trace = '', span = ''] = parts ?? [];
  if (!parts || /^0+$/.test(trace) || /^0+$/.test(span)) return undefined;
  return { traceId: Buffer.from(trace, 'hex'), spanId: Buffer.from(span, 'hex') };
}

/** The session that W3C Baggage names, by OpenTelemetry's names. */
export function sessionOfBaggage(baggage: string | undefined): string | undefined {
  if (baggage === undefined) return undefined;
  const members = baggage.slice(0, 8_192).split(',');
  for (const wanted of ['session.id', 'gen_ai.conversation.id']) {
    for (const member of members) {
      const [name, value] = (member.split(';', 1)[0] ?? '').split('=').map((part) => part.trim());
      if (name === wanted && value) return decoded(value);
    }
  }
  return undefined;
}

function decoded(value: string): string | undefined {
  try {
    return decodeURIComponent(value);
  } catch {
    return undefined;
  }
}

/** An id that a client chose is kept when it looks like one and holds nothing personal; otherwise its token is. */
function safeId(guard: PrivacyGuard, caller: Caller, id: string): string {
  const plain = /^[\w.:-]{1,128}$/.test(id) && guard.scrub(id).redactions.length === 0;
  return plain ? id : guard.token(caller.org_id, 'session', id);
}
