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
  /** Of the processes that watch: their threads that run JavaScript, and all of them. */
  readonly main_us: number;
  readonly watcher_us: number;
  readonly redis_us: number;
  readonly broker_us: number;
  readonly peak_mib: number;
  /** Alerts that were opened, of a thousand events. */
  readonly alerts: number;
}

/** What whoever watches is done with. */
export interface Done {
  readonly events: number;
  /** By each process. */
  readonly eventsOfEach: readonly number[];
  /** Alerts that were opened. */
  readonly alerts: number;
}

/** What holds events against the rules. */
export interface Watcher extends AsyncDisposable {
  /** Its processes. */
  readonly pids: readonly number[];
  /** Of all of them. */
  done(): Promise<Done>;
}

/** How the service is started. */
export interface AlertingSetting {
  /** Of the deployment, and of the group in which its instances share the partitions. */
  readonly name: string;
  readonly instances?: number;
  /** More of the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Instances of the service, as they run in production, with the rules that ship. */
export async function startAlerting(
  stage: AlertingStage,
  topic: string,
  rules: RulesOfStage,
  { name, instances = 1, env = {} }: AlertingSetting,
): Promise<Watcher & { readonly instances: readonly string[] }> {
  const own = new AsyncDisposableStack();
  const names = Array.from({ length: instances }, (_, index) => `${name}-${index}`);
  // Each is heard of before the first trouble of another is.
  const started = await Promise.allSettled(
    names.map(async (instance) => own.use(await startInstance(stage, topic, rules, name, instance, env))),
  );
  const wrong = started.find((result) => result.status === 'rejected');
  if (wrong !== undefined) {
    await own.disposeAsync();
    throw wrong.reason;
  }
  const services = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  return {
    instances: names,
    pids: services.map(({ pid }) => pid),
    async done() {
      const each = await Promise.all(services.map(doneOf));
      return {
        events: each.reduce((sum, { events }) => sum + events, 0),
        eventsOfEach: each.map(({ events }) => events),
        alerts: each.reduce((sum, { alerts }) => sum + alerts, 0),
      };
    },
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}

async function startInstance(
  { directory, parts }: AlertingStage,
  topic: string,
  rules: RulesOfStage,
  deployment: string,
  instance: string,
  env: Readonly<Record<string, string>>,
): Promise<ServiceProcess> {
  const healthPort = await freePort();
  return startServiceProcess({
    name: 'alerting',
    healthPort,
    readyMsMax: 120_000,
    logDirectory: join(directory, 'log', instance),
    env: {
      ...parts.env(),
      CAIRN_DEPLOYMENT: deployment,
      CAIRN_ALERTING_INSTANCE: instance,
      CAIRN_ALERTING_GROUP: deployment,
      CAIRN_CLASSES: topic.replace('audit.events.', ''),
      CAIRN_ALERTING_DATA_DIRECTORY: join(directory, instance),
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
      ...env,
    },
  });
}

async function doneOf(service: ServiceProcess): Promise<Pick<Done, 'events' | 'alerts'>> {
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
}

/** The topic is filled before it is watched, which may take longer than the fifteen minutes of production on a busy machine. */
export const LATENESS_MS = 3_600_000;

/**
 * Waits until a watcher has done what its topic holds, alerts of its own included, and stops it where it stands. So the topic
 * can be filled further, and what is measured then is that and nothing of before.
 *
 * @returns what it had done.
 */
export async function standStill(watcher: Watcher, events: number, secondsMax: number): Promise<Done> {
  const givenUpMs = performance.now() + secondsMax * 1_000;
  let last: Done = { events: 0, eventsOfEach: [], alerts: 0 };
  for (let idle = 0, before = -1; idle < 8; ) {
    last = await watcher.done();
    if (performance.now() > givenUpMs) throw new Error(`${last.events} of ${events} after ${secondsMax} s`);
    const used = sumOf(watcher.pids, cpuSecondsOf);
    // Tells of itself and looks for rules and for ends all the time.
    idle = last.events >= events && used - before < 0.1 ? idle + 1 : 0;
    before = used;
    await sleep(250);
  }
  for (const pid of watcher.pids) process.kill(pid, 'SIGSTOP');
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
  const reading = ({ events, eventsOfEach, alerts }: Done) => ({
    events,
    eventsOfEach,
    alerts,
    atMs: performance.now(),
    watcher: sumOf(watcher.pids, cpuSecondsOf),
    main: sumOf(watcher.pids, (pid) => threadSecondsOf(pid, (_, thread) => thread === pid)),
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
  for (const pid of watcher.pids) process.kill(pid, 'SIGCONT');
  const from = await whenDone(more * LEAD);
  const to = await whenDone(more);
  // One that came late to the group has no partition.
  if (to.eventsOfEach.some((events, at) => events === before.eventsOfEach[at]))
    throw new Error(`an instance watched nothing: ${to.eventsOfEach}`);
  const count = to.events - from.events;
  const each = (name: 'watcher' | 'main' | 'redis' | 'broker') => ((to[name] - from[name]) / count) * 1e6;
  return {
    events_s: count / ((to.atMs - from.atMs) / 1_000),
    cpu_us: each('watcher') + each('redis') + each('broker'),
    main_us: each('main'),
    watcher_us: each('watcher'),
    redis_us: each('redis'),
    broker_us: each('broker'),
    peak_mib: sumOf(watcher.pids, peakMemoryMib),
    alerts: ((to.alerts - from.alerts) / count) * 1_000,
  };
}

const sumOf = (pids: readonly number[], figureOf: (pid: number) => number | undefined): number =>
  pids.reduce((sum, pid) => sum + (figureOf(pid) ?? NaN), 0);

/** Windows of a deployment that Redis holds now. */
export async function windowsOf({ parts }: AlertingStage, deployment: string): Promise<number> {
  await using redis = openRedis({ url: parts.part('redis').address, answerMsMax: 60_000 });
  const lua = `return #redis.call('KEYS', ARGV[1])`;
  return Number(await redis.run({ name: 'benchWindows', lua }, [], [`{cairn:${deployment}}:window:*`]));
}

/** Empties Redis: what it holds of one run makes the next one slower. */
export async function forgetWindows({ parts }: AlertingStage): Promise<void> {
  await using redis = openRedis({ url: parts.part('redis').address, answerMsMax: 60_000 });
  await redis.run({ name: 'benchForget', lua: `return redis.call('FLUSHALL', 'SYNC')` }, [], []);
}

/** The end of its log, for who must see what went wrong. */
const logOf = ({ logFile }: ServiceProcess): string => readFileSync(logFile, 'utf8').slice(-2_000);
