// A full topic through the alerting service or a peer of it, and what each process paid for it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRedis } from '@cairn/adapters';
import { freePort, REPOSITORY, type ServiceProcess, startServiceProcess } from '@cairn/local';
import type { Preloaded } from '../ingest/stage.ts';
import { cpuSecondsOf, peakMemoryMib, threadSecondsOf } from '../process-cost.ts';
import type { AlertingStage } from './stage.ts';

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
}

/** A process that holds events against the rules. */
export interface Watcher extends AsyncDisposable {
  readonly pid: number;
  /** Events that it is done with. */
  watched(): Promise<number>;
}

/** The service as it runs in production, with the rules that ship. */
export async function startAlerting(
  { directory, parts }: AlertingStage,
  topic: string,
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
      CAIRN_RULES: SHIPPED_RULES,
      CAIRN_RETENTION_CONFIG: join(REPOSITORY, 'deploy', 'config', 'retention.yaml'),
      CAIRN_LOG_LEVEL: 'warn',
      // For profiles: BENCH_NODE_OPTIONS='--cpu-prof --cpu-prof-dir=/tmp/profiles'.
      NODE_OPTIONS: process.env['BENCH_NODE_OPTIONS'] ?? '',
      ...more,
    },
  });
  return Object.assign(service, {
    async watched() {
      if (cpuSecondsOf(service.pid) === undefined) throw new Error(`alerting ended: ${logOf(service)}`);
      // On a machine that is full an answer may not come.
      const text = await fetch(`${service.healthUrl}/metrics`)
        .then((answer) => answer.text())
        .catch(() => '');
      return Number(/^cairn_alerting_events_watched_total (\d+)/m.exec(text)?.[1] ?? 0);
    },
  });
}

export const SHIPPED_RULES = join(REPOSITORY, 'deploy', 'config', 'rules');
/** The topic is filled before it is watched, which may take longer than the fifteen minutes of production on a busy machine. */
export const LATENESS_MS = 3_600_000;

/** Reads what each process has used when so many events are done and when all are. */
export async function watchTopic(
  { parts }: AlertingStage,
  { events }: Preloaded,
  watcher: Watcher,
  warm: number,
  secondsMax: number,
): Promise<WatchCost> {
  const redis = parts.part('redis').pid ?? 0;
  const broker = parts.part('kafka').pid ?? 0;
  const readingAt = async (least: number) => {
    const givenUpMs = performance.now() + secondsMax * 1_000;
    for (;;) {
      const watched = await watcher.watched();
      if (watched >= least)
        return {
          watched: Math.min(watched, events),
          atMs: performance.now(),
          watcher: cpuSecondsOf(watcher.pid) ?? NaN,
          main: threadSecondsOf(watcher.pid, (_, thread) => thread === watcher.pid),
          redis: cpuSecondsOf(redis) ?? NaN,
          broker: cpuSecondsOf(broker) ?? NaN,
        };
      if (performance.now() > givenUpMs) throw new Error(`${watched} of ${events} after ${secondsMax} s`);
      await sleep(250);
    }
  };
  const from = await readingAt(warm);
  const to = await readingAt(events);
  const count = to.watched - from.watched;
  const each = (name: 'watcher' | 'main' | 'redis' | 'broker') => ((to[name] - from[name]) / count) * 1e6;
  return {
    events_s: count / ((to.atMs - from.atMs) / 1_000),
    cpu_us: each('watcher') + each('redis') + each('broker'),
    main_us: each('main'),
    watcher_us: each('watcher'),
    redis_us: each('redis'),
    broker_us: each('broker'),
    peak_mib: peakMemoryMib(watcher.pid),
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
