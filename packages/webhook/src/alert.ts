export const LEVELS = ['informational', 'low', 'medium', 'high', 'critical'] as const;

/** How grave an alert is, in the words of Sigma. */
export type Level = (typeof LEVELS)[number];

/** An alert as it is told to people and machines outside. Made from an alert event; holds no parameter and no response. */
export interface Alert {
  /** Id of the alert event, a UUID. The `webhook-id` of every attempt at every endpoint. */
  readonly id: string;
  /** The same for all that is said of one alert, so that an end finds its beginning. */
  readonly key: string;
  /** `test` means nothing. */
  readonly what: 'opened' | 'ended' | 'test';
  readonly orgId: string;
  /** Id of the rule. */
  readonly rule: string;
  readonly title: string;
  readonly level: Level;
  /** RFC 3339, UTC: when the last of its events happened. */
  readonly at: string;
  /** Fields by which the rule groups, with the values of this alert. From agents and tools: hostile. */
  readonly group: Readonly<Record<string, string>>;
  /** Events that caused it so far. */
  readonly count: number;
  /** Ids of the events that caused it, at most a few. */
  readonly events: readonly string[];
  /** Why it fired, for a person. */
  readonly reason: string;
}
