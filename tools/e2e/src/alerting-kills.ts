import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from '@cairn/adapters';
import { topicOf } from '@cairn/event';
import { freePort, type Parts, REPOSITORY, type ServiceProcess, startServiceProcess } from '@cairn/local';
import { openRecorder, type Recorder } from '@cairn/recorder';
import { type Receiver, startReceiver } from '../../../services/alerting/test/receiver.ts';
import { type Random, randomOf } from './chaos-random.ts';

export interface KillsOptions {
  readonly parts: Parts;
  readonly kafka: Kafka;
  readonly directory: string;
  readonly seed: number;
  /** How many processes are killed -9 at least: both instances of alerting, and Redis less often, each whenever it comes to it. */
  readonly kills: number;
  readonly say?: (text: string) => void;
}

/** What came of it: alerts by their keys, which are functions of window and first firing. */
export interface KillsVerdict {
  readonly events: number;
  /** Alerts of the run without faults, and of them those that are missing after the kills. */
  readonly expected: number;
  readonly missing: readonly string[];
  /** Alerts after the kills that the run without faults does not have. */
  readonly surplus: readonly string[];
  /** Alerts that were told under more than one id. */
  readonly doubled: readonly string[];
  readonly killed: Readonly<Record<string, number>>;
}

const TOPIC = topicOf('standard');
const PARTITIONS = 4;
const ORGS = 4;
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

/**
 * Two instances of alerting with the rules that ship, under load, killed at random moments: so records come again and partitions
 * wander. Redis is killed too, and comes back with what its log held. Afterwards one instance that nobody kills reads the same
 * topic from its beginning, with windows of its own, and what it tells is what should have been told.
 */
export async function killAlerting(options: KillsOptions): Promise<KillsVerdict> {
  const { parts, kafka, directory, seed, kills, say = () => {} } = options;
  mkdirSync(directory, { recursive: true });
  await kafka.ensureTopics([{ name: TOPIC, partitions: PARTITIONS }]);
  await using own = new AsyncDisposableStack();
  const receiver = own.use(await startReceiver());
  const recorder = await openRecorder({
    directory: join(directory, 'gateway'),
    deployment: 'kills',
    gatewayId: `gw-${seed}`,
    gatewayVersion: '0',
    environment: 'test',
    capture: 'gateway',
    log: kafka.log,
    topicOf: () => TOPIC,
    partitions: PARTITIONS,
  });
  own.defer(() => recorder.close());
  const start = async (run: string, instance: string): Promise<ServiceProcess> =>
    own.use(await startAlerting(options, receiver, run, instance));

  const victims = [await start('rough', 'rough-a'), await start('rough', 'rough-b')];
  const redis = parts.part('redis');
  const killed = { alerting: 0, redis: 0 };
  const isDone = (): boolean => killed.alerting + killed.redis >= kills;
  const load = agentsAtWork(recorder, seed);
  const killInstance = async (victim: ServiceProcess, random: Random): Promise<void> => {
    while (!isDone()) {
      await sleep(random.between(50, 900));
      killed.alerting += 1;
      await victim.kill9();
      // The other one takes over now and then, when it is away for longer than a silent member keeps its partitions.
      await sleep(random.chance(0.2) ? random.between(2_000, 3_500) : random.between(0, 300));
      await victim.start();
      if (killed.alerting % 10 === 0) say(`${killed.alerting + killed.redis} of ${kills}`);
    }
  };
  const killRedis = async (random: Random): Promise<void> => {
    while (!isDone()) {
      await sleep(random.between(1_000, 5_000));
      killed.redis += 1;
      await redis.kill9();
      await sleep(random.between(0, 400));
      await redis.start();
    }
  };
  await Promise.all([
    ...victims.map((victim, index) => killInstance(victim, randomOf(seed, `alerting-${index}`))),
    killRedis(randomOf(seed, 'redis')),
  ]);
  const events = await load.stop();
  await recorder.flush(60_000);
  say('the same without faults');
  await start('calm', 'calm');
  const told = (run: string): Set<string> => new Set(openings(receiver, run).map(({ key }) => key));
  await untilStill(() => told('calm').size);
  const giveUpMs = performance.now() + 180_000;
  while ([...told('calm')].some((key) => !told('rough').has(key)) && performance.now() < giveUpMs)
    await sleep(200);
  await untilStill(() => told('rough').size);
  const [expected, found] = [told('calm'), told('rough')];
  const ids = Map.groupBy(openings(receiver, 'rough'), ({ key }) => key);
  return {
    events,
    expected: expected.size,
    missing: [...expected.difference(found)],
    surplus: [...found.difference(expected)],
    doubled: [...ids].filter(([, those]) => new Set(those.map(({ id }) => id)).size > 1).map(([key]) => key),
    killed,
  };
}

