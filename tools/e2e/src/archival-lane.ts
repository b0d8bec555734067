import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openObjectStore } from '@cairn/adapters';
import { gatewaySubject, parseVkey } from '@cairn/ledger';
import { freePort, installStrace, REPOSITORY, S3_ACCESS_KEY, S3_SECRET_KEY } from '@cairn/local';
import { signingKeysOf } from '../../../services/archival/src/signing-keys.ts';
import { DeploymentKeys } from '../../../services/archival/test/deployment-keys.ts';
import { type ArchiveRig, ORIGINS } from './archive-rig.ts';
import { type StoreProxy, startStoreProxy } from './store-proxy.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

/** What is done to one request, or at one system call. */
export type Strike = 'unapplied' | 'unreported' | 'killed before' | 'killed after';

/** A request of archival by which a step of it is known: an object's name begins so, or the offset is committed. */
export type Step =
  | 'segment/'
  | 'manifest/'
  | 'checkpoint/'
  | 'anchor/entries/'
  | 'anchor/checkpoint/'
  | 'anchor/timestamp/'
  | 'offset before'
  | 'offset after';

/** System calls of archival's own disk. `count` of one thread: its file system has one, so that they come in one order. */
export interface Trap {
  readonly call: 'fdatasync' | 'fsync' | 'rename' | 'link';
  readonly when: number;
}

/** One archive of the topic: archival as a process, its bucket and keys, and a proxy before the store and the broker. */
export interface Lane extends AsyncDisposable {
  readonly bucket: string;
  readonly instance: string;
  /** Starts it and waits until it is ready. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Strikes at the next such request, and starts the process again where it was killed. */
  strike(step: Step, strike: Strike): Promise<void>;
  /**
   * Starts it so that the call fails with this error, or kills it; once.
   *
   * @returns whether it was reached before the process was ready and a while had passed; then it is dead, or failed.
   */
  startInto(trap: Trap, fault: 'SIGKILL' | 'EIO' | 'ENOSPC'): Promise<boolean>;
  /**
   * Fails calls of the running process by which it writes to its own disk, until it is disposed of.
   *
   * @param inject as strace's `inject`: the calls, the error.
   */
  failDisk(inject: string): AsyncDisposable;
  /** A metric of the process; 0 when it has none of that name. */
  metric(name: string): Promise<number>;
  /** Lets no request that writes come to the store, and answers none, until it is called again with false. */
  hangStore(hangs: boolean): void;
  /** Resident memory of the process, bytes. */
  memoryBytes(): number;
  keys(): DeploymentKeys;
}

/** After it is ready it ships and seals what it recorded at its start. */
const SETTLED_MS = 1_500;
const READY_MS_MAX = 120_000;

