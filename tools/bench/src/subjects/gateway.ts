// What an agent pays for the gateway: calls of one tool, straight to its server and through the gateway, in turn.
import { resolve } from 'node:path';
import type { Made, Target } from '../gateway/make-calls.ts';
import { openStage, type Stage } from '../gateway/stage.ts';
import { type Measured, quantileOf, type SubjectOptions, spreadOf } from '../measured.ts';
import { cpuSecondsOf } from '../process-cost.ts';

/** The pace of the claims. */
const CALLS_S = 500;
const CONNECTIONS = 32;

/**
 * `--rate N`, default 500, is the pace of calls; `--profile <directory>` leaves a profile of the gateway's CPU there; `--work N`
 * lets the plain proxy work for N µs before each of its two lines, which shows what a gateway that does so much can add at the least.
 */
export default async function gateway({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const [repeats, seconds, fullSeconds] = quick ? [1, 2, 2] : [4, 10, 5];
  const callsPerSecond = Number(flags['rate'] ?? CALLS_S);
  const profile = flags['profile'];
  await using stage = await openStage({
    profileDirectory: profile === undefined ? undefined : resolve(profile),
    plainWorkUs: Number(flags['work'] ?? 0),
  });
  const { direct, through, plain } = stage;

  say('warming up');
  for (const target of [direct, plain, through]) {
    await closed(stage, target, quick ? 2 : 4);
    await paced(stage, target, callsPerSecond, quick ? 1 : 5, 0);
  }

  const figures = { direct: empty(), plain: empty(), through: empty(), added: empty(), addedPlain: empty() };
  const full = { direct: empty(), plain: empty(), through: empty() };
  const discarded = quick ? 0 : 1;
  for (let round = 0; round < repeats + discarded; round += 1) {
    say(round < discarded ? 'a round that is thrown away' : `repeat ${round - discarded + 1} of ${repeats}`);
    const alone = await paced(stage, direct, callsPerSecond, seconds, round);
    const passed = await paced(stage, plain, callsPerSecond, seconds, round);
    const behind = await paced(stage, through, callsPerSecond, seconds, round);
    const fullAlone = await closed(stage, direct, fullSeconds);
    const fullPassed = await closed(stage, plain, fullSeconds);
    const fullBehind = await closed(stage, through, fullSeconds);
    if (round < discarded) continue;
    for (const name of ['p50_ms', 'p99_ms', 'p999_ms'] as const) {
      figures.direct[name].push(alone[name]);
      figures.plain[name].push(passed[name]);
      figures.through[name].push(behind[name]);
      figures.added[name].push(behind[name] - alone[name]);
      figures.addedPlain[name].push(passed[name] - alone[name]);
    }
    for (const name of PROCESSES) {
      figures.direct[`${name}_us`].push(alone[`${name}_us`]);
      figures.plain[`${name}_us`].push(passed[`${name}_us`]);
      figures.through[`${name}_us`].push(behind[`${name}_us`]);
    }
    for (const [into, from] of [
      [full.direct, fullAlone],
      [full.plain, fullPassed],
      [full.through, fullBehind],
    ] as const) {
      for (const name of ['p50_ms', 'p99_ms', 'p999_ms', 'calls_s'] as const) into[name].push(from[name]);
      for (const name of PROCESSES) into[`${name}_us`].push(from[`${name}_us`]);
    }
  }

  return {
    question: 'What does the gateway add to a call, and how many calls does one take?',
    columns: [
      { name: 'p50_ms', heading: 'p50 ms', digits: 2 },
      { name: 'p99_ms', heading: 'p99 ms', digits: 2 },
      { name: 'p999_ms', heading: 'p99.9 ms', digits: 2 },
      { name: 'calls_s', heading: 'calls/s', digits: 0 },
      { name: 'gateway_us', heading: 'gateway µs', digits: 0 },
      { name: 'plain_us', heading: 'plain proxy µs', digits: 0 },
      { name: 'server_us', heading: 'server µs', digits: 0 },
      { name: 'caller_us', heading: 'caller µs', digits: 0 },
      { name: 'kafka_us', heading: 'Kafka µs', digits: 0 },
    ],
    rows: [
      { name: `added at ${callsPerSecond} calls/s`, figures: figures.added },
      { name: `added by the plain proxy at ${callsPerSecond} calls/s`, figures: figures.addedPlain },
      { name: `through the gateway, ${callsPerSecond} calls/s`, figures: figures.through },
      { name: `through the plain proxy, ${callsPerSecond} calls/s`, figures: figures.plain },
      { name: `straight to the server, ${callsPerSecond} calls/s`, figures: figures.direct },
      { name: `through the gateway, ${CONNECTIONS} connections, as fast as answered`, figures: full.through },
      {
        name: `through the plain proxy, ${CONNECTIONS} connections, as fast as answered`,
        figures: full.plain,
      },
      { name: `straight to the server, ${CONNECTIONS} connections`, figures: full.direct },
    ],
    claims: [
      {
        what: `p50 that the gateway adds at ${callsPerSecond} calls/s, ms`,
        measured: spreadOf(figures.added.p50_ms).median,
        wanted: 'at most',
        limit: 2,
      },
      {
        what: `p99 that the gateway adds at ${callsPerSecond} calls/s, ms`,
        measured: spreadOf(figures.added.p99_ms).median,
        wanted: 'at most',
        limit: 5,
      },
      {
        what: 'CPU of the gateway for a call, as a multiple of that of the plain proxy',
        measured: spreadOf(figures.through.gateway_us).median / spreadOf(figures.plain.plain_us).median,
        wanted: 'at most',
        limit: 3,
      },
    ],
    notes: [
      'The caller, the server, the gateway and Kafka share the cores of one machine: what is added holds their contention too.',
      `At ${callsPerSecond} calls/s arrivals are open-loop, at random moments fixed beforehand (exponential gaps, the same for both), for ${seconds} s; a wait counts from when the call was due.`,
      'The gateway runs from its main.ts: a bearer credential, the shipped Cedar policies, the privacy guard with one rule, the spool on disk, Kafka. Two events a call: the decision is on disk before the server is asked, the outcome before the caller is answered.',
      'The plain proxy is the peer: it passes bodies on, and appends 450 bytes, synced, before the server is asked and again before the caller is answered. It reads nothing, decides nothing, chains and ships nothing: what it adds is what no gateway with a durable trail on this platform and this disk can go below.',
      'The server is a plain one on the official SDK, protocol 2026-07-28, one tool that echoes. CPU is that of each process for a call, user and system; of the gateway its sync and shipping included.',
      `Cores taken are the sum of the last five columns times the rate: at ${callsPerSecond} calls/s a sum of ${2_000_000 / callsPerSecond} µs fills two. The nearer, the longer each waits for a core.`,
    ],
  };
}

const PROCESSES = ['gateway', 'plain', 'server', 'caller', 'kafka'] as const;

/** CPU of each process for one call, user and system. */
type Cpu = Readonly<Record<`${(typeof PROCESSES)[number]}_us`, number>>;

interface Run extends Cpu {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly p999_ms: number;
  readonly calls_s: number;
}

const empty = (): Record<keyof Run, number[]> => ({
  p50_ms: [],
  p99_ms: [],
  p999_ms: [],
  calls_s: [],
  gateway_us: [],
  plain_us: [],
  server_us: [],
  caller_us: [],
  kafka_us: [],
});

const paced = (
  stage: Stage,
  target: Target,
  callsPerSecond: number,
  seconds: number,
  seed: number,
): Promise<Run> =>
  measured(stage, () =>
    stage.make({ kind: 'paced', target, dueMs: arrivals(callsPerSecond, seconds, seed) }),
  );

const closed = (stage: Stage, target: Target, seconds: number): Promise<Run> =>
  measured(stage, () => stage.make({ kind: 'closed', target, connections: CONNECTIONS, seconds }));

/** Runs, with the gateway idle before and everything it recorded shipped after; a call that failed fails the bench. */
async function measured(stage: Stage, make: () => Promise<Made>): Promise<Run> {
  const recordedBefore = await stage.shipped();
  const secondsOf = (name: (typeof PROCESSES)[number]): number => cpuSecondsOf(stage.pids[name]) ?? NaN;
  const before = PROCESSES.map(secondsOf);
  const { waitsMs, failed, seconds } = await make();
  const recorded = (await stage.shipped()) - recordedBefore;
  const [gateway_us, plain_us, server_us, caller_us, kafka_us] = PROCESSES.map(
    (name, index) => ((secondsOf(name) - (before[index] ?? NaN)) / waitsMs.length) * 1e6,
  ) as [number, number, number, number, number];
  if (failed > 0) throw new Error(`${failed} of ${waitsMs.length} calls failed`);
  if (recorded > 0 && recorded !== 2 * waitsMs.length)
    throw new Error(`${recorded} events of ${waitsMs.length} calls`);
  return {
    p50_ms: quantileOf(waitsMs, 0.5),
    p99_ms: quantileOf(waitsMs, 0.99),
    p999_ms: quantileOf(waitsMs, 0.999),
    calls_s: waitsMs.length / seconds,
    gateway_us,
    plain_us,
    server_us,
    caller_us,
    kafka_us,
  };
}

/** Moments of independent callers, in milliseconds: the same for the same seed. */
function arrivals(callsPerSecond: number, seconds: number, seed: number): number[] {
  const count = callsPerSecond * seconds;
  const dueMs: number[] = [];
  let atMs = 0;
  let state = (seed + 1) * 0x9e3779b9;
  for (let index = 0; index < count; index += 1) {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    const uniform = ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    atMs += (-Math.log(1 - uniform) * 1000) / callsPerSecond;
    dueMs.push(atMs);
  }
  return dueMs;
}
