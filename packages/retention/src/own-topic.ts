import { topicOf } from '@cairn/event';
import { classOf } from './choose-class.ts';
import type { Millis } from './period.ts';
import type { RetentionPolicy } from './policy.ts';

/**
 * Where a service's own events of an organisation go: to its class, where that is one of those that the service reads, else
 * to the first of them, so that what is said of an organisation is never in a topic that nobody reads.
 *
 * @param topics at least one.
 */
export function ownTopic(
  policy: RetentionPolicy,
  orgId: string,
  topics: readonly string[],
  now: Millis,
): string {
  const chosen = classOf(policy, orgId, now);
  const topic = chosen && topicOf(chosen.class);
  return topic !== undefined && topics.includes(topic) ? topic : topics[0]!;
}
