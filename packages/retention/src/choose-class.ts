import { dayOf, type Millis } from './period.ts';
import type { RetentionPolicy } from './policy.ts';

/** Which class an organisation has, and why. */
export interface ClassChoice {
  readonly class: string;
  readonly why: 'assigned' | 'default';
  /** First day (UTC) of an assignment that has one. */
  readonly from: string | undefined;
}

/**
 * The class that an organisation has at a time. What was recorded before a change stays in the topic and in the segments of
 * the class it had then.
 *
 * @returns undefined when it has none and there is no default.
 */
export function classOf(policy: RetentionPolicy, org: string, at: Millis): ClassChoice | undefined {
  const day = dayOf(at, 'UTC').toString();
  const assignment = policy.organisations.get(org)?.findLast(({ from }) => from === undefined || from <= day);
  if (assignment !== undefined) return { class: assignment.class, why: 'assigned', from: assignment.from };
  if (policy.defaultClass === undefined) return undefined;
  return { class: policy.defaultClass, why: 'default', from: undefined };
}
