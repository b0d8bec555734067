import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '@cairn/failure';

/** The root of the repository. */
export const REPOSITORY = join(import.meta.dirname, '..', '..', '..');

/**
 * Options of Node for a service as a process of its own; docker-compose.yml gives the same. What ingest makes is dead at
 * once, and a young generation of 24 MiB in the place of 48 costs it nothing.
 */
export const NODE_OPTIONS: Readonly<Record<string, string>> = { ingest: '--max-semi-space-size=8' };

export interface ServiceProcessOptions {
  /** Folder under `services/`; also the name of the log file. */
  readonly name: string;
  /** File to run, when it is not `services/<name>/src/main.ts`. */
  readonly main?: string;
  readonly args?: readonly string[];
  /** The whole environment of the service beside PATH and HOME. */
  readonly env: Readonly<Record<string, string>>;
  readonly healthPort: number;
  /** Where `<name>.log` is kept; each start appends. */
  readonly logDirectory: string;
  readonly readyMsMax?: number;
}

/** A service as a process of its own, started from its `main.ts`, which is how it runs everywhere else. */
export interface ServiceProcess extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  readonly healthUrl: string;
  /** Ends at once, as a crash does; resolves when the process is gone. */
  kill9(): Promise<void>;
  /** Starts it again after a kill or a stop and waits until it is ready. */
  start(): Promise<void>;
  /** Asks it to drain and waits for its end. */
  stop(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/**
 * Starts a service and waits until `/readyz` says 200.
 *
 * @throws Failure `service.not-ready` with the last lines of its log when it ends or does not become ready in time.
 */
export async function startServiceProcess(options: ServiceProcessOptions): Promise<ServiceProcess> {
  const logFile = join(options.logDirectory, `${options.name}.log`);
  const healthUrl = `http://127.0.0.1:${options.healthPort}`;
  mkdirSync(dirname(logFile), { recursive: true });
  let child: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();

  const start = async (): Promise<void> => {
    const log = openSync(logFile, 'a');
    const main = options.main ?? join(REPOSITORY, 'services', options.name, 'src', 'main.ts');
    const started = spawn(process.execPath, [main, ...(options.args ?? [])], {
      cwd: REPOSITORY,
      stdio: ['ignore', log, log],
      env: {
        PATH: dirname(process.execPath) + PATH_REST,
        HOME: '/nonexistent',
        NODE_OPTIONS: NODE_OPTIONS[options.name] ?? '',
        ...options.env,
      },
    });
    closeSync(log);
    child = started;
    ended = new Promise((resolve) => started.once('exit', () => resolve()));
    await untilReady(started);
  };

  const untilReady = async (started: ChildProcess): Promise<void> => {
    const deadline = performance.now() + (options.readyMsMax ?? 60_000);
    while (performance.now() < deadline) {
      if (started.exitCode !== null || started.signalCode !== null) break;
      const ready = await fetch(`${healthUrl}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(
        () => undefined,
      );
      if (ready?.status === 200) return;
      await sleep(50);
    }
    started.kill('SIGKILL');
    throw new Failure({
      code: 'service.not-ready',
      retry: 'no',
      message: `${options.name} did not become ready: ${lastLines(logFile)}`,
      mend: `Its log is ${logFile}.`,
    });
  };

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child?.kill(signal);
    await ended;
  };

  await start();
  return {
    name: options.name,
    logFile,
    healthUrl,
    get pid() {
      return child?.pid ?? 0;
    },
    kill9: () => end('SIGKILL'),
    start,
    stop: () => end('SIGTERM'),
    signal: (name) => child?.kill(name),
    [Symbol.asyncDispose]: () => end('SIGTERM'),
  };
}

const PATH_REST = ':/usr/local/bin:/usr/bin:/bin';

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-5).join(' | ');
}
