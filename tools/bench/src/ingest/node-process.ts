import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Running } from './contestant.ts';
import type { Stage } from './stage.ts';

/** Starts a program that reads its task from the environment and runs until it is told to end. */
export function startProcess(
  stage: Stage,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Running {
  const log = openSync(join(stage.directory, 'contestants.log'), 'a');
  const child: ChildProcess = spawn(command, [...args], {
    stdio: ['ignore', log, log],
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...env },
  });
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
