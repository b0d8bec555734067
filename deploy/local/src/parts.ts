import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  addressesFrom,
  CACHE_DIRECTORY,
  PART_NAMES,
  type PartName,
  PORT_VARIABLES,
  type Ports,
  portsFrom,
} from './config.ts';
import { type Progress, requireDiskSpace } from './install.ts';
import type { LocalPart } from './part.ts';
import { clickhouse } from './part-clickhouse.ts';
import { kafka } from './part-kafka.ts';
import { redis } from './part-redis.ts';
import { s3 } from './part-s3.ts';
import { type Parts, partsOf, type RunningPart } from './running-part.ts';
import {
  answers,
  end,
  freePort,
  isRunning,
  launch,
  type ProcessRecord,
  requireFreePort,
  runningOf,
} from './running-process.ts';

const LOCAL_PARTS: Readonly<Record<PartName, LocalPart>> = { kafka, clickhouse, redis, s3 };

export interface StartOptions {
  /** Holds data, logs and process records. */
  readonly directory: string;
  /** Default all. */
  readonly parts?: readonly PartName[];
  /** Default those of the environment; `any` takes free ones, for tests that run beside each other. */
  readonly ports?: Ports | 'any';
  readonly onProgress?: Progress;
}

/** Installs what the local parts need and this machine lacks. Quick when nothing is missing. */
export async function prepareParts(
  onProgress: Progress = () => {},
  names: readonly PartName[] = PART_NAMES,
): Promise<void> {
  requireDiskSpace(CACHE_DIRECTORY);
  const addresses = addressesFrom();
  const local = names.filter((name) => addresses[name] === undefined);
  await Promise.all(local.map((name) => LOCAL_PARTS[name].install(CACHE_DIRECTORY, onProgress)));
}

/**
 * Brings up the outside systems: those that the environment names are used as they are, others are local processes.
 * A local one that already runs from this directory is used as well and left running by dispose.
 *
 * @throws Failure `tool.missing`, `install.failed`, `disk.full`, `port.taken`, `part.not-ready`
 */
export async function startParts(options: StartOptions): Promise<Parts> {
  const onProgress = options.onProgress ?? (() => {});
  const names = options.parts ?? PART_NAMES;
  const directory = resolve(options.directory);
  requireDiskSpace(directory);
  await prepareParts(onProgress, names);
  const addresses = addressesFrom();
  const started: RunningPart[] = [];
  try {
    for (const name of names) {
      const address = addresses[name];
      const part = address
        ? elsewhere(name, address)
        : await startLocal(name, directory, options.ports ?? portsFrom());
      started.push(part);
      onProgress(
        `${name}: ${part.address}${address ? ' (from the environment)' : part.found ? ' (already running)' : ''}`,
      );
    }
  } catch (error) {
    await stopStarted(started);
    throw error;
  }
  return partsOf(started, () => stopStarted(started));
}

/**
 * Parts for one test: containers when a Docker engine answers, else local processes on free ports. Dispose removes them;
 * their data goes with `directory`.
 */
export async function startTestParts(options: StartOptions): Promise<Parts> {
  // Imported here, because whoever only runs the parts has no container library.
  const { hasEngine, startContainers } = await import('./containers.ts');
  if (Object.keys(addressesFrom()).length === 0 && (await hasEngine())) {
    return startContainers(options.parts ? { parts: options.parts } : {});
  }
  return startParts({ ...options, ports: 'any' });
}

async function startLocal(name: PartName, directory: string, ports: Ports | 'any'): Promise<RunningPart> {
  const local = LOCAL_PARTS[name];
  const recordFile = recordFileOf(directory, name);
  const running = runningOf(recordFile);
  const port = running?.port ?? (ports === 'any' ? await freePort() : ports[name]);
  const place = { port, directory: join(directory, name), logFile: join(directory, 'log', `${name}.log`) };
  let record: ProcessRecord | undefined = running;

  const start = async (): Promise<void> => {
    if (record && isRunning(record)) return;
    await requireFreePort(port, name, PORT_VARIABLES[name]);
    const command = await local.prepare(CACHE_DIRECTORY, place);
    record = await launch({
      ...command,
      name,
      port,
      recordFile,
      logFile: place.logFile,
      ready: () => local.ready(port),
      readyMsMax: local.readyMsMax,
    });
  };
  const endWith = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (record) await end(record, signal);
    // A killed process is gone before the system has closed its sockets.
    for (let wait = 0; wait < 250 && (await answers(port)); wait += 1) await sleep(20);
    rmSync(recordFile, { force: true });
  };

  await start();
  return {
    name,
    address: local.address(port),
    found: running !== undefined,
    get pid() {
      return record?.pid;
    },
    start,
    stop: () => endWith('SIGTERM'),
    kill9: () => endWith('SIGKILL'),
  };
}

function elsewhere(name: PartName, address: string): RunningPart {
  const refuse = () => Promise.reject(new Error(`${name} runs elsewhere and is not ours to end`));
  return { name, address, pid: undefined, found: true, kill9: refuse, stop: refuse, start: refuse };
}

async function stopStarted(started: readonly RunningPart[]): Promise<void> {
  const ours = started.filter((part) => !part.found);
  await Promise.all(ours.map((part) => part.stop()));
}

export interface PartStatus {
  readonly part: PartName;
  readonly running: boolean;
  readonly pid: number | undefined;
  readonly address: string;
}

/** What runs from this directory, or elsewhere when the environment says so. */
export function statusParts(directory: string): PartStatus[] {
  const addresses = addressesFrom();
  const ports = portsFrom();
  return PART_NAMES.map((part) => {
    const named = addresses[part];
    if (named) return { part, running: true, pid: undefined, address: named };
    const record = runningOf(recordFileOf(directory, part));
    const address = LOCAL_PARTS[part].address(record?.port ?? ports[part]);
    return { part, running: record !== undefined, pid: record?.pid, address };
  });
}

/** Ends every part that runs from this directory; their data stays. */
export async function stopParts(directory: string): Promise<PartName[]> {
  const stopped = await Promise.all(
    PART_NAMES.map(async (part) => {
      const file = recordFileOf(directory, part);
      const record = runningOf(file);
      if (!record) return undefined;
      await end(record, 'SIGTERM');
      rmSync(file, { force: true });
      return part;
    }),
  );
  return stopped.filter((part) => part !== undefined);
}

function recordFileOf(directory: string, part: PartName): string {
  return join(resolve(directory), 'run', `${part}.json`);
}
