import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, type Kafka, pendingMigrations } from '@cairn/adapters';
import { PARKED_TOPIC, topicOf } from '@cairn/event';
import { type Finding, failed, ok, orFailed, skipped } from './finding.ts';
import { readLoaded } from './read-loaded.ts';

/** What the doctor looks at. */
export interface Patient {
  readonly node: { readonly running: string; readonly pinned: string };
  /** First line of `java -version`; undefined when it does not run. */
  java(): Promise<string | undefined>;
  readonly addresses: Readonly<Record<'kafka' | 'clickhouse' | 'redis' | 's3', string>>;
  /** True when something listens at `host:port`, or at the first such of a list. */
  listens(address: string): Promise<boolean>;
  openKafka(): Kafka;
  openTrail(): ClickHouse;
  readonly classes: readonly string[];
  readonly migrationsDirectory: string;
  nowMs(): number;
  /** How long ingest has to show that it moves; default 3,000. */
  readonly patienceMs?: number;
}

const JAVA_MIN = 17;
const CLOCK_MS_MAX = 1_000;

/** The checks in the order in which one needs the other. What cannot be told is skipped with the reason. */
export async function* examine(patient: Patient): AsyncGenerator<Finding> {
  const { addresses } = patient;
  yield checkNode(patient);
  await using kafka = patient.openKafka();
  await using trail = patient.openTrail();

  const hasKafka = await kafka.ping();
  yield hasKafka ? skipped('java', 'not needed: Kafka runs') : await checkJava(patient);
  yield reachable('kafka', addresses.kafka, hasKafka);
  const hasTrail = await trail.ping();
  yield reachable('clickhouse', addresses.clickhouse, hasTrail);
  yield reachable('redis', addresses.redis, await patient.listens(addresses.redis));
  yield reachable('s3', addresses.s3, await patient.listens(addresses.s3));

  const topics = hasKafka
    ? await checkTopics(kafka, patient.classes)
    : skipped('topics', 'Kafka is not reachable');
  yield topics;
  const tables = hasTrail
    ? await checkMigrations(trail, patient.migrationsDirectory)
    : skipped('tables', 'ClickHouse is not reachable');
  yield tables;
  yield topics.state === 'ok' && tables.state === 'ok'
    ? await checkLag(kafka, trail, patient)
    : skipped('ingest', 'it needs topics and tables');
  yield hasTrail ? await checkClock(trail, patient) : skipped('clock', 'ClickHouse is not reachable');
}

function checkNode({ node }: Patient): Finding {
  if (node.running === node.pinned) return ok('node', node.running);
  return failed(
    'node',
    `${node.running} runs, the workspace pins ${node.pinned}`,
    'Run `cairn` through `npx cairn`, which takes the pinned one; `npm start` installs it.',
  );
}

