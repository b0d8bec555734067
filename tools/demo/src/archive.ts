import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '@cairn/failure';
import {
  type Parts,
  REPOSITORY,
  S3_ACCESS_KEY,
  S3_SECRET_KEY,
  type ServiceProcess,
  startServiceProcess,
} from '@cairn/local';

export interface DemoArchiveOptions {
  /** Data of everything. Absolute. */
  readonly directory: string;
  readonly deployment: string;
  /** Where the gateway hands out the verifier keys of its streams. */
  readonly gatewayKeys: string;
  readonly parts: Parts;
  readonly healthPort: number;
  readonly logDirectory: string;
  readonly onProgress: (line: string) => void;
}

export interface DemoArchive extends AsyncDisposable {
  readonly archival: ServiceProcess;
  /** `s3://bucket`. */
  readonly place: string;
  /** File with the verifier key of the root. */
  readonly rootKey: string;
  /**
   * The `cairn` command over this archive, as a person runs it.
   *
   * @returns its exit code, and what it said on standard output and standard error.
   */
  cairn(...args: readonly string[]): Promise<{ readonly code: number; readonly said: string }>;
  /** States what was handed out since, in the key history. */
  enrol(...flags: readonly '--rotated'[]): Promise<void>;
}

const PLACE = 's3://cairn-archive';

/**
 * The archive beside the road, brought up in the order that docs/evidence.md gives: a root key, the gateways' keys into the key
 * history, archival, and then archival's own keys.
 */
export async function startArchive(options: DemoArchiveOptions): Promise<DemoArchive> {
  const { directory, deployment, gatewayKeys, parts, healthPort, logDirectory, onProgress } = options;
  const rootDirectory = join(directory, 'root');
  const [rootPem, rootKey] = [join(rootDirectory, 'root.pem'), join(rootDirectory, 'root.vkey')];
  const data = join(directory, 'archival');
  const env = { ...parts.env(), S3_ACCESS_KEY, S3_SECRET_KEY };
  const run = (...args: readonly string[]) => cairn(env, args);

  mkdirSync(rootDirectory, { recursive: true, mode: 0o700 });
  const of = ['--role', 'root', '--deployment', deployment];
  if (!existsSync(rootPem)) await demanded(run('keys', 'create', rootPem, ...of));
  // Anew each time: a crash between the two files leaves a key whose public half nobody wrote down.
  const rootVkey = (await demanded(run('keys', 'vkey', rootPem, ...of))).trim();
  writeFileSync(rootKey, `${rootVkey}\n`);

  const enrol = async (...flags: readonly '--rotated'[]): Promise<void> => {
    const handed = [gatewayKeys, join(data, 'keys'), join(data, 'recorder', 'keys')].filter(existsSync);
    const named = ['--root-key', rootPem, '--deployment', deployment, ...flags];
    await demanded(run('keys', 'enrol', PLACE, ...handed, ...named));
  };
  await enrol();
  const archival = await startServiceProcess({
    name: 'archival',
    env: {
      ...env,
      CAIRN_DEPLOYMENT: deployment,
      CAIRN_ROOT_KEY: rootVkey,
      CAIRN_ARCHIVAL_DATA_DIRECTORY: data,
      CAIRN_ARCHIVAL_HEALTH_PORT: String(healthPort),
      // What is at hand soon is better here than few large objects.
      CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX: '2000',
      CAIRN_ARCHIVAL_JOB_ANCHOR: '*/10 * * * * *',
    },
    healthPort,
    logDirectory,
  });
  try {
    await enrol();
    // So that `cairn search` finds what ClickHouse has dropped.
    await demanded(run('attach', PLACE));
  } catch (error) {
    await archival[Symbol.asyncDispose]();
    throw error;
  }
  onProgress(`archival: writing ${PLACE}, with the keys of the gateway and its own in the key history`);
  return {
    archival,
    place: PLACE,
    rootKey,
    cairn: run,
    enrol,
    [Symbol.asyncDispose]: () => archival[Symbol.asyncDispose](),
  };
}

/**
 * Waits until an event is archived and its checkpoint anchored, by proving it.
 *
 * @param out folder of the proof.
 * @throws Failure `demo.not-archived`
 */
export async function proveSoon(
  archive: DemoArchive,
  eventId: string,
  out: string,
  msMax = 60_000,
): Promise<string> {
  const deadline = performance.now() + msMax;
  for (;;) {
    const proof = ['proof', eventId, '--from', archive.place, '--root', archive.rootKey, '--out', out];
    const { code, said } = await archive.cairn(...proof);
    if (code === 0 && existsSync(join(out, `${eventId}.anchor.tlog-proof`))) return said;
    if (performance.now() > deadline)
      throw new Failure({
        code: 'demo.not-archived',
        retry: 'no',
        message: `event ${eventId} was not archived and anchored in ${msMax / 1_000} s: ${said.trim()}`,
        mend: 'Read the log of archival.',
      });
    await sleep(1_000);
  }
}

function cairn(
  env: Readonly<Record<string, string>>,
  args: readonly string[],
): Promise<{ readonly code: number; readonly said: string }> {
  const child = spawn(
    process.execPath,
    [join(REPOSITORY, 'packages', 'cli', 'bin', 'cairn.mjs'), '--no-color', ...args],
    { cwd: REPOSITORY, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (said += String(piece)));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, said }));
  });
}

async function demanded(run: Promise<{ readonly code: number; readonly said: string }>): Promise<string> {
  const { code, said } = await run;
  if (code === 0) return said;
  throw new Failure({ code: 'demo.cairn', retry: 'no', message: said.trim() });
}
