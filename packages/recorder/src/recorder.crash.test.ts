import { setTimeout as sleep } from 'node:timers/promises';
import { hexOf } from '@cairn/event';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Acknowledged, judge } from '../test/judge.ts';
import { type LogFault, MemoryLog } from '../test/memory-log.ts';
import { type Fault, SimulatedDisk } from '../test/simulated-disk.ts';
import { openRecorder, type Recorder } from './recorder.ts';

/*
 * Random lives of a recorder on a simulated disk and log: it records, is killed, loses power, meets failing calls. Then
 * the faults end, it sends everything, and the log is judged as an auditor would.
 */

type Step =
  | { readonly do: 'record'; readonly org: number; readonly count: number; readonly wait: boolean }
  | { readonly do: 'disk'; readonly after: number; readonly count: number; readonly fault: Fault }
  | { readonly do: 'log'; readonly count: number; readonly fault: LogFault }
  | { readonly do: 'kill' | 'flush' | 'pause' | 'close' }
  | { readonly do: 'power'; readonly seed: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('record' as const),
      org: fc.nat(2),
      count: fc.integer({ min: 1, max: 12 }),
      wait: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('disk' as const),
      after: fc.nat(8),
      count: fc.integer({ min: 1, max: 4 }),
      fault: fc.constantFrom<Fault>('before', 'after', 'part', 'killed-before', 'killed-after', 'power'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('log' as const),
      count: fc.integer({ min: 1, max: 4 }),
      fault: fc.constantFrom<LogFault>('before', 'after', 'part'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('kill' as const, 'flush' as const, 'pause' as const, 'close' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('power' as const), seed: fc.nat() }) },
);

const ORGS = ['acme', 'globex', 'initech'];
const PACE = { retryMs: 1, cursorMs: 1, lingerMs: 0, backoff: { firstMs: 1, mostMs: 2 } };

class Life {
  readonly disk = new SimulatedDisk();
  readonly log = new MemoryLog();
  readonly acknowledged: Acknowledged[] = [];
  readonly findings: string[] = [];
  #recorder: Recorder | undefined;
  #stopped = () => true;
  #epoch = 1;

  constructor(seed: number) {
    this.disk.random = randomOf(seed);
  }

  async recorder(): Promise<Recorder | undefined> {
    if (this.#recorder !== undefined && !this.#stopped()) return this.#recorder;
    await this.leave();
    const session = this.disk.session();
    this.#stopped = session.stopped;
    const clock = { nowMicros: () => (this.#epoch += 1) * 1000 };
    try {
      this.#recorder = await openRecorder(
        {
          directory: '/r',
          deployment: 'test',
          gatewayId: 'gw',
          gatewayVersion: '1',
          environment: 'test',
          capture: 'gateway',
          topicOf: () => 'audit.events.standard',
          partitions: 2,
          log: this.log.session(session.stopped),
          spool: { fileBytes: 4096, bytesMax: 64 << 20, reserveBytes: 256 << 10 },
          seal: { everyEvents: 5, everyMs: 20, heartbeatMs: 50 },
          clock,
          onEvent: (event) => {
            if (event.type === 'finding') this.findings.push(event.finding.code);
          },
        },
        { disk: session, pace: PACE },
      );
    } catch {
      // The disk failed while it was opened: like a process that could not start.
      this.disk.kill();
      return undefined;
    }
    return this.#recorder;
  }

  async record(recorder: Recorder, org: number, count: number): Promise<void> {
    const orgId = ORGS[org]!;
    const calls = Array.from({ length: count }, async (_, index) => {
      const tool_name = `tool-${index}`;
      const recorded = await recorder.record({
        org_id: orgId,
        kind: 'tool_call',
        phase: 'single',
        tool_name,
      });
      const { epoch, seq, leafHash } = recorded;
      this.acknowledged.push({ orgId, epoch, seq, hash: hexOf(leafHash) });
    });
    await Promise.allSettled(calls);
  }

  /** What is left of a recorder whose process is gone must not run on. */
  async leave(): Promise<void> {
    const recorder = this.#recorder;
    this.#recorder = undefined;
    await recorder?.close(0);
  }

  failDisk(after: number, count: number, fault: Fault): void {
    let call = 0;
    this.disk.plan = () => {
      call += 1;
      return call > after && call <= after + count ? fault : undefined;
    };
  }

  async take(step: Step): Promise<void> {
    if (step.do === 'disk') return this.failDisk(step.after, step.count, step.fault);
    if (step.do === 'log') {
      let left = step.count;
      this.log.fault = () => (left-- > 0 ? step.fault : undefined);
      return;
    }
    if (step.do === 'kill') return this.disk.kill();
    if (step.do === 'power') return this.disk.cutPower(randomOf(step.seed));
    if (step.do === 'pause') return void (await sleep(2));
    const recorder = await this.recorder();
    if (recorder === undefined) return;
    if (step.do === 'flush') await recorder.flush(20);
    if (step.do === 'close') await recorder.close(20).then(() => this.disk.kill());
    if (step.do === 'record') {
      const recorded = this.record(recorder, step.org, step.count);
      if (step.wait) await Promise.race([recorded, sleep(50)]);
    }
  }

  /** Ends all faults, sends what is left, and judges. */
  async end(losses = false): Promise<string[]> {
    this.disk.plan = () => undefined;
    this.log.fault = () => undefined;
    await sleep(3);
    this.disk.kill();
    const recorder = (await this.recorder())!;
    await this.record(recorder, 0, 1);
    const sent = await recorder.flush(3000);
    await recorder.close();
    const vkeys = [];
    const read = this.disk.session();
    for (const path of this.disk.paths()) {
      if (path.endsWith('.vkey'))
        vkeys.push(
          Buffer.from((await read.read(path))!)
            .toString()
            .trim(),
        );
    }
    const { findings } = judge(this.log.partitions, this.acknowledged, vkeys, losses);
    return [...findings, ...this.log.misuse, ...(sent ? [] : ['not everything was sent'])];
  }
}

/** Numbers from 0 to 1 that depend on the seed alone (mulberry32). */
function randomOf(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

const RUNS = Number(process.env['RECORDER_RUNS'] ?? 150);

test('whatever fails and wherever it stops, nothing acknowledged is lost and no number is used twice', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(step, { minLength: 3, maxLength: 25 }), async (seed, steps) => {
      const life = new Life(seed);
      for (const each of steps) await life.take(each);
      const found = await life.end();
      expect(found).toEqual([]);
    }),
    { numRuns: RUNS },
  );
}, 600_000);
