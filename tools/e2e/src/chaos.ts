import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { messageOf } from '@cairn/failure';
import type { RunningPart, ServiceProcess } from '@cairn/local';
import { type Random, randomOf } from './chaos-random.ts';
import { startChaosRig } from './chaos-rig.ts';
import type { HttpProxy } from './http-proxy.ts';
import { type Judgement, NO_FAULTS } from './oracle.ts';
import type { Fate, TcpProxy } from './tcp-proxy.ts';

/*
 * Everything fails at random under load: ingest, the gateway, ClickHouse and the broker are killed and stopped, and the
 * network loses answers. Then all of it is healed, and oracle.ts judges.
 *
 *     node tools/e2e/src/chaos.ts --kills 500 --seed 7
 *     node tools/e2e/src/chaos.ts --kills 40 --only clickhouse
 *     node tools/e2e/src/chaos.ts --kills 60 --peer usual
 *
 * The last runs another service in the place of ingest, which shows that the oracle can find something.
 */

export interface ChaosOptions {
  readonly seed: number;
  /** Of all processes together; pauses come on top. */
  readonly kills: number;
  /** Processes that suffer: ingest-a, ingest-b, gateway, clickhouse, kafka. Default all. */
  readonly only?: readonly string[] | undefined;
  /** Runs in the place of ingest the service that most teams would write. */
  readonly peer?: 'usual' | undefined;
  /** Scratch, with a journal of what was done: chaos.log. The caller removes it. */
  readonly directory: string;
  readonly onProgress?: (line: string) => void;
  /** Aborted: what runs is ended, and the run rejects. */
  readonly stop?: AbortSignal | undefined;
}

export interface ChaosReport extends Judgement {
  readonly seed: number;
  readonly killed: Readonly<Record<string, number>>;
  readonly paused: Readonly<Record<string, number>>;
  /** What became of requests to the broker, by fate. */
  readonly network: Readonly<Record<string, number>>;
  /** What became of statements to ClickHouse. */
  readonly statements: Readonly<Record<string, number>>;
}

/** One process that is made to suffer. */
interface Victim {
  readonly name: string;
  readonly pid: () => number | undefined;
  kill9(): Promise<void>;
  /** Resolves when it serves again. */
  start(): Promise<void>;
  /** Milliseconds, least and most: left alone, away after a kill, stopped. */
  readonly restMs: Span;
  readonly awayMs: Span;
  readonly pauseMs: Span;
}

type Span = readonly [least: number, most: number];

