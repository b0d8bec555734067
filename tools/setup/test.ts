// `npm test`: what the tests need, then all of them, or those that the arguments choose. Last line: `N passed, N failed`.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { explain } from '@cairn/failure';
import { CACHE_DIRECTORY, installGo, installStrace, prepareParts, REPOSITORY } from '@cairn/local';

interface Result {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numRuntimeErrorTestSuites: number;
  readonly numTotalTests: number;
}

const jest = [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  join(REPOSITORY, 'node_modules', 'jest', 'bin', 'jest.js'),
];

/** From the end of the last test to the end of its process; longer, and a test has left something open, which is a failure. */
const LEFT_OPEN_MS_MAX = 60_000;

/** Runs jest over some projects and says what it counted; a suite that cannot run counts as a failed test. */
async function runJest(name: string, args: readonly string[]): Promise<{ passed: number; failed: number }> {
  const directory = join(REPOSITORY, '.local', 'test');
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${name}.json`);
  rmSync(file, { force: true });
  const status = await new Promise<number | null>((resolve) => {
    const child = spawn(process.execPath, [...jest, '--json', `--outputFile=${file}`, ...args], {
      cwd: REPOSITORY,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    // Jest waits without end for what a test has left open.
    const looking = setInterval(() => {
      if (!existsSync(file)) return;
      clearInterval(looking);
      setTimeout(() => child.kill('SIGKILL'), LEFT_OPEN_MS_MAX).unref();
    }, 1_000);
    child.once('exit', (code) => {
      clearInterval(looking);
      resolve(code);
    });
    process.once('SIGINT', () => child.kill('SIGINT'));
    process.once('SIGTERM', () => child.kill('SIGTERM'));
  });
  let result: Result;
  try {
    result = JSON.parse(readFileSync(file, 'utf8')) as Result;
  } catch {
    return { passed: 0, failed: 1 };
  }
  const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
  return { passed: result.numPassedTests, failed: failed === 0 && status !== 0 ? 1 : failed };
}

async function main(args: readonly string[]): Promise<void> {
  const say = (line: string): void => void process.stderr.write(`  ${line}\n`);
  // First, since a part is built with it; verifiers, judges and a witness that are not ours are, too.
  await installGo(CACHE_DIRECTORY, say);
  await prepareParts(say);
  // Tests have system calls fail with it.
  await installStrace(say);
  const runs =
    args.length > 0
      ? [await runJest('chosen', args)]
      : [
          await runJest('unit', ['--selectProjects', 'unit']),
          // Each of these starts real parts; two cores hold one set at a time.
          await runJest('contract', ['--selectProjects', 'contract', '--runInBand']),
          await runJest('e2e', ['--selectProjects', 'e2e', '--runInBand']),
        ];
  const passed = runs.reduce((sum, run) => sum + run.passed, 0);
  const failed = runs.reduce((sum, run) => sum + run.failed, 0);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`npm test: ${explain(error)}\n`);
  process.stdout.write('0 passed, 1 failed\n');
  process.exitCode = 1;
}
