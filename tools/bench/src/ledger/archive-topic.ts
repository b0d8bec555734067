// A full topic through the real archival service into a real bucket, and what each process paid for it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ObjectStore, openKafka, openObjectStore } from '@cairn/adapters';
import { checkpointName, keyName, manifestName, SEGMENT_LEAVES } from '@cairn/ledger';
import {
  freePort,
  type Parts,
  S3_ACCESS_KEY,
  S3_SECRET_KEY,
  type ServiceProcess,
  startServiceProcess,
  startTestParts,
} from '@cairn/local';
import { cpuSecondsOf, peakMemoryMib, threadSecondsOf } from '../process-cost.ts';
import { type BenchKeys, DEPLOYMENT, ORIGIN, TOPIC } from './signed-log.ts';

/** Kafka with the topic, and S3. */
export interface ArchiveStage extends AsyncDisposable {
  readonly directory: string;
  readonly parts: Parts;
}

/** Of one event, between the checkpoint of the first segment, with which the service has warmed up, and that of the last. */
export interface ArchivalCost {
  readonly cpu_us: number;
  /** Of that, the thread that runs JavaScript. */
  readonly main_us: number;
  /** And those that collect garbage and compile. */
  readonly engine_us: number;
  readonly broker_us: number;
  readonly store_us: number;
  readonly wall_s: number;
  readonly event_bytes: number;
  readonly peak_mib: number;
}

/** A topic of one partition that holds the frames. */
export async function openArchiveStage(frames: readonly Uint8Array[]): Promise<ArchiveStage> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const parts = own.use(await startTestParts({ directory, parts: ['kafka', 's3'] }));
    await using kafka = openKafka({ brokers: [parts.part('kafka').address], clientId: 'bench' });
    await kafka.ensureTopics([{ name: TOPIC, partitions: 1 }]);
    for (let at = 0; at < frames.length; at += FRAMES_SENT)
      await kafka.log.append(TOPIC, 0, frames.slice(at, at + FRAMES_SENT));
    return { directory, parts, [Symbol.asyncDispose]: () => own.disposeAsync() };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

const FRAMES_SENT = 500;

let runs = 0;

/** One run of the service as it is run in production, into a new bucket that knows the gateways' keys. */
export async function archiveTopic(
  stage: ArchiveStage,
  keys: BenchKeys,
  segments: number,
): Promise<ArchivalCost> {
  runs += 1;
  const bucket = `archive-${runs}`;
  await using store = await openObjectStore({
    endpoint: stage.parts.part('s3').address,
    bucket,
    accessKey: S3_ACCESS_KEY,
    secretKey: S3_SECRET_KEY,
  });
  await store.ensureBucket();
  // Longer than a busy machine takes for the statements.
  const retainUntil = new Date(Date.now() + 3_600_000);
  for (const [number, note] of keys.statements.entries())
    await store.putLocked(keyName(number), note, { mode: 'COMPLIANCE', retainUntil });
  await using archival = await startArchival(stage, bucket, keys);
  const [first, last] = [1, segments].map((count) => checkpointName(ORIGIN, count * SEGMENT_LEAVES));
  const from = await readingAt(first!, { store, stage, archival });
  const to = await readingAt(last!, { store, stage, archival });
  const events = (segments - 1) * SEGMENT_LEAVES;
  const each = (name: 'cpu' | 'main' | 'engine' | 'broker' | 'store'): number =>
    ((to[name] - from[name]) / events) * 1e6;
  const log = readFileSync(archival.logFile, 'utf8');
  if (log.includes('"found"')) throw new Error(`archival found something: ${log.slice(0, 2_000)}`);
  return {
    cpu_us: each('cpu'),
    main_us: each('main'),
    engine_us: each('engine'),
    broker_us: each('broker'),
    store_us: each('store'),
    wall_s: (to.atMs - from.atMs) / 1_000,
    event_bytes: (await archivedBytes(store, segments)) / (segments * SEGMENT_LEAVES),
    peak_mib: peakMemoryMib(archival.pid),
  };
}

