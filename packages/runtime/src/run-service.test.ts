import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs the dummy service, sends each signal as soon as the text before it has been seen, and waits for its end. */
async function run(mode: string, ...steps: [after: string, signal: NodeJS.Signals][]): Promise<Ended> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../test/dummy-service.ts'), mode]);
  let output = '';
  const left = [...steps];
  const look = (chunk: Buffer): void => {
    output += chunk.toString();
    const [next] = left;
    if (next && output.includes(next[0])) {
      left.shift();
      child.kill(next[1]);
    }
  };
  child.stdout.on('data', look);
  child.stderr.on('data', look);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, output };
}

describe('a service process', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('drains on %s and ends with code 0', async (signal) => {
    const { code, output } = await run('runs', ['READY\n', signal]);
    expect(output).toContain('DRAINED');
    expect(code).toBe(0);
  });

  test('that does not drain in time ends all the same, with code 1', async () => {
    const { code, output } = await run('hangs', ['READY\n', 'SIGTERM']);
    expect(output).not.toContain('DRAINED');
    expect(code).toBe(1);
  });

  test('that cannot start says why and ends with code 1', async () => {
    const { code, output } = await run('fails');
    expect(output).toContain('cannot start');
    expect(code).toBe(1);
  });

  test('reloads on SIGHUP when it has something to reload, and goes on', async () => {
    const { code, output } = await run('reloads', ['READY\n', 'SIGHUP'], ['RELOADED\n', 'SIGTERM']);
    expect(output).toContain('RELOADED');
    expect(code).toBe(0);
  });

  test('stops on SIGHUP when it has nothing to reload', async () => {
    const { code, output } = await run('runs', ['READY\n', 'SIGHUP']);
    expect(output).toContain('DRAINED');
    expect(code).toBe(0);
  });
});