async function checkJava({ java }: Patient): Promise<Finding> {
  const mend =
    'On Debian: apt-get install -y openjdk-17-jre-headless. Or name a Kafka elsewhere with KAFKA_BROKERS.';
  const says = await java();
  if (says === undefined) return failed('java', 'it does not run, and a local Kafka needs it', mend);
  // "17.0.19" is Java 17; up to Java 8 it was "1.8.0_432".
  const major = Number(/"(\d+)/.exec(says)?.[1] ?? 0);
  return major >= JAVA_MIN ? ok('java', says) : failed('java', `${says} is older than ${JAVA_MIN}`, mend);
}

const VARIABLES = {
  kafka: 'KAFKA_BROKERS',
  clickhouse: 'CLICKHOUSE_URL',
  redis: 'REDIS_URL',
  s3: 'S3_ENDPOINT',
} as const;

function reachable(part: keyof typeof VARIABLES, address: string, answers: boolean): Finding {
  const shown = withoutPassword(address);
  if (answers) return ok(part, shown);
  return failed(
    part,
    `nothing answers at ${shown}`,
    `\`cairn up ${part}\` starts a local one; ${VARIABLES[part]} names one that runs elsewhere.`,
  );
}

async function checkTopics(kafka: Kafka, classes: readonly string[]): Promise<Finding> {
  const mend = 'The gateway creates topics of events and ingest the parked one, each at its start.';
  return orFailed('topics', mend, async () => {
    const names = [...classes.map(topicOf), PARKED_TOPIC];
    const missing: string[] = [];
    for (const name of names) if ((await kafka.partitionsOf(name)) === undefined) missing.push(name);
    if (missing.length === 0) return ok('topics', names.join(', '));
    return failed('topics', `missing: ${missing.join(', ')}`, mend);
  });
}

async function checkMigrations(trail: ClickHouse, directory: string): Promise<Finding> {
  return orFailed('tables', 'Run: cairn migrate', async () => {
    const pending = await pendingMigrations(trail, directory);
    if (pending.length > 0) {
      const names = pending.map(({ name }) => name).join(', ');
      return failed('tables', `not applied: ${names}`, 'Run: cairn migrate');
    }
    const [row] = await trail.query<{ rows: number }>('SELECT toFloat64(count()) AS rows FROM cairn.events');
    return ok('tables', `every migration is applied; cairn.events holds ${row?.rows ?? 0} events`);
  });
}

/** Records that wait are no trouble while they become fewer; the loader may be in the midst of them. */
async function checkLag(kafka: Kafka, trail: ClickHouse, patient: Patient): Promise<Finding> {
  const mend = 'Start ingest (services/ingest), or read its log and its /readyz.';
  return orFailed('ingest', mend, async () => {
    const before = await lagOf(kafka, trail, patient.classes);
    if (before.waiting === 0) return ok('ingest', 'nothing waits to be loaded');
    await sleep(patient.patienceMs ?? 3_000);
    const after = await lagOf(kafka, trail, patient.classes);
    if (after.waiting === 0) return ok('ingest', 'nothing waits to be loaded any more');
    if (after.loaded > before.loaded)
      return ok('ingest', `${after.waiting} records wait and are being loaded`);
    return failed('ingest', `${after.waiting} records wait and none is being loaded`, mend);
  });
}

async function lagOf(
  kafka: Kafka,
  trail: ClickHouse,
  classes: readonly string[],
): Promise<{ waiting: number; loaded: number }> {
  let [waiting, loaded] = [0, 0];
  for (const topic of classes.map(topicOf)) {
    const upTo = await readLoaded(trail, topic);
    for (const [partition, { first, end }] of await kafka.boundsOf(topic)) {
      const next = Math.max(first, upTo.get(partition) ?? 0);
      waiting += Math.max(0, end - next);
      loaded += next - first;
    }
  }
  return { waiting, loaded };
}

/** Two clocks apart put decisions and outcomes of several machines out of order. */
async function checkClock(trail: ClickHouse, { nowMs }: Patient): Promise<Finding> {
  const mend = 'Let both machines keep time: timedatectl set-ntp true';
  return orFailed('clock', mend, async () => {
    const asked = nowMs();
    const [row] = await trail.query<{ now: number }>(
      'SELECT toFloat64(toUnixTimestamp64Milli(now64(3))) AS now',
    );
    const answered = nowMs();
    const apartMs = Math.round((row?.now ?? 0) - (asked + answered) / 2);
    // The server read its clock somewhere between question and answer.
    const uncertainMs = Math.ceil((answered - asked) / 2);
    const says = `ClickHouse is ${Math.abs(apartMs)} ms ${apartMs < 0 ? 'behind' : 'ahead of'} this machine, ± ${uncertainMs} ms`;
    return Math.abs(apartMs) - uncertainMs <= CLOCK_MS_MAX ? ok('clock', says) : failed('clock', says, mend);
  });
}

function withoutPassword(address: string): string {
  return address.replace(/\/\/[^/@]*@/, '//');
}
