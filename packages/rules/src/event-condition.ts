import { allOf, anyOf, type Condition } from './condition.ts';
import type { RuleEvent } from './rule.ts';

export type EventTest = (event: RuleEvent) => boolean;

/**
 * A condition over one event, and what the enums among its fields say of it. Enums have few values between them, so what they
 * say can be remembered for all events that are alike in them.
 */
export interface EventCondition {
  readonly holds: EventTest;
  /** Reads enums alone. Where it is false the condition does not hold. */
  readonly mayHold: EventTest;
  /** The condition reads enums alone: where `mayHold` is true it holds. */
  readonly isDecided: boolean;
}

/** A condition that reads enums alone. */
export const decidedBy = (holds: EventTest): EventCondition => ({ holds, mayHold: holds, isDecided: true });

/** A condition of which the enums say nothing. */
export const undecided = (holds: EventTest): EventCondition => ({
  holds,
  mayHold: () => true,
  isDecided: false,
});

export const allConditions = (parts: readonly EventCondition[]): EventCondition => ({
  holds: allOf(parts.map(({ holds }) => holds)),
  mayHold: allOf(parts.map(({ mayHold }) => mayHold)),
  isDecided: parts.every(({ isDecided }) => isDecided),
});

export const anyCondition = (parts: readonly EventCondition[]): EventCondition => ({
  holds: anyOf(parts.map(({ holds }) => holds)),
  mayHold: anyOf(parts.map(({ mayHold }) => mayHold)),
  isDecided: parts.every(({ isDecided }) => isDecided),
});

function notCondition({ holds, isDecided }: EventCondition): EventCondition {
  const negated: EventTest = (event) => !holds(event);
  return isDecided ? decidedBy(negated) : undecided(negated);
}

/** A condition over the names of others. */
export function conditionOver(condition: Condition, named: (name: string) => EventCondition): EventCondition {
  if (condition.op === 'name') return named(condition.name);
  if (condition.op === 'not') return notCondition(conditionOver(condition.of, named));
  const parts = condition.of.map((part) => conditionOver(part, named));
  return condition.op === 'and' ? allConditions(parts) : anyCondition(parts);
}
