// Produces events at a pace, as a process of its own: told by its parent what and how fast, it says
// `started` when the first is due, and at the end when each was.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openKafka } from '@cairn/adapters';
import { AUDIT_EVENT_SCHEMA_ID, frame, partitionOf } from '@cairn/event';
import { openRecorder } from '@cairn/recorder';
import { streamsOf, type TrafficEvent, trafficOf } from '@cairn/traffic';
import { arriveRoughly, monotonicMs } from '../arrivals.ts';
import { sampleDrafts } from '../subjects/encode.ts';
import { makeRequest, openSender } from './send-batches.ts';

export interface ProduceTask {
  /**
   * `recorder`: through `record()` of a recorder on a real disk, which ships to Kafka. `frames`: whole requests made beforehand
   * and sent 20 ms at a time, so that making them takes nothing from the machine while it is measured.
   */
  readonly by: 'recorder' | 'frames';
  readonly brokers: string;
  readonly topic: string;
  readonly partitions: number;
  readonly eventsPerSecond: number;
  readonly seconds: number;
  /**
   * From the recorder: calls of a few agents, each with its own id, of which little is worth telling; and each so many-th event is of
   * an agent of its own, `marked-<index>`, and has a secret in its parameters.
   */
  readonly markEvery?: number;
}

/** Events of one stream, in its order. */
export interface ProducedStream {
  readonly org: string;
  readonly gateway: string;
  readonly seqs: Float64Array;
  /** When each was due, by `monotonicMs`. */
  readonly dueMs: Float64Array;
}

export interface Produced {
  readonly streams: readonly ProducedStream[];
  /** Records in the topic. */
  readonly records: number;
  /** CPU of this process from the first event to the last, seconds. */
  readonly cpuSeconds: number;
  /** When the first event was due, by `monotonicMs`. */
  readonly startMs: number;
  readonly recorder?: {
    /** From when an event was due until it was on disk. */
    readonly durableMs: Float64Array;
    /** Longest time, as far as seen, that an event was on disk and Kafka had not acknowledged it. */
    readonly unshippedMs: number;
  };
}

