import type { AuditEvent } from '@cairn/event';

/** Microseconds since 1970-01-01T00:00:00Z, or a span of so many, as event times are. */
export type Micros = number;

/** An event of which the fields that some rule reads are decoded (`RuleSet.fieldsRead`). What is not there is absent. */
export type RuleEvent = Partial<AuditEvent>;

/** A field of the schema, by its name there. */
export type FieldName = keyof AuditEvent;

export type Level = 'informational' | 'low' | 'medium' | 'high' | 'critical';

/** What every rule says of itself. */
export interface RuleHead {
  /** The `id` of the file, or its `name` where it has none: unique among the rules that run together. */
  readonly id: string;
  readonly name: string | undefined;
  readonly title: string;
  readonly description: string;
  readonly level: Level;
  readonly tags: readonly string[];
  /** The file as it was named to `readRules`, and the line at which the rule begins. */
  readonly file: string;
  readonly line: number;
}

/** A Sigma rule over one event. */
export interface Detection extends RuleHead {
  readonly kind: 'detection';
  /** Whether a match is an alert of its own; false when it only feeds correlations. */
  readonly alerts: boolean;
  readonly fieldsRead: ReadonlySet<FieldName>;
  /** Whether the rule holds for this event. Never throws, takes time linear in the event's size. */
  readonly matches: (event: RuleEvent) => boolean;
  /** Reads enums alone. Where it is false the rule does not hold. */
  readonly mayMatch: (event: RuleEvent) => boolean;
  /** The rule reads enums alone: where `mayMatch` is true it holds. */
  readonly isDecided: boolean;
}

/** A Sigma correlation, or one of the two extensions that count (`baseline`, and `temporal` with `not`). */
export interface Correlation extends RuleHead {
  readonly kind: 'correlation';
  readonly alerts: boolean;
  readonly type: 'event_count' | 'value_count' | 'temporal' | 'temporal_ordered' | 'baseline';
  /** The rules that it counts, each with the fields that its group and its value come from. */
  readonly sources: readonly CorrelationSource[];
  /** Names of the group's values, in the order of `WindowAddition.group`; `org_id` is always the first. */
  readonly groupBy: readonly string[];
  /** A window is inclusive at both ends: `[end - timespan, end]`. */
  readonly timespan: Micros;
  /**
   * Event times are rounded down to whole cells of this width before they are counted. 1 is exact. Wider cells are for
   * counts that need many events or reach far back: a window then reaches up to one cell further back.
   */
  readonly cellWidth: Micros;
  /** How many cells of one window are worth keeping; the latest ones. */
  readonly cellsMax: number;
  /**
   * A cell that has so many events counts no more of them: nothing that is judged would change. 1 where only presence counts,
   * infinite where every event does.
   */
  readonly cellCountMax: number;
  /**
   * While the counts of all cells of a window add up to less, no event can make the condition hold: the window need not be looked at
   * when something is added. Beyond any count where windows are judged at their close.
   */
  readonly floor: number;
  /**
   * `event`: a window may fire at each event that it counts. `close`: it is judged once event time has passed its end,
   * because it asks for something that did not happen.
   */
  readonly judgedAt: 'event' | 'close';
  /** Whether this measure of a window fires. With `holdsFor`, that is asked instead. */
  readonly holds: (measure: number) => boolean;
  /** The condition as text, such as `>= 5`. */
  readonly condition: string;
  /** Extended condition: whether these sources, by index, seen in a window, make it fire. */
  readonly holdsFor: ((seen: ReadonlySet<number>) => boolean) | undefined;
  /** Sources, by index, whose events begin a window. Empty unless judged at its close. */
  readonly anchors: ReadonlySet<number>;
  /** 0 when all its sources are detections; else one more than the highest of the correlations that it counts. */
  readonly depth: number;
  readonly baseline: BaselineTerms | undefined;
  /** For its groups and values; the rules that it counts read their own. */
  readonly fieldsRead: ReadonlySet<FieldName>;
}

/** What a `baseline` correlation asks; see docs/rules.md. */
export interface BaselineTerms {
  /** Fires above median + so many times the spread. */
  readonly deviations: number;
  /** Never fires at or below this count, whatever the history. */
  readonly atLeast: number;
  /** How many weeks of history are asked for. */
  readonly weeks: number;
  /** With fewer weeks known for this hour of the week, `atLeast` alone decides. */
  readonly weeksMin: number;
}

export interface CorrelationSource {
  /** `id` of the detection or correlation. */
  readonly rule: string;
  /** Values of the group of an event that this rule matched, without `org_id`; where one is absent the event is not counted. */
  readonly groupFields: readonly ((event: RuleEvent) => string | undefined)[];
  /** The same fields in the schema. */
  readonly groupColumns: readonly FieldName[];
  /** For `value_count`: the value that is counted, lower case as Sigma compares; undefined when absent. */
  readonly valueOf: ((event: RuleEvent) => string | undefined) | undefined;
  /** When the source is a correlation: where in its group (`groupBy`) each value of this group stands. */
  readonly groupFrom: readonly number[] | undefined;
}

export type Rule = Detection | Correlation;

/** Rules that run together. */
export interface RuleSet {
  readonly detections: readonly Detection[];
  /** In the order of `depth`, so that what one counts was judged before it. */
  readonly correlations: readonly Correlation[];
  /** For the reader's schema: no rule looks at another field. */
  readonly fieldsRead: ReadonlySet<FieldName>;
}