/** @throws when the parts cannot be healed or drained in time. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, kills, directory, onProgress = () => {} } = options;
  await using rig = await startChaosRig(directory);
  const startIngest = options.peer === 'usual' ? rig.startUsual : rig.startIngest;
  const ingests = [await startIngest('ingest-a'), await startIngest('ingest-b')];
  const producer = await rig.startProducer('gw-chaos');
  rig.proxy.decide = fatesOf(randomOf(seed, 'network'));
  rig.tableProxy.decide = statementFatesOf(randomOf(seed, 'statements'));

  const clickhouse = rig.parts.part('clickhouse');
  const victims: Victim[] = [
    ...ingests.map((ingest, index) =>
      ofService(ingest, index === 0 ? 'ingest-a' : 'ingest-b', [300, 3_000], [100, 5_000]),
    ),
    ofService(producer.process, 'gateway', [300, 3_000], [100, 1_500]),
    ofPart(clickhouse, [1_000, 5_000], [100, 3_000]),
    ofPart(rig.parts.part('kafka'), [6_000, 14_000], [100, 4_000]),
  ];
  const killed: Record<string, number> = {};
  const paused: Record<string, number> = {};
  const journal = join(directory, 'chaos.log');
  const note = (line: string): void => appendFileSync(journal, `${new Date().toISOString()} ${line}\n`);
  let left = kills;
  const torment = async (victim: Victim): Promise<void> => {
    const random = randomOf(seed, victim.name);
    for (;;) {
      await sleep(random.between(...victim.restMs));
      options.stop?.throwIfAborted();
      if (left <= 0) return;
      if (random.chance(0.25)) {
        note(`stop ${victim.name}`);
        paused[victim.name] = (paused[victim.name] ?? 0) + 1;
        await pause(victim, random);
        continue;
      }
      left -= 1;
      killed[victim.name] = (killed[victim.name] ?? 0) + 1;
      if ((kills - left) % 25 === 0) onProgress(`${kills - left} of ${kills} kills`);
      note(`kill ${victim.name}`);
      await killAndStart(victim, random, options.stop);
      note(`runs ${victim.name}`);
    }
  };
  const network = disturb(rig.proxy, randomOf(seed, 'blackholes'), () => left > 0, note);
  await Promise.all(victims.filter(({ name }) => options.only?.includes(name) ?? true).map(torment));
  await network;

  rig.proxy.decide = () => ({ do: 'pass' });
  rig.tableProxy.decide = () => ({ do: 'pass' });
  await rig.proxy.settled();
  // One that ended by itself, because the broker was away when it started, is started as a supervisor would.
  for (const ingest of ingests) if (!isRunning(ingest)) await ingest.start();
  onProgress('healed');
  await producer.finish();
  const judgement = await rig.judge(180_000, options.peer === undefined ? 'leaf' : 'place');
  return {
    seed,
    killed,
    paused,
    network: Object.fromEntries(rig.proxy.met),
    statements: Object.fromEntries(rig.tableProxy.met),
    ...judgement,
  };
}

function ofService(service: ServiceProcess, name: string, restMs: Span, pauseMs: Span): Victim {
  return {
    name,
    pid: () => service.pid,
    kill9: () => service.kill9(),
    start: () => service.start(),
    restMs,
    awayMs: [0, 1_500],
    pauseMs,
  };
}

function ofPart(part: RunningPart, restMs: Span, pauseMs: Span): Victim {
  return {
    name: part.name,
    pid: () => part.pid,
    kill9: () => part.kill9(),
    start: () => part.start(),
    restMs,
    awayMs: [0, 2_000],
    pauseMs,
  };
}

async function pause({ pid, pauseMs }: Victim, random: Random): Promise<void> {
  const stopped = pid();
  const ms = random.between(...pauseMs);
  if (stopped === undefined) return;
  process.kill(stopped, 'SIGSTOP');
  await sleep(ms);
  process.kill(stopped, 'SIGCONT');
}

async function killAndStart(victim: Victim, random: Random, stop?: AbortSignal): Promise<void> {
  await victim.kill9();
  await sleep(random.between(...victim.awayMs));
  // What it needs may be away as well; then it ends, and a supervisor would start it again.
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await victim.start();
    } catch (error) {
      if (attempt === STARTS_MAX || stop?.aborted) throw error;
      await sleep(500);
    }
  }
}

const STARTS_MAX = 20;

function isRunning({ pid }: ServiceProcess): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Most requests pass; of those that append, some lose their answer or wait. */
function fatesOf(random: Random): TcpProxy['decide'] {
  return ({ isProduce }): Fate => {
    const at = random.next();
    if (!isProduce) return at < 0.002 ? { do: 'cut' } : { do: 'pass' };
    if (at < 0.02) return { do: 'lose-answer' };
    if (at < 0.03) return { do: 'cut' };
    if (at < 0.05) return { do: 'delay', ms: random.between(5, 300) };
    if (at < 0.06) return { do: 'late', ms: random.between(50, 2_000) };
    if (at < 0.0605) return { do: 'hide-answer' };
    return { do: 'pass' };
  };
}

/** Of the inserts into the table, some are lost on their way, and some lose their answer. */
function statementFatesOf(random: Random): HttpProxy['decide'] {
  return ({ sql }) => {
    const at = random.next();
    if (!sql.startsWith('INSERT INTO cairn.events')) return { do: at < 0.002 ? 'cut' : 'pass' };
    if (at < 0.05) return { do: 'cut' };
    return { do: at < 0.1 ? 'lose-answer' : 'pass' };
  };
}

/** Now and then all connections are cut, or nothing passes for a while. */
async function disturb(
  proxy: TcpProxy,
  random: Random,
  goesOn: () => boolean,
  note: (line: string) => void,
): Promise<void> {
  while (goesOn()) {
    await sleep(random.between(2_000, 12_000));
    const silentMs = random.chance(0.5) ? random.between(200, 3_000) : 0;
    note(silentMs === 0 ? 'cut all connections' : `silence of ${Math.round(silentMs)} ms`);
    if (silentMs === 0) proxy.cutAll();
    else proxy.blackhole(silentMs);
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '500' },
      seed: { type: 'string' },
      only: { type: 'string' },
      peer: { type: 'string' },
    },
  });
  if (values.peer !== undefined && values.peer !== 'usual') throw new Error('--peer knows: usual');
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
  const directory = mkdtempSync(join(tmpdir(), 'cairn-chaos-'));
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  say(`seed ${seed}, journal ${join(directory, 'chaos.log')}`);
  try {
    const report = await runChaos({
      seed,
      kills: Number(values.kills),
      only: values.only?.split(','),
      peer: values.peer,
      directory,
      onProgress: say,
      stop: stop.signal,
    });
    say(JSON.stringify(report, undefined, 2));
    const clean = JSON.stringify(report.faults) === JSON.stringify(NO_FAULTS);
    say(clean ? 'no faults' : `faults with seed ${seed}`);
    process.exitCode = clean ? 0 : 1;
  } catch (error) {
    say(`ended with seed ${seed}: ${messageOf(error)}; what was left is in ${directory}`);
    process.exitCode = 1;
  }
  if (process.exitCode === 0) rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}
