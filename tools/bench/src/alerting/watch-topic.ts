// A full topic through the alerting service or a peer of it, and what each process paid for it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRedis } from '@cairn/adapters';
import { freePort, REPOSITORY, type ServiceProcess, startServiceProcess } from '@cairn/local';
import { cpuSecondsOf, peakMemoryMib, threadSecondsOf } from '../process-cost.ts';
import type { AlertingStage, RulesOfStage } from './stage.ts';

/** Of one event, after those with which the process and the windows have warmed up. */
export interface WatchCost {
  readonly events_s: number;
  readonly cpu_us: number;
  /** Of the process that watches: its thread that runs JavaScript, and all of it. */
  readonly main_us: number;
  readonly watcher_us: number;
  readonly redis_us: number;
  readonly broker_us: number;
  readonly peak_mib: number;
  /** Alerts that were opened, of a thousand events. */
  readonly alerts: number;
}

/** What a process that watches is done with. */
export interface Done {
  readonly events: number;
  /** Alerts that it opened. */
  readonly alerts: number;
}

/** A process that holds events against the rules. */
export interface Watcher extends AsyncDisposable {
  readonly pid: number;
  done(): Promise<Done>;
}

/** The service as it runs in production, with the rules that ship. */
export async function startAlerting(
  { directory, parts }: AlertingStage,
  topic: string,
  rules: RulesOfStage,
  name: string,
  more: Readonly<Record<string, string>> = {},
): Promise<Watcher & ServiceProcess> {
  const healthPort = await freePort();
  const service = await startServiceProcess({
    name: 'alerting',
    healthPort,
    readyMsMax: 120_000,
    logDirectory: join(directory, 'log', name),
    env: {
      ...parts.env(),
      CAIRN_DEPLOYMENT: name,
      CAIRN_ALERTING_INSTANCE: name,
      CAIRN_ALERTING_GROUP: name,
      CAIRN_CLASSES: topic.replace('audit.events.', ''),
      CAIRN_ALERTING_DATA_DIRECTORY: join(directory, name),
      CAIRN_ALERTING_HEALTH_PORT: String(healthPort),
      CAIRN_ALERTING_BACKLOG_MS_MAX: String(86_400_000),
      CAIRN_ALERTING_LATENESS_MS_MAX: String(LATENESS_MS),
      // It is stopped for a while: see standStill.
      CAIRN_ALERTING_SESSION_MS_MAX: String(300_000),
      CAIRN_RULES: rules.directory,
      CAIRN_RETENTION_CONFIG: join(REPOSITORY, 'deploy', 'config', 'retention.yaml'),
      CAIRN_LOG_LEVEL: 'warn',
      // For profiles: BENCH_NODE_OPTIONS='--cpu-prof --cpu-prof-dir=/tmp/profiles'.
      NODE_OPTIONS: process.env['BENCH_NODE_OPTIONS'] ?? '',
      ...more,
    },
  });
  return Object.assign(service, {
    async done() {
      if (cpuSecondsOf(service.pid) === undefined) throw new Error(`alerting ended: ${logOf(service)}`);
      // On a machine that is full an answer may not come.
      const text = await fetch(`${service.healthUrl}/metrics`)
        .then((answer) => answer.text())
        .catch(() => '');
      const opened = text.matchAll(/^cairn_alerting_alerts_total\{.*what="opened".*\} (\d+)/gm);
      return {
        events: Number(/^cairn_alerting_events_watched_total (\d+)/m.exec(text)?.[1] ?? 0),
        alerts: [...opened].reduce((sum, [, count]) => sum + Number(count), 0),
      };
    },
  });
}

/** The topic is filled before it is watched, which may take longer than the fifteen minutes of production on a busy machine. */
export const LATENESS_MS = 3_600_000;

/**
 * Waits until a watcher has done what its topic holds, alerts of its own included, and stops the process where it stands. So the topic
 * can be filled further, and what is measured then is that and nothing of before.
 *
 * @returns what it had done.
 */
export async function standStill(watcher: Watcher, events: number, secondsMax: number): Promise<Done> {
  const givenUpMs = performance.now() + secondsMax * 1_000;
  let last: Done = { events: 0, alerts: 0 };
  for (let idle = 0, before = -1; idle < 8; ) {
    last = await watcher.done();
    if (performance.now() > givenUpMs) throw new Error(`${last.events} of ${events} after ${secondsMax} s`);
    const used = cpuSecondsOf(watcher.pid) ?? 0;
    // Tells of itself and looks for rules and for ends all the time.
    idle = last.events >= events && used - before < 0.1 ? idle + 1 : 0;
    before = used;
    await sleep(250);
  }
  process.kill(watcher.pid, 'SIGSTOP');
  return last;
}

/** Of what is watched, the part that is not counted: whoever wakes after many seconds collects its garbage first. */
const LEAD = 1 / 8;

/**
 * What each process uses while a watcher does what came to its topic since it was stopped: from when it has done the first eighth until it
 * is done with so many events more. What it had fetched by the time at which it was stopped is nothing.
 */
export async function watchTopic(
  { parts }: AlertingStage,
  watcher: Watcher,
  { before, more, secondsMax }: { readonly before: Done; readonly more: number; readonly secondsMax: number },
): Promise<WatchCost> {
  const redis = parts.part('redis').pid ?? 0;
  const broker = parts.part('kafka').pid ?? 0;
  const reading = ({ events, alerts }: Done) => ({
    events,
    alerts,
    atMs: performance.now(),
    watcher: cpuSecondsOf(watcher.pid) ?? NaN,
    main: threadSecondsOf(watcher.pid, (_, thread) => thread === watcher.pid),
    redis: cpuSecondsOf(redis) ?? NaN,
    broker: cpuSecondsOf(broker) ?? NaN,
  });
  const givenUpMs = performance.now() + secondsMax * 1_000;
  const whenDone = async (events: number) => {
    for (;;) {
      const done = await watcher.done();
      if (done.events >= before.events + events) return reading(done);
      if (performance.now() > givenUpMs)
        throw new Error(`${done.events - before.events} of ${more} after ${secondsMax} s`);
      await sleep(50);
    }
  };
  process.kill(watcher.pid, 'SIGCONT');
  const from = await whenDone(more * LEAD);
  const to = await whenDone(more);
  const count = to.events - from.events;
  const each = (name: 'watcher' | 'main' | 'redis' | 'broker') => ((to[name] - from[name]) / count) * 1e6;
  return {
    events_s: count / ((to.atMs - from.atMs) / 1_000),
    cpu_us: each('watcher') + each('redis') + each('broker'),
    main_us: each('main'),
    watcher_us: each('watcher'),
    redis_us: each('redis'),
    broker_us: each('broker'),
    peak_mib: peakMemoryMib(watcher.pid),
    alerts: ((to.alerts - from.alerts) / count) * 1_000,
  };
}

/** Windows of a deployment that Redis holds now. */
export async function windowsOf({ parts }: AlertingStage, deployment: string): Promise<number> {
  await using redis = openRedis({ url: parts.part('redis').address, answerMsMax: 60_000 });
  const lua = `return #redis.call('KEYS', ARGV[1])`;
  return Number(await redis.run({ name: 'benchWindows', lua }, [], [`{cairn:${deployment}}:window:*`]));
}

/** The end of its log, for who must see what went wrong. */
const logOf = ({ logFile }: ServiceProcess): string => readFileSync(logFile, 'utf8').slice(-2_000);
