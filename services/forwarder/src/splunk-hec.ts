import { randomUUID } from 'node:crypto';
import type { Clock } from '@cairn/runtime';
import type { Destination, DestinationHttp, Verdict } from './destination.ts';
import { type Answer, below, posted, saidBy, verdictOf } from './http-verdict.ts';

export interface SplunkOptions {
  readonly http: DestinationHttp;
  /** Base of the collector, such as `https://splunk.example:8088`. */
  readonly url: string;
  readonly token: string;
  /** Whether a batch counts as taken only when Splunk says that it is indexed. Splunk Cloud offers that to few. */
  readonly acknowledgement: boolean;
  readonly limits: Destination['limits'];
  readonly clock: Clock;
  readonly nowMs: () => number;
  /** Longest that an acknowledgement is waited for, and how long between two questions. */
  readonly ackMsMax?: number;
  readonly ackEveryMs?: number;
}

/** Codes of the collector ("Troubleshoot HTTP Event Collector") that are about the events: the batch is cut until they are found. */
const CONTENT: ReadonlySet<number> = new Set([5, 6, 12, 13, 15]);
/** The channel is missing or not valid: a new one may do. */
const CHANNEL: ReadonlySet<number> = new Set([10, 11]);
const ACK_DISABLED = 14;

/**
 * Splunk's HTTP Event Collector, `/services/collector/event`: objects one after another. With acknowledgement a batch is taken when
 * `/services/collector/ack` says so; one that is not acknowledged in time is sent again, so that events can come twice and none is
 * missing.
 */
export function splunkHec(options: SplunkOptions): Destination {
  const { http, token, acknowledgement, clock, nowMs, ackMsMax = 300_000, ackEveryMs = 1_000 } = options;
  const events = below(options.url, '/services/collector/event');
  const acks = below(options.url, '/services/collector/ack');
  const authorization = `Splunk ${token}`;
  let channel = randomUUID();

  return {
    limits: options.limits,
    async send(items, over) {
      const said = await posted(
        http,
        events,
        {
          authorization,
          'content-type': 'application/json',
          ...(acknowledgement ? { 'x-splunk-request-channel': channel } : {}),
        },
        items.map(({ text }) => text).join('\n'),
        true,
      );
      if ('verdict' in said) return said.verdict;
      const { code, ackId } = facts(said.answer);
      if (code !== undefined && CHANNEL.has(code)) channel = randomUUID();
      if (said.answer.status < 200 || said.answer.status > 299) return refusalOf(said.answer, code, nowMs());
      if (!acknowledgement) return { kind: 'taken' };
      if (ackId === undefined) return ackMissing();
      return acknowledged(ackId, over);
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };

  async function acknowledged(ackId: number, over: AbortSignal): Promise<Verdict> {
    const endMs = nowMs() + ackMsMax;
    acks.searchParams.set('channel', channel);
    while (!over.aborted && nowMs() < endMs) {
      await clock.pause(ackEveryMs, over);
      const said = await posted(
        http,
        acks,
        { authorization, 'content-type': 'application/json', 'x-splunk-request-channel': channel },
        JSON.stringify({ acks: [ackId] }),
        false,
      );
      // Whatever goes wrong with the question, the answer may still come.
      if ('answer' in said && isAcknowledged(said.answer, ackId)) return { kind: 'taken' };
    }
    return { kind: 'unavailable', reason: `not acknowledged within ${ackMsMax} ms` };
  }
}

function facts({ excerpt }: Answer): {
  readonly code: number | undefined;
  readonly ackId: number | undefined;
} {
  const value = parsed(excerpt);
  const whole = (name: string): number | undefined =>
    Number.isSafeInteger(value[name]) ? (value[name] as number) : undefined;
  return { code: whole('code'), ackId: whole('ackId') };
}

function isAcknowledged({ status, excerpt }: Answer, ackId: number): boolean {
  const { acks } = parsed(excerpt) as { readonly acks?: Readonly<Record<string, unknown>> };
  return status === 200 && typeof acks === 'object' && acks !== null && acks[String(ackId)] === true;
}

function refusalOf(answer: Answer, code: number | undefined, nowMs: number): Verdict {
  const reason = `${answer.status} ${saidBy(answer.excerpt)}`;
  if (code === ACK_DISABLED) return ackMissing();
  if (code !== undefined && CHANNEL.has(code)) return { kind: 'unavailable', reason };
  if (answer.status === 413 || (code !== undefined && CONTENT.has(code))) return { kind: 'refused', reason };
  // 400 with any other code, such as an index that does not exist, is nothing that cutting would find.
  if (answer.status === 400) return { kind: 'unavailable', reason, stopped: true };
  return verdictOf(answer, nowMs);
}

const ackMissing = (): Verdict => ({
  kind: 'unavailable',
  reason:
    'the token does not acknowledge: enable indexer acknowledgement for it, or set acknowledgement to off',
  stopped: true,
});

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
