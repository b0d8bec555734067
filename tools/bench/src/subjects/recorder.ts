// What recording costs: events made durable, chained and sealed by one recorder on a real disk, into a log in memory.
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRecorder, type Recorder } from '@cairn/recorder';
import { type Disk, realDisk } from '../../../../packages/recorder/src/disk.ts';
import { MemoryLog } from '../../../../packages/recorder/test/memory-log.ts';
import { arrive, monotonicMs } from '../arrivals.ts';
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
      spread(bare, await syncAlone(directory, quick ? 200 : 2_000));
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
      { name: 'write and fdatasync alone', figures: bare },
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
    ],
    notes: [
      `${events} events a repeat in ${parent}; decisions and outcomes of one organisation, 377 bytes a datum, a seal every 256 events.`,
      'Every record() resolves after a write that is synced (O_DSYNC). Its durable writes are those of the paced run, each with the turn of the event loop that notices it: what the disk and the loop leave of a wait. CPU time is that of the whole process: user and system, the pool that syncs, the collector, the shipper, the log in memory and the maker of the load.',
      `Arrivals are open-loop, ${1000 / ARRIVALS_S} ms apart for ${seconds} s; a wait counts from when the event was due, not from when it was handed over.`,
      'The write and fdatasync alone is one after the other, 2 KiB each: what this disk gives.',
    ],
  };
}

/** Runs with a recorder of its own that has recorded nothing yet; the log must have had no misuse. */
async function withRecorder(
  parent: string,
  work: (recorder: Recorder) => Promise<unknown>,
  disk: Disk = realDisk,
): Promise<void> {
  const directory = mkdtempSync(join(parent, 'recorder-'));
  const log = new MemoryLog();
  const recorder = await openRecorder(
    {
      directory,
      deployment: 'acme-prod',
      gatewayId: 'gw-7',
      gatewayVersion: '1.4.0',
      environment: 'prod',
      capture: 'gateway',
      log: log.session(),
      topicOf: () => 'audit.events.standard',
      partitions: 4,
    },
    { disk },
  );
  try {
    await work(recorder);
    const { recorded, seals, refused } = recorder.stats();
    if (!(await recorder.flush(30_000))) throw new Error('not everything was shipped');
    if (refused > 0 || seals === 0 || log.size < recorded || log.misuse.length > 0)
      throw new Error(
        `refused ${refused}, seals ${seals}, shipped ${log.size} of ${recorded}, ${log.misuse[0]}`,
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

/** Waits in milliseconds, each from the moment at which the event was due. */
async function recordPaced(recorder: Recorder, seconds: number): Promise<Float64Array> {
  const drafts = sampleDrafts(256);
  const dueMs = Float64Array.from(
    { length: seconds * ARRIVALS_S },
    (_, index) => (index * 1000) / ARRIVALS_S,
  );
  const waits = new Float64Array(dueMs.length);
  const startMs = monotonicMs() + 100;
  let resolved = 0;
  await arrive(startMs, dueMs, (index, done, fail) => {
    recorder.record(drafts[index % drafts.length]!).then(() => {
      waits[index] = monotonicMs() - startMs - dueMs[index]!;
      resolved += 1;
      if (resolved === waits.length) done();
    }, fail);
  });
  return waits;
}

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

async function syncAlone(parent: string, times: number): Promise<Float64Array> {
  const file = await open(join(parent, 'alone'), 'w');
  const block = new Uint8Array(2_048);
  const waits = new Float64Array(times);
  try {
    for (let index = 0; index < times; index += 1) {
      const startMs = performance.now();
      await file.write(block);
      await file.datasync();
      waits[index] = performance.now() - startMs;
    }
  } finally {
    await file.close();
  }
  return waits;
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
