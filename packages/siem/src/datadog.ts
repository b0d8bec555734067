import { cairnFields, present } from './cairn-fields.ts';
import { resultOf, type Severity, sentenceOf, severityOf } from './describe-event.ts';
import { type PlainEvent, plainEvent } from './plain-event.ts';
import type { StoredEvent } from './stored-event.ts';

/** One log of Datadog's intake; a request's body is an array of them. */
export type DatadogLog = Readonly<Record<'ddsource' | 'ddtags' | 'hostname' | 'service' | 'message', string>>;

export interface DatadogOptions {
  /** Added to `ddtags`, such as `team:security`. */
  readonly tags?: readonly string[] | undefined;
  /**
   * The intake's clock, milliseconds since 1970. Logs may be at most 18 hours old; an older one is sent under this time and says so
   * in `late`, with its own in `event_time`.
   */
  readonly nowMs: number;
}

/** How old a log may be when it is taken in: 18 hours, less some for the way. */
const AGE_MS_MAX = 17.5 * 3_600_000;

const STATUSES: Readonly<Record<Severity, string>> = {
  1: 'info',
  2: 'notice',
  3: 'warn',
  4: 'error',
  5: 'critical',
};

/**
 * An event as Datadog's log intake takes it (POST /api/v2/logs). Until October 2024 the published schema of an item (`HTTPLogItem`) had
 * texts only, and receivers that follow it refuse anything else. So the attributes are JSON in `message`, which Datadog reads: its
 * reserved and standard attributes, `duration` in nanoseconds, and under `cairn` what those have no name for.
 */
export function datadogLogOf(stored: StoredEvent, { tags = [], nowMs }: DatadogOptions): DatadogLog {
  const plain = plainEvent(stored);
  const { event } = plain;
  return {
    ddsource: 'cairn',
    ddtags: tagsOf(event, tags),
    hostname: event.gateway_id,
    service: event.service || 'cairn',
    message: JSON.stringify(attributesOf(plain, nowMs)),
  };
}

function attributesOf(plain: PlainEvent, nowMs: number): Readonly<Record<string, unknown>> {
  const { event } = plain;
  const ms = Math.floor(event.timestamp / 1_000);
  const isLate = nowMs - ms > AGE_MS_MAX;
  const failed = event.error_code !== '' || event.error_message !== '' || event.result_status === 'denied';
  return present({
    message: sentenceOf(plain),
    status: STATUSES[severityOf(plain)],
    timestamp: isLate ? nowMs : ms,
    late: isLate ? true : undefined,
    event_time: isLate ? new Date(ms).toISOString() : undefined,
    evt: present({ id: event.event_id, name: event.method || event.kind, outcome: resultOf(event) }),
    usr: event.user_id === '' ? undefined : { id: event.user_id },
    duration: event.latency_ms === null ? undefined : event.latency_ms * 1_000_000,
    error: failed
      ? present({ kind: event.error_code || event.result_status, message: event.error_message })
      : undefined,
    trace_id: event.trace_id,
    span_id: event.span_id,
    org_id: event.org_id,
    gen_ai: present({
      agent: event.agent_id === '' ? undefined : { id: event.agent_id },
      operation: event.kind === 'tool_call' ? { name: 'execute_tool' } : undefined,
      tool:
        event.tool_name === ''
          ? undefined
          : present({
              name: event.tool_name,
              call: event.call_id === null ? undefined : { id: event.call_id },
            }),
    }),
    mcp: event.protocol === 'mcp' && event.method !== '' ? { method: { name: event.method } } : undefined,
    cairn: cairnFields(plain),
  });
}

/** Tags are words with a colon; what a name would break is replaced (Datadog does the same, in silence). */
function tagsOf({ environment, org_id }: StoredEvent, tags: readonly string[]): string {
  const word = (text: string): string => text.replaceAll(/[^\p{L}\p{N}_.:/-]/gu, '_').slice(0, 100);
  return [
    ...(environment === '' ? [] : [`env:${word(environment)}`]),
    `org:${word(org_id)}`,
    ...tags.map(word),
  ].join(',');
}
