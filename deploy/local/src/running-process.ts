import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '@cairn/failure';

/** What is remembered of a process that outlives the one that started it. */
export interface ProcessRecord {
  readonly pid: number;
  /** Clock ticks after boot at which it started: a pid alone may by now be somebody else's. */
  readonly started: string;
  readonly port: number;
}

export interface LaunchOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly port: number;
  readonly recordFile: string;
  readonly logFile: string;
  /** True once it serves. */
  readonly ready: () => Promise<boolean>;
  readonly readyMsMax: number;
}

/**
 * Starts a process in a session of its own, so that it survives its starter, and waits until it serves.
 *
 * @throws Failure `part.not-ready` with the last lines of its log.
 */
export async function launch(options: LaunchOptions): Promise<ProcessRecord> {
  mkdirSync(dirname(options.logFile), { recursive: true });
  mkdirSync(dirname(options.recordFile), { recursive: true });
  const log = openSync(options.logFile, 'a');
  const child: ChildProcess = spawn(options.command, options.args, {
    stdio: ['ignore', log, log],
    detached: true,
    ...(options.env ? { env: { ...options.env } } : {}),
  });
  closeSync(log);
  const failed = new Promise<Error>((resolve) => child.once('error', resolve));
  if (child.pid === undefined) throw notReady(options, (await failed).message);
  child.unref();
  const record: ProcessRecord = { pid: child.pid, started: startOf(child.pid), port: options.port };
  writeRecord(options.recordFile, record);
  const deadline = performance.now() + options.readyMsMax;
  while (performance.now() < deadline && child.exitCode === null && child.signalCode === null) {
    if (await options.ready().catch(() => false)) return record;
    await sleep(50);
  }
  await end(record, 'SIGKILL');
  rmSync(options.recordFile, { force: true });
  throw notReady(options, lastLines(options.logFile));
}

function notReady({ name, logFile }: LaunchOptions, because: string): Failure {
  return new Failure({
    code: 'part.not-ready',
    retry: 'no',
    message: `${name} did not start: ${because}`,
    mend: `Read ${logFile}; when its data is damaged, stop everything and remove the folder beside that file's.`,
  });
}

/** The record of a process that still runs, or undefined; a stale record is removed. */
export function runningOf(recordFile: string): ProcessRecord | undefined {
  if (!existsSync(recordFile)) return undefined;
  const record = JSON.parse(readFileSync(recordFile, 'utf8')) as ProcessRecord;
  if (isRunning(record)) return record;
  rmSync(recordFile, { force: true });
  return undefined;
}

export function isRunning(record: ProcessRecord): boolean {
  return startOf(record.pid) === record.started && record.started !== '';
}

/** Sends a signal and waits until the process is gone; after `msMax` it is killed. */
export async function end(
  record: ProcessRecord,
  signal: 'SIGTERM' | 'SIGKILL',
  msMax = 20_000,
): Promise<void> {
  const deadline = performance.now() + msMax;
  send(record, signal);
  while (isRunning(record)) {
    if (performance.now() > deadline) send(record, 'SIGKILL');
    await sleep(20);
  }
}

function send(record: ProcessRecord, signal: NodeJS.Signals): void {
  if (!isRunning(record)) return;
  try {
    process.kill(record.pid, signal);
  } catch {
    // It ended between the look and the signal.
  }
}

/** Start time from `/proc/<pid>/stat`, field 22; empty when there is no such process or it is a zombie. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : (fields[19] ?? '');
  } catch {
    return '';
  }
}

function writeRecord(file: string, record: ProcessRecord): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(record)}\n`);
  renameSync(`${file}.new`, file);
}

/** @throws Failure `port.taken` */
export async function requireFreePort(port: number, part: string, variable: string): Promise<void> {
  if (!(await answers(port))) return;
  throw new Failure({
    code: 'port.taken',
    retry: 'no',
    message: `port ${port} of 127.0.0.1, which ${part} needs, is taken by another process`,
    mend: `End that process (ss -ltnp 'sport = :${port}' names it), or choose another port with ${variable}=<port>.`,
  });
}

/** True when something listens on this port of 127.0.0.1. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** A port that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-4).join(' | ').slice(-800);
}
