import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ChaosRig, startChaosRig, until } from './chaos-rig.ts';
import { NO_FAULTS } from './oracle.ts';

const DISK_BYTES = 8 * 1024 ** 2;
/** How long a fault lasts. */
const FAULT_MS = 3_000;

const directory = mkdtempSync(join(tmpdir(), 'cairn-chaos-'));
const disk = join(directory, 'disk');

/** A small disk, which takes root to mount. */
mkdirSync(disk, { recursive: true });
execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk], { stdio: 'pipe' });

afterAll(() => {
  execFileSync('umount', [disk]);
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

describe('the disk under a gateway', () => {
  let rig: ChaosRig;
  /** Of the test in which every write and sync fails. */
  let refusals = { refused: 0, declared: 0 };
  beforeAll(async () => {
    rig = await startChaosRig(join(directory, 'rig'));
    await rig.startIngest('ingest-a');
  }, 180_000);
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
  });

  /** Calls that the gap events of a gateway own up to. */
  const declared = async (gateway: string): Promise<{ refused: number; signed: boolean }> => {
    const [row] = await rig.clickhouse.query<{ refused: number; signed: number }>(
      `SELECT toUInt32(sum(JSONExtractUInt(detail, 'gap_count'))) AS refused,
              toUInt32(countIf(empty(signature))) = 0 AS signed
       FROM cairn.events WHERE kind = 'gap' AND gateway_id = {gateway:String}`,
      { gateway },
    );
    return { refused: row?.refused ?? 0, signed: row?.signed === 1 };
  };

  /** Nothing acknowledged is lost or doubled; the gaps that the gateway declared are the only findings. */
  const holds = async (gateway: string): Promise<void> => {
    const { faults } = await rig.judge();
    const { findings, ...others } = faults;
    expect({ ...others, findings: [] }).toEqual(NO_FAULTS);
    expect(findings.filter((finding) => !finding.startsWith('declared '))).toEqual([]);
    const { signed } = await declared(gateway);
    expect(signed).toBe(true);
  };

  test('full: calls are refused, nothing acknowledged is lost, and a signed gap event owns up to every refused call', async () => {
    const gateway = 'gw-full';
    const orgs = ['acme', 'borealis'];
    await using producer = await rig.startProducer(gateway, {
      directory: join(disk, 'recorder'),
      filler: 2_000,
      orgs,
    });
    await until('it records', async () => (await producer.stats()).acknowledged > 100);
    const ballast = join(disk, 'ballast');
    // What is sent makes room again, so nothing is.
    rig.proxy.blackhole(120_000);
    fillDisk(ballast);
    await until('calls are refused', async () => total((await producer.stats()).refused) > 20);
    await sleep(FAULT_MS);
    const { acknowledged: stuck } = await producer.stats();
    await sleep(500);
    expect((await producer.stats()).acknowledged).toBe(stuck);
    rmSync(ballast);
    rig.proxy.blackhole(0);
    await until('calls are taken again', async () => (await producer.stats()).acknowledged > stuck + 100);
    const { refused } = await producer.stats();
    await producer.finish();
    await holds(gateway);
    expect((await declared(gateway)).refused).toBe(total(refused));
  }, 120_000);

  test('with one failing write: its events are written again, and none is lost or doubled', async () => {
    const gateway = 'gw-eio-once';
    await using producer = await rig.startProducer(gateway, { orgs: ['acme', 'borealis'] });
    await until('it records', async () => (await producer.stats()).acknowledged > 100);
    // The count is of each thread of the process.
    const fault = await inject(producer.process.pid, 'pwrite64:error=EIO:when=3');
    await until('a write failed', async () => ((await producer.stats()).told['spool.write-failed'] ?? 0) > 0);
    await sleep(FAULT_MS);
    await fault.end();
    const { acknowledged } = await producer.stats();
    await until('it records', async () => (await producer.stats()).acknowledged > acknowledged + 100);
    await producer.finish();
    await holds(gateway);
  }, 120_000);

  test('with every write and sync failing: calls are refused, nothing acknowledged is lost, and a signed gap event owns up to every refused call', async () => {
    const gateway = 'gw-eio';
    await using producer = await rig.startProducer(gateway, { orgs: ['acme', 'borealis'] });
    await until('it records', async () => (await producer.stats()).acknowledged > 100);
    const fault = await inject(producer.process.pid, 'pwrite64,fdatasync,fsync:error=EIO');
    await until('calls are refused', async () => total((await producer.stats()).refused) > 20);
    const { acknowledged: stuck } = await producer.stats();
    await sleep(FAULT_MS);
    expect((await producer.stats()).acknowledged).toBe(stuck);
    await fault.end();
    await until('calls are taken again', async () => (await producer.stats()).acknowledged > stuck + 100);
    const { refused } = await producer.stats();
    await producer.finish();
    await holds(gateway);
    refusals = { refused: total(refused), declared: (await declared(gateway)).refused };
    expect(refusals.declared).toBeGreaterThanOrEqual(refusals.refused);
  }, 120_000);

  test('with every write and sync failing, each refused call is declared once', () => {
    expect(refusals.refused).toBeGreaterThan(0);
    expect(refusals.declared).toBe(refusals.refused);
  });
});

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

/** Writes a file until the disk has no room. */
function fillDisk(file: string): void {
  const descriptor = openSync(file, 'w');
  try {
    for (const size of [64 * 1024, 512]) {
      const zeros = Buffer.alloc(size);
      try {
        for (;;) if (writeSync(descriptor, zeros) < size) break;
      } catch {
        // Full at this grain.
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Makes system calls of a running process fail until it is ended. */
async function inject(pid: number, fault: string): Promise<{ end(): Promise<void> }> {
  const calls = fault.split(':', 1)[0] ?? '';
  const args = [
    '-f',
    '-q',
    '-e',
    `trace=${calls}`,
    '-e',
    `inject=${fault}`,
    '-o',
    '/dev/null',
    '-p',
    String(pid),
  ];
  const strace: ChildProcess = spawn('strace', args, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => strace.once('exit', () => resolve()));
  return {
    async end() {
      strace.kill('SIGINT');
      await ended;
    },
  };
}
