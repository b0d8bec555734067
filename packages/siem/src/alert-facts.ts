import type { StoredEvent } from './stored-event.ts';

/** What `detail` says of an alert; what is missing or of another type is empty, for any recorder may write alerts. */
export interface AlertFacts {
  /** The same for all that is said of one alert. */
  readonly key: string;
  readonly rule: string;
  readonly title: string;
  readonly level: string;
  readonly reason: string;
  /** Ids of causing events. */
  readonly events: readonly string[];
  /** Events, or the measure of the window. */
  readonly count: number | undefined;
  /** Microseconds. */
  readonly since: number | undefined;
  readonly until: number | undefined;
  readonly isOver: boolean;
}

/** The facts of an alert event; undefined of any other. */
export function alertFactsOf(event: StoredEvent): AlertFacts | undefined {
  if (event.kind !== 'alert') return undefined;
  const facts = factsOf(event.detail);
  const text = (name: string): string => {
    const value = facts[name];
    return typeof value === 'string' ? value : '';
  };
  const whole = (name: string): number | undefined => {
    const value = facts[name];
    return Number.isSafeInteger(value) ? (value as number) : undefined;
  };
  const events = facts['events'];
  const rule = text('rule') || event.rules_matched[0] || event.error_code || event.method;
  return {
    key: text('key') || event.event_id,
    rule,
    title: text('title') || rule,
    level: text('level'),
    reason: text('reason') || event.error_message,
    events: Array.isArray(events) ? events.filter((id) => typeof id === 'string').slice(0, 20) : [],
    count: whole('count'),
    since: whole('since'),
    until: whole('until'),
    isOver: event.method === 'alert/ended',
  };
}

function factsOf(detail: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(detail);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
    // A parsed text may have a name that objects inherit, such as __proto__.
    return Object.assign(Object.create(null) as Record<string, unknown>, value);
  } catch {
    return {};
  }
}
