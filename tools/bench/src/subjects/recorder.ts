// What recording costs: events made durable, chained and sealed by one recorder on a real disk, into a log in memory.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EventLog, openRecorder, type Recorder } from '@cairn/recorder';
import { type Disk, realDisk } from '../../../../packages/recorder/src/disk.ts';
import { arriveHere, monotonicMs } from '../arrivals.ts';
import { type Measured, quantileOf, type SubjectOptions, spreadOf } from '../measured.ts';
import { sampleDrafts } from './encode.ts';

/** Calls that wait for their event at any moment: what a busy gateway has open. */
const OPEN_CALLS = 512;
const ARRIVALS_S = 5_000;

export default async function recorder({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const parent = flags['directory'] ?? tmpdir();
  const [repeats, events, seconds] = quick ? [1, 20_000, 1] : [5, 200_000, 10];
  const full = { cpu_events_s: [] as number[], events_s: [] as number[] };
  const paced = {
    p50_ms: [] as number[],
    p99_ms: [] as number[],
    p999_ms: [] as number[],
    most_ms: [] as number[],
  };
  const bare = {
    p50_ms: [] as number[],
    p99_ms: [] as number[],
    p999_ms: [] as number[],
    most_ms: [] as number[],
  };
  const writes = {
    p50_ms: [] as number[],
    p99_ms: [] as number[],
    p999_ms: [] as number[],
    most_ms: [] as number[],
  };
  const directory = mkdtempSync(join(parent, 'cairn-bench-'));
  try {
    say('warming up');
    await withRecorder(directory, (recorder) => recordAll(recorder, quick ? 20_000 : 60_000));
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      say(`repeat ${repeat + 1} of ${repeats}`);
      await withRecorder(directory, async (recorder) => {
        const rates = await recordAll(recorder, events);
        full.cpu_events_s.push(rates.cpu_events_s);
        full.events_s.push(rates.events_s);
      });
      spread(bare, await commitPaced(join(directory, 'bare'), seconds));
      const timed = timedDisk();
      await withRecorder(
        directory,
        async (recorder) => {
          await recordPaced(recorder, 1);
          timed.tookMs.length = 0;
          spread(paced, await recordPaced(recorder, seconds));
          spread(writes, Float64Array.from(timed.tookMs));
        },
        timed.disk,
      );
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return {
    question: 'How many events can one recorder make durable, and how long does a call wait for it?',
    columns: [
      { name: 'cpu_events_s', heading: 'events/s of CPU', digits: 0 },
      { name: 'events_s', heading: 'events/s', digits: 0 },
      { name: 'p50_ms', heading: 'p50 ms', digits: 2 },
      { name: 'p99_ms', heading: 'p99 ms', digits: 2 },
      { name: 'p999_ms', heading: 'p99.9 ms', digits: 2 },
      { name: 'most_ms', heading: 'most ms', digits: 2 },
    ],
    rows: [
      { name: `record(), ${OPEN_CALLS} calls open`, figures: full },
      { name: `record(), ${ARRIVALS_S} arrivals/s`, figures: paced },
      { name: 'its durable writes', figures: writes },
      { name: `bare commits, ${ARRIVALS_S} arrivals/s`, figures: bare },
    ],
    claims: [
      {
        what: 'events a second of CPU, durable, chained, sealed and shipped',
        measured: spreadOf(full.cpu_events_s).median,
        wanted: 'at least',
        limit: 50_000,
      },
      {
        what: `p99 of record() at ${ARRIVALS_S} arrivals a second, ms`,
        measured: spreadOf(paced.p99_ms).median,
        wanted: 'at most',
        limit: 2,
      },
      {
        what: 'p99 of record() as a multiple of that of the bare commits',
        measured: spreadOf(paced.p99_ms).median / spreadOf(bare.p99_ms).median,
        wanted: 'at most',
        limit: 2,
      },
    ],
    notes: [
      `${events} events a repeat in ${parent}; decisions and outcomes of one organisation, 377 bytes a datum, a seal every 256 events.`,
      'Every record() resolves after a write that is synced (O_DSYNC). Its durable writes are those of the paced run, each with the turn of the event loop that notices it: what the disk and the loop leave of a wait. CPU time is that of the whole process: user and system, the pool that syncs, the collector, the shipper and the maker of the load. The log counts and forgets: one that kept everything would be most of what the collector has to do.',
      `Arrivals are open-loop, ${1000 / ARRIVALS_S} ms apart for ${seconds} s; a wait counts from when the event was due, not from when it was handed over.`,
      'The bare commits are the same arrivals without a recorder: 450 bytes each, one synced write under way, which takes all that came meanwhile. Nothing that is durable can wait less on this disk.',
    ],
  };
}

/** Acknowledges, counts, and keeps nothing. Fails when two appends to one partition are under way. */
class ForgetfulLog implements EventLog {
  size = 0;
  readonly #moving = new Set<number>();

  async append(_topic: string, partition: number, values: readonly Uint8Array[]): Promise<void> {
    if (this.#moving.has(partition)) throw new Error(`two appends to partition ${partition} are under way`);
    this.#moving.add(partition);
    await sleep(ACKNOWLEDGED_MS);
    this.#moving.delete(partition);
    this.size += values.length;
  }
}

/** About what a broker beside it takes. */
const ACKNOWLEDGED_MS = 2;

/** Runs with a recorder of its own that has recorded nothing yet. */
async function withRecorder(
  parent: string,
  work: (recorder: Recorder) => Promise<unknown>,
  disk: Disk = realDisk,
): Promise<void> {
  const directory = mkdtempSync(join(parent, 'recorder-'));
  const log = new ForgetfulLog();
  const recorder = await openRecorder(
    {
      directory,
      deployment: 'acme-prod',
      gatewayId: 'gw-7',
      gatewayVersion: '1.4.0',
      environment: 'prod',
      capture: 'gateway',
      log,
      topicOf: () => 'audit.events.standard',
      partitions: 4,
    },
    { disk },
  );
  try {
    await work(recorder);
    const { recorded, seals, refused, lastShipError } = recorder.stats();
    if (!(await recorder.flush(30_000))) throw new Error('not everything was shipped');
    if (refused > 0 || seals === 0 || log.size < recorded || lastShipError !== undefined)
      throw new Error(
        `refused ${refused}, seals ${seals}, shipped ${log.size} of ${recorded}, ${lastShipError}`,
      );
  } finally {
    await recorder.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** As many events as there can be, with `OPEN_CALLS` under way; counts until the last is in the log. */
async function recordAll(
  recorder: Recorder,
  events: number,
): Promise<{ readonly cpu_events_s: number; readonly events_s: number }> {
  const drafts = sampleDrafts(256);
  let next = 0;
  const beforeCpu = process.cpuUsage();
  const beforeMs = performance.now();
  await Promise.all(
    Array.from({ length: OPEN_CALLS }, async () => {
      while (next < events) await recorder.record(drafts[next++ % drafts.length]!);
    }),
  );
  await recorder.flush();
  const { user, system } = process.cpuUsage(beforeCpu);
  return {
    cpu_events_s: events / ((user + system) / 1e6),
    events_s: events / ((performance.now() - beforeMs) / 1000),
  };
}

const dueEach = (seconds: number): Float64Array =>
  Float64Array.from({ length: seconds * ARRIVALS_S }, (_, index) => (index * 1000) / ARRIVALS_S);

/** Waits in milliseconds, each from the moment at which the event was due. */
async function recordPaced(recorder: Recorder, seconds: number): Promise<Float64Array> {
  const drafts = sampleDrafts(256);
  const dueMs = dueEach(seconds);
  const waits = new Float64Array(dueMs.length);
  const startMs = monotonicMs() + 100;
  let resolved = 0;
  await arriveHere(startMs, dueMs, (index, done, fail) => {
    recorder.record(drafts[index % drafts.length]!).then(() => {
      waits[index] = monotonicMs() - startMs - dueMs[index]!;
      resolved += 1;
      if (resolved === waits.length) done();
    }, fail);
  });
  return waits;
}

/** The same arrivals made durable and nothing else: one synced write under way, of all that came meanwhile. */
async function commitPaced(path: string, seconds: number): Promise<Float64Array> {
  const dueMs = dueEach(seconds);
  const waits = new Float64Array(dueMs.length);
  const block = new Uint8Array(EVENT_BYTES * 4_096);
  const file = await realDisk.createDurable(path);
  const startMs = monotonicMs() + 100;
  let arrived = 0;
  let durable = 0;
  let isWriting = false;
  const commit = async (done: () => void): Promise<void> => {
    isWriting = true;
    while (durable < arrived) {
      const end = arrived;
      await file.append(block.subarray(0, Math.min((end - durable) * EVENT_BYTES, block.length)));
      for (const nowMs = monotonicMs(); durable < end; durable += 1)
        waits[durable] = nowMs - startMs - dueMs[durable]!;
    }
    isWriting = false;
    if (durable === waits.length) done();
  };
  try {
    await arriveHere(startMs, dueMs, (index, done, fail) => {
      arrived = index + 1;
      if (!isWriting) commit(done).catch(fail);
    });
  } finally {
    await file.close();
    rmSync(path);
  }
  return waits;
}

/** An event's record in the spool, about. */
const EVENT_BYTES = 450;

/** The real disk, with what each durable write took. */
function timedDisk(): { readonly disk: Disk; readonly tookMs: number[] } {
  const tookMs: number[] = [];
  const createDurable: Disk['createDurable'] = async (path) => {
    const file = await realDisk.createDurable(path);
    const append = async (bytes: Uint8Array): Promise<void> => {
      const beganMs = performance.now();
      await file.append(bytes);
      tookMs.push(performance.now() - beganMs);
    };
    return { ...file, append };
  };
  return { disk: { ...realDisk, createDurable }, tookMs };
}

function spread(
  into: { p50_ms: number[]; p99_ms: number[]; p999_ms: number[]; most_ms: number[] },
  waits: Float64Array,
): void {
  const figures = Array.from(waits);
  into.p50_ms.push(quantileOf(figures, 0.5));
  into.p99_ms.push(quantileOf(figures, 0.99));
  into.p999_ms.push(quantileOf(figures, 0.999));
  into.most_ms.push(quantileOf(figures, 1));
}
