import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '@cairn/failure';
import type { Logger } from './log.ts';

/** What a log says of its topics. */
export interface TopicsOf {
  /** How many partitions a topic has; undefined while it is not there. */
  partitionsOf(topic: string): Promise<number | undefined>;
}

/**
 * The topics with their partitions, once all of them are there. The gateways create them, since they decide on the
 * partitions; until then there is nothing to read.
 */
export async function awaitTopics(
  kafka: TopicsOf,
  topics: readonly string[],
  log: Pick<Logger, 'warn'>,
): Promise<{ readonly topic: string; readonly partitions: number }[]> {
  const there: { readonly topic: string; readonly partitions: number }[] = [];
  for (const topic of topics) {
    let partitions = await kafka.partitionsOf(topic);
    for (let wait = 0; partitions === undefined; wait += 1) {
      if (wait % 30 === 0) log.warn({ topic }, 'waiting for the topic, which the first gateway creates');
      await sleep(1_000);
      partitions = await kafka.partitionsOf(topic);
    }
    there.push({ topic, partitions });
  }
  return there;
}

/** What makes topics. */
export interface TopicMaker {
  ensureTopics(topics: readonly { readonly name: string; readonly partitions: number }[]): Promise<void>;
}

const AGAIN_MS = 2_000;

/** Has topics created as soon as the log answers; until then whoever records holds what it records. */
export function ensureTopicsSoon(
  kafka: TopicMaker,
  topics: readonly { readonly name: string; readonly partitions: number }[],
  log: Pick<Logger, 'warn'>,
): void {
  const attempt = (): void => {
    kafka.ensureTopics(topics).catch((error: unknown) => {
      log.warn({ reason: messageOf(error) }, 'the topics are not there yet');
      setTimeout(attempt, AGAIN_MS).unref();
    });
  };
  attempt();
}
