import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { AlertingStage, RulesOfStage } from './stage.ts';
import type { Done, Watcher } from './watch-topic.ts';

/** The peer, as a process of its own. */
export async function startPeer(
  { parts }: AlertingStage,
  topic: string,
  rules: RulesOfStage,
  group: string,
): Promise<Watcher> {
  const child = fork(join(import.meta.dirname, 'peer.ts'), {
    env: {
      PATH: process.env['PATH'] ?? '',
      ...parts.env(),
      BENCH_TOPIC: topic,
      BENCH_GROUP: group,
      CAIRN_RULES: rules.directory,
    },
  });
  let done: Done = { events: 0, eventsOfEach: [0], alerts: 0 };
  child.on('message', ({ events, alerts }: Done) => {
    done = { events, eventsOfEach: [events], alerts };
  });
  const ended = once(child, 'exit');
  return {
    pids: [child.pid ?? 0],
    async done() {
      if (child.exitCode !== null) throw new Error(`the peer ended with ${child.exitCode}`);
      return done;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
