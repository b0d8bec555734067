import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { Produced, ProduceTask } from './produce.ts';

/**
 * Has a process of its own produce, and resolves when it is done.
 *
 * @param onStarted told when everything is made ready and the first event is due.
 */
export async function produce(task: ProduceTask, onStarted: () => void): Promise<Produced> {
  const child = fork(join(import.meta.dirname, 'produce.ts'), {
    stdio: 'inherit',
    serialization: 'advanced',
    // What is encoded beforehand is held until it is appended.
    execArgv: ['--max-old-space-size=8192'],
  });
  const ended = new Promise<never>((_, reject) => {
    child.once('exit', (code) => reject(new Error(`the producer ended with ${code}`)));
  });
  ended.catch(() => {});
  const said = <T>(): Promise<T> =>
    Promise.race([ended, new Promise<T>((resolve) => child.once('message', (said) => resolve(said as T)))]);
  try {
    await said<'listening'>();
    child.send(task);
    await said<'started'>();
    onStarted();
    return await said<Produced>();
  } finally {
    child.disconnect();
  }
}