process.on('message', (task: ProduceTask) => {
  const producing = task.by === 'recorder' ? recordPaced(task) : appendPaced(task);
  producing.then(
    (produced) => process.send?.(produced),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit(0));
process.send?.('listening');

const ORGS = 8;
const LOOK_EVERY_MS = 100;

/** One recorder for a few organisations, whose streams lie in several partitions. */
async function recordPaced(task: ProduceTask): Promise<Produced> {
  const { brokers, topic, partitions, eventsPerSecond, seconds, markEvery } = task;
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-recorder-'));
  await using kafka = openKafka({ brokers: [brokers], clientId: 'bench-recorder' });
  const recorder = await openRecorder({
    directory,
    deployment: 'bench',
    gatewayId: 'gw-0',
    gatewayVersion: '1.0.0',
    environment: 'prod',
    capture: 'gateway',
    log: kafka.log,
    topicOf: () => topic,
    partitions,
  });
  try {
    const count = eventsPerSecond * seconds;
    const drafts =
      markEvery === undefined
        ? sampleDrafts(256).map(({ timestamp: _, ...draft }, index) => ({
            ...draft,
            gateway_id: 'gw-0',
            org_id: `org-${index % ORGS}`,
          }))
        : callsOf(count, eventsPerSecond);
    const dueMs = Float64Array.from({ length: count }, (_, index) => (index * 1000) / eventsPerSecond);
    const seqs = new Float64Array(count);
    const startMs = monotonicMs() + 100;
    const cpu = process.cpuUsage();
    process.send?.('started');
    let resolved = 0;
    const durableMs = new Float64Array(count);
    let unshippedMs = 0;
    const looking = setInterval(() => {
      unshippedMs = Math.max(unshippedMs, recorder.stats().oldestUnshippedMs);
    }, LOOK_EVERY_MS);
    await arriveRoughly(startMs, dueMs, (index, done, fail) => {
      const draft = drafts[index % drafts.length]!;
      const isMarked = markEvery !== undefined && index % markEvery === 0;
      recorder.record(isMarked ? { ...draft, ...markOf(index) } : draft).then(({ seq }) => {
        seqs[index] = seq;
        durableMs[index] = monotonicMs() - startMs - dueMs[index]!;
        resolved += 1;
        if (resolved === count) done();
      }, fail);
    });
    if (!(await recorder.flush(60_000))) throw new Error('not everything was shipped');
    const { user, system } = process.cpuUsage(cpu);
    clearInterval(looking);
    await recorder.close();
    const ends = await kafka.boundsOf(topic);
    return {
      streams: Array.from({ length: ORGS }, (_, at) => ({
        org: `org-${at}`,
        gateway: 'gw-0',
        seqs: seqs.filter((_seq, index) => (index % drafts.length) % ORGS === at),
        dueMs: dueMs
          .filter((_due, index) => (index % drafts.length) % ORGS === at)
          .map((due) => startMs + due),
      })),
      records: [...ends.values()].reduce((sum, { end }) => sum + end, 0),
      cpuSeconds: (user + system) / 1e6,
      startMs,
      recorder: { durableMs, unshippedMs },
    };
  } finally {
    await recorder.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What gateways of a few organisations record where agents keep to what they may: every agent uses its tools from the beginning. */
function callsOf(count: number, eventsPerSecond: number): Omit<TrafficEvent, 'timestamp' | 'event_id'>[] {
  const gateways = Array.from({ length: ORGS }, (_, at) =>
    trafficOf({
      seed: at,
      org: `org-${at}`,
      gateway: 'gw-0',
      agents: AGENTS_OF_ORG,
      rollCall: true,
      calm: true,
      eventsPerSecond: eventsPerSecond / ORGS,
    }),
  );
  return Array.from({ length: count }, (_, index) => {
    const { timestamp: _timestamp, event_id: _id, ...draft } = gateways[index % ORGS]!.next().value;
    return draft;
  });
}

const AGENTS_OF_ORG = 100;

const markOf = (index: number) => ({
  kind: 'tool_call' as const,
  phase: 'single' as const,
  call_id: null,
  agent_id: `marked-${index}`,
  redactions: [{ rule: 'secret.aws-access-key', count: 1 }],
});

const TICK_MS = 20;
const GATEWAYS = 32;
/** Requests of one partition that are under way. */
const REQUESTS_MAX = 4;

async function appendPaced(task: ProduceTask): Promise<Produced> {
  const { brokers, topic, partitions, eventsPerSecond, seconds } = task;
  const count = eventsPerSecond * seconds;
  const { lanes, streams } = await encodeAhead(topic, partitions, eventsPerSecond, count);
  const startMs = monotonicMs() + 100;
  const cpu = process.cpuUsage();
  process.send?.('started');
  await Promise.all(lanes.map((ticks) => appendLane(brokers, ticks, startMs)));
  const { user, system } = process.cpuUsage(cpu);
  return {
    streams: [...streams.values()].map(({ org, gateway, dueMs }) => ({
      org,
      gateway,
      seqs: Float64Array.from(dueMs, (_, seq) => seq),
      dueMs: Float64Array.from(dueMs, (due) => startMs + due),
    })),
    records: count,
    cpuSeconds: (user + system) / 1e6,
    startMs,
  };
}

/** For each partition what is due within each tick, as a request; undefined where nothing is. */
async function encodeAhead(topic: string, partitions: number, eventsPerSecond: number, count: number) {
  const lanes: (Buffer | undefined)[][] = Array.from({ length: partitions }, () => []);
  const streams = new Map<string, { org: string; gateway: string; partition: number; dueMs: number[] }>();
  let open: Uint8Array[][] = lanes.map(() => []);
  let tick = 0;
  const closeTick = async (): Promise<void> => {
    for (const [partition, values] of open.entries()) {
      lanes[partition]![tick] = values.length === 0 ? undefined : await makeRequest(topic, partition, values);
    }
    open = lanes.map(() => []);
    tick += 1;
  };
  let index = 0;
  for (const { org, gateway, datum } of streamsOf({ seed: 1, gateways: GATEWAYS }).take(count)) {
    const dueMs = (index * 1000) / eventsPerSecond;
    while (dueMs >= (tick + 1) * TICK_MS) await closeTick();
    let stream = streams.get(gateway);
    if (!stream) {
      stream = { org, gateway, partition: partitionOf(org, gateway, partitions), dueMs: [] };
      streams.set(gateway, stream);
    }
    stream.dueMs.push(dueMs);
    open[stream.partition]!.push(frame(AUDIT_EVENT_SCHEMA_ID, datum));
    index += 1;
  }
  await closeTick();
  return { lanes, streams };
}

/** Sends ticks when they are over, whether or not those before are answered, up to a bound. */
async function appendLane(
  broker: string,
  ticks: readonly (Buffer | undefined)[],
  startMs: number,
): Promise<void> {
  using sender = await openSender(broker);
  const underWay: Promise<void>[] = [];
  for (const [tick, request] of ticks.entries()) {
    const waitMs = startMs + (tick + 1) * TICK_MS - monotonicMs();
    if (waitMs > 0) await sleep(waitMs);
    if (request === undefined) continue;
    if (underWay.length === REQUESTS_MAX) await underWay.shift();
    const sent = sender.send(request);
    // It is waited for in its turn.
    sent.catch(() => {});
    underWay.push(sent);
  }
  await Promise.all(underWay);
}