async function startAlerting(
  { parts, directory, seed }: KillsOptions,
  receiver: Receiver,
  run: string,
  instance: string,
): Promise<ServiceProcess> {
  const healthPort = await freePort();
  const config = join(directory, `${instance}.yaml`);
  const network = { ports: [receiver.port], plainHttp: true, allow: ['127.0.0.1/32'] };
  const orgs = Array.from({ length: ORGS }, (_, org) => orgOf(seed, org));
  const endpoint = { name: run, url: `http://127.0.0.1:${receiver.port}/${run}`, secrets: [SECRET], orgs };
  // YAML is a superset of JSON.
  writeFileSync(config, JSON.stringify({ webhooks: { network, endpoints: [endpoint] } }));
  return startServiceProcess({
    name: 'alerting',
    healthPort,
    readyMsMax: 180_000,
    logDirectory: join(directory, 'log', instance),
    env: {
      ...parts.env(),
      CAIRN_DEPLOYMENT: `${run}-${seed}`,
      CAIRN_ALERTING_CONFIG: config,
      CAIRN_ALERTING_INSTANCE: instance,
      CAIRN_ALERTING_GROUP: `${run}-${seed}`,
      CAIRN_ALERTING_SESSION_MS_MAX: '2000',
      CAIRN_ALERTING_DATA_DIRECTORY: join(directory, instance),
      CAIRN_ALERTING_HEALTH_PORT: String(healthPort),
      CAIRN_ALERTING_BACKLOG_MS_MAX: '86400000',
      CAIRN_RULES: join(REPOSITORY, 'deploy', 'config', 'rules'),
      CAIRN_RETENTION_CONFIG: join(REPOSITORY, 'deploy', 'config', 'retention.yaml'),
    },
  });
}

const orgOf = (seed: number, org: number): string => `org-${seed}-${org}`;

/** Agents that are denied, delete, send secrets and use new tools, one burst after the other. */
function agentsAtWork(recorder: Recorder, seed: number): { stop(): Promise<number> } {
  const random = randomOf(seed, 'agents');
  let isOver = false;
  let events = 0;
  const work = async (): Promise<void> => {
    for (let burst = 0; !isOver; burst += 1) {
      for (const draft of burstOf(random, seed, burst)) {
        await recorder.record(draft);
        events += 1;
      }
      await sleep(random.between(5, 60));
    }
  };
  const working = work();
  return {
    async stop() {
      isOver = true;
      await working;
      return events;
    },
  };
}

function* burstOf(random: Random, seed: number, burst: number) {
  const draft = {
    org_id: orgOf(seed, Math.floor(random.between(0, ORGS))),
    kind: 'tool_call' as const,
    phase: 'single' as const,
    // Some come back, most are new.
    agent_id: `agent-${random.chance(0.3) ? burst % 7 : burst}`,
    service: `server-${Math.floor(random.between(0, 3))}`,
    tool_name: `tool-${Math.floor(random.between(0, 5))}`,
    decision: 'allow' as const,
    sensitivity: 'internal' as const,
  };
  const kind = Math.floor(random.between(0, 4));
  const count = Math.floor(random.between(1, 9));
  for (let index = 0; index < count; index += 1) {
    if (kind === 0) yield { ...draft, decision: 'deny' as const };
    else if (kind === 1) yield { ...draft, result_status: 'failure' as const };
    else if (kind === 2) yield { ...draft, latency_ms: 12_000 };
    else yield { ...draft, redactions: [{ rule: 'secret.aws-access-key', count: 1 }] };
  }
}

function openings({ received }: Receiver, run: string): { readonly key: string; readonly id: string }[] {
  return received
    .filter(({ path }) => path === `/${run}`)
    .map(({ id, body }) => ({ id, ...(JSON.parse(body) as Message) }))
    .filter(({ type }) => type === 'alert.opened')
    .map(({ id, data: { key, rule, group } }) => ({
      id,
      key: `${key} ${rule} ${Object.values(group).join(' ')}`,
    }));
}

interface Message {
  readonly type: string;
  readonly data: {
    readonly key: string;
    readonly rule: string;
    readonly group: Readonly<Record<string, string>>;
  };
}

/** Resolves when nothing came for a while. */
async function untilStill(count: () => number): Promise<void> {
  for (let still = 0, last = -1; still < 20; still += 1) {
    await sleep(250);
    if (count() !== last || last === 0) still = 0;
    last = count();
  }
}