export async function openLane(
  rig: ArchiveRig,
  number: number,
  env: Readonly<Record<string, string>>,
): Promise<Lane> {
  const own = new AsyncDisposableStack();
  const instance = `archival-${number}`;
  const bucket = `lane-${number}`;
  const directory = join(rig.directory, instance);
  const storeProxy: StoreProxy = own.use(await startStoreProxy(rig.parts.part('s3').address));
  const broker: TcpProxy = own.use(await startTcpProxy(rig.parts.part('kafka').address));
  const healthPort = await freePort();
  const logFile = join(rig.directory, 'log', `${instance}.log`);
  mkdirSync(dirname(logFile), { recursive: true });
  const strace = await installStrace(() => {});
  let child: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();

  const spawnUnder = (command: readonly string[]): void => {
    const log = openSync(logFile, 'a');
    const main = join(REPOSITORY, 'services', 'archival', 'src', 'main.ts');
    const [program = '', ...args] = [...command, process.execPath, main];
    const started = spawn(program, args, {
      cwd: REPOSITORY,
      // strace and what it traces die together.
      detached: true,
      stdio: ['ignore', log, log],
      env: {
        ...rig.env,
        ...env,
        PATH: process.env['PATH'],
        HOME: '/nonexistent',
        UV_THREADPOOL_SIZE: '1',
        S3_ENDPOINT: storeProxy.url,
        S3_BUCKET: bucket,
        KAFKA_BROKERS: broker.address,
        CAIRN_ARCHIVAL_INSTANCE: instance,
        CAIRN_ARCHIVAL_GROUP: `cairn-${instance}`,
        CAIRN_ARCHIVAL_DATA_DIRECTORY: directory,
        CAIRN_ARCHIVAL_KEY_DIRECTORY: join(directory, 'keys'),
        CAIRN_ARCHIVAL_HEALTH_PORT: String(healthPort),
      },
    });
    closeSync(log);
    child = started;
    ended = new Promise((resolve) => started.once('exit', () => resolve()));
  };

  /** @returns false when it ended before. */
  const untilReady = async (): Promise<boolean> => {
    const started = child;
    const deadline = performance.now() + READY_MS_MAX;
    while (performance.now() < deadline) {
      if (started?.exitCode !== null || started.signalCode !== null) return false;
      const ready = await fetch(`http://127.0.0.1:${healthPort}/readyz`, {
        signal: AbortSignal.timeout(2_000),
      }).catch(() => undefined);
      if (ready?.status === 200) return true;
      await sleep(50);
    }
    throw new Error(`${instance} is neither ready nor gone: ${logFile}`);
  };

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, signal);
    await ended;
  };

  const start = async (): Promise<void> => {
    spawnUnder([]);
    if (!(await untilReady()))
      throw new Error(`${instance} ended: ${readFileSync(logFile, 'utf8').slice(-1_000)}`);
  };

  return {
    bucket,
    instance,
    start,
    stop: () => end('SIGTERM'),

    async strike(step, how) {
      const { promise: done, resolve } = Promise.withResolvers<void>();
      let reached = false;
      let commits = 0;
      const die = async (): Promise<void> => {
        await end('SIGKILL');
        resolve();
      };
      storeProxy.decide = async ({ method, key }) => {
        // Commits are told apart by the segment that stands between them.
        if (key.startsWith('segment/') && method === 'PUT') commits = 1;
        if (reached || method !== 'PUT' || !key.startsWith(step)) return { do: 'pass' };
        reached = true;
        if (how === 'killed after') return { do: 'lose-answer', applied: die };
        if (how === 'killed before') await die();
        else resolve();
        return { do: how === 'unreported' ? 'lose-answer' : 'cut' };
      };
      broker.decide = ({ isOffsetCommit }) => {
        if (reached || !isOffsetCommit || !step.startsWith('offset')) return { do: 'pass' };
        if (step === 'offset after' && commits === 0) return { do: 'pass' };
        reached = true;
        if (how === 'killed after') return { do: 'lose-answer', applied: die };
        if (how === 'killed before') {
          void die();
          return { do: 'swallow' };
        }
        resolve();
        return { do: how === 'unreported' ? 'lose-answer' : 'cut' };
      };
      await done;
      storeProxy.decide = () => ({ do: 'pass' });
      broker.decide = () => ({ do: 'pass' });
      if (how.startsWith('killed')) await start();
    },

    async startInto({ call, when }, fault) {
      const effect = fault === 'SIGKILL' ? 'signal=SIGKILL' : `error=${fault}`;
      const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:${effect}:when=${when}`];
      const trace = `${logFile}.strace`;
      // With --seccomp-bpf it would count only the first call of each kind.
      spawnUnder([strace, '-f', '-q', '-o', trace, ...inject]);
      const ready = await untilReady();
      if (ready) await sleep(SETTLED_MS);
      await end('SIGKILL');
      const traced = readFileSync(trace, 'utf8');
      return fault === 'SIGKILL' ? /killed by SIGKILL/.test(traced) && !ready : /INJECTED/.test(traced);
    },

    failDisk(inject) {
      const [calls = ''] = inject.split(':');
      const args = ['-f', '-q', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${inject}`];
      const failing = spawn(strace, [...args, '-p', String(child?.pid)], { stdio: 'ignore' });
      const gone = new Promise<void>((resolve) => failing.once('exit', () => resolve()));
      return {
        async [Symbol.asyncDispose]() {
          failing.kill('SIGINT');
          await gone;
        },
      };
    },

    async metric(name) {
      const told = await fetch(`http://127.0.0.1:${healthPort}/metrics`);
      return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await told.text())?.[1] ?? 0);
    },

    hangStore(hangs) {
      storeProxy.decide = ({ method }) => ({ do: hangs && method === 'PUT' ? 'hang' : 'pass' });
    },

    memoryBytes() {
      const status = readFileSync(`/proc/${child?.pid}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1_024;
    },

    keys() {
      const read = (role: string): KeyObject =>
        createPrivateKey(readFileSync(join(directory, 'keys', `${role}.pem`), 'utf8'));
      const signing = { log: read('log'), archive: read('archive'), anchor: read('anchor') };
      return new DeploymentKeys('e2e', ORIGINS, signingKeysOf(signing, 'e2e'));
    },

    async [Symbol.asyncDispose]() {
      await end('SIGKILL');
      await own.disposeAsync();
    },
  };
}

/** States the keys of a lane, of the gateway and of every lane's own stream, and stores them. @returns the root's. */
export async function stateLaneKeys(
  rig: ArchiveRig,
  lane: Lane,
  lanes: readonly Lane[],
  orgs: readonly string[],
): Promise<string> {
  const keys = lane.keys();
  for (const org of orgs)
    keys.state('gateway', gatewaySubject(org, 'gw-archive'), parseVkey(rig.recorder.vkeyOf(org)));
  for (const { instance } of lanes) {
    const vkey = readFileSync(join(rig.directory, instance, 'recorder', 'keys', 'cairn.vkey'), 'utf8').trim();
    keys.state('gateway', gatewaySubject('cairn', instance), parseVkey(vkey));
  }
  await using store = await openObjectStore({
    endpoint: rig.parts.part('s3').address,
    bucket: lane.bucket,
    accessKey: S3_ACCESS_KEY,
    secretKey: S3_SECRET_KEY,
  });
  await keys.store(store, new Date(Date.now() + 60_000));
  return keys.root.key.vkey;
}