async function startArchival(
  { directory, parts }: ArchiveStage,
  bucket: string,
  { root }: BenchKeys,
): Promise<ServiceProcess> {
  const healthPort = await freePort();
  return startServiceProcess({
    name: 'archival',
    healthPort,
    logDirectory: join(directory, 'log', bucket),
    env: {
      ...parts.env(),
      // No job runs, so nobody asks the table.
      CLICKHOUSE_URL: 'http://127.0.0.1:9',
      CAIRN_DEPLOYMENT: DEPLOYMENT,
      CAIRN_ROOT_KEY: root.key.vkey,
      CAIRN_ARCHIVAL_GROUP: bucket,
      S3_BUCKET: bucket,
      S3_ACCESS_KEY,
      S3_SECRET_KEY,
      CAIRN_ARCHIVAL_DATA_DIRECTORY: join(directory, bucket),
      CAIRN_ARCHIVAL_HEALTH_PORT: String(healthPort),
      ...Object.fromEntries(JOBS.map((job) => [`CAIRN_ARCHIVAL_JOB_${job}`, 'off'])),
      CAIRN_LOG_LEVEL: 'warn',
      // For profiles: BENCH_NODE_OPTIONS='--cpu-prof --cpu-prof-dir=/tmp/profiles'.
      NODE_OPTIONS: process.env['BENCH_NODE_OPTIONS'] ?? '',
    },
  });
}

const JOBS = ['ANCHOR', 'VERIFY', 'RECONCILE', 'HOT', 'EXPIRE'];

/** CPU seconds since each process began. */
interface Reading {
  readonly atMs: number;
  readonly cpu: number;
  readonly main: number;
  readonly engine: number;
  readonly broker: number;
  readonly store: number;
}

interface Running {
  readonly store: ObjectStore;
  readonly stage: ArchiveStage;
  readonly archival: ServiceProcess;
}

/** As soon as the store has the object. */
async function readingAt(key: string, { store, stage, archival }: Running): Promise<Reading> {
  const givenUpMs = performance.now() + 240_000;
  while ((await store.head(key)) === undefined) {
    if (performance.now() > givenUpMs)
      throw new Error(`no ${key} within 240 s: ${readFileSync(archival.logFile, 'utf8').slice(-2_000)}`);
    await sleep(10);
  }
  const { pid } = archival;
  return {
    atMs: performance.now(),
    cpu: cpuSecondsOf(pid) ?? NaN,
    main: threadSecondsOf(pid, (_, thread) => thread === pid),
    engine: threadSecondsOf(pid, (name) => name.endsWith('V8Worker')),
    broker: cpuSecondsOf(stage.parts.part('kafka').pid ?? 0) ?? NaN,
    store: cpuSecondsOf(stage.parts.part('s3').pid ?? 0) ?? NaN,
  };
}

/** Objects, manifests and checkpoints of the first segments. */
async function archivedBytes(store: ObjectStore, segments: number): Promise<number> {
  let bytes = 0;
  for (let segment = 0; segment < segments; segment += 1) {
    const manifestKey = manifestName(ORIGIN, segment * SEGMENT_LEAVES);
    const checkpointKey = checkpointName(ORIGIN, (segment + 1) * SEGMENT_LEAVES);
    const notes = await Promise.all(
      [manifestKey, checkpointKey].map((key) => store.get(key, { bytesMax: 16 * 1024 ** 2 })),
    );
    const { objects } = JSON.parse(Buffer.from(notes[0]!).toString('utf8').split('\n')[0]!) as {
      readonly objects: readonly { readonly size: number }[];
    };
    for (const { size } of objects) bytes += size;
    for (const { length } of notes) bytes += length;
  }
  return bytes;
}
