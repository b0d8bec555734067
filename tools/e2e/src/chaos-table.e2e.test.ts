import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyLedger } from '@cairn/ingest';
import type { ServiceProcess } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { type ChaosRig, startChaosRig, until } from './chaos-rig.ts';
import { type RollupDifference, rollupDifferences } from './oracle.ts';
import { openQuietRecorder, type QuietRecorder } from './quiet-recorder.ts';
import { drained, PARTITIONS, rowsOf, TOPIC } from './rig.ts';

const GATEWAY = 'gw-table';

/**
 * What was loaded and reported as loaded is gone again, on one side or the other. Each test has a partition of the topic
 * to itself; the last one has the topic.
 */
describe('when what was loaded is lost again', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-chaos-'));
  let rig: ChaosRig;
  let ingest: ServiceProcess;
  let recorder: QuietRecorder;

  beforeAll(async () => {
    rig = await startChaosRig(directory);
    ingest = await rig.startIngest('ingest-a');
    recorder = await openQuietRecorder(rig, GATEWAY);
  }, 180_000);
  afterAll(async () => {
    await recorder?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });

  const lostOf = async (recorded: readonly string[]): Promise<string[]> => {
    const rows = await rowsOf(rig.clickhouse);
    const held = new Set(
      rows.map((row) => `${row.org_id} ${row.gateway_id} ${row.epoch} ${row.seq} ${row.leaf}`),
    );
    return recorded.filter((line) => !held.has(line));
  };

  const findingsOf = (partition: number): Promise<unknown[]> =>
    rig.clickhouse.query(
      'SELECT finding, org_id FROM cairn.stream_findings WHERE partition = {partition:Int32}',
      {
        partition,
      },
    );

  /** Stops ingest and ClickHouse, takes the table's part with the last row that fits away, and starts both. */
  const loseLastPart = async (table: string, where: string): Promise<number> => {
    await ingest.stop();
    const [part] = await rig.clickhouse.query<{ path: string; rows: number }>(
      `SELECT path, toUInt32(rows) AS rows FROM system.parts
       WHERE database = 'cairn' AND table = {table:String} AND active
         AND name IN (SELECT _part FROM cairn.${table} WHERE ${where})
       ORDER BY max_block_number DESC LIMIT 1`,
      { table },
    );
    const clickhouse = rig.parts.part('clickhouse');
    await clickhouse.stop();
    rmSync(part?.path ?? '', { recursive: true });
    await clickhouse.start();
    await ingest.start();
    return part?.rows ?? 0;
  };

  /** Kills the broker, cuts the end of the partition's newest segment off, and starts it. */
  const cutLog = async (partition: number, keptShare: number): Promise<void> => {
    const broker = rig.parts.part('kafka');
    await broker.kill9();
    const folder = join(directory, 'kafka', 'log', `${TOPIC}-${partition}`);
    const newest = readdirSync(folder)
      .filter((name) => name.endsWith('.log'))
      .toSorted()
      .at(-1);
    const segment = join(folder, newest ?? '');
    truncateSync(segment, Math.floor(statSync(segment).size * keptShare));
    await broker.start();
  };

  const differencesOf = async (org: string): Promise<RollupDifference[]> =>
    (await rollupDifferences(rig.clickhouse)).filter(({ key }) => key.startsWith(`${org} `));

  /** What ingest has written to its log since `mark`. */
  const saidSince = (mark: number): string => readFileSync(ingest.logFile).subarray(mark).toString();
  const mark = (): number => statSync(ingest.logFile).size;

  /** True when ingest has said of the partition since then that it cannot load it. */
  const refuses = (partition: number, since: number): boolean =>
    saidSince(since)
      .split('\n')
      .some((line) => line.includes('is opened again') && line.includes(`"partition":${partition},`));

  /** Waits until each of the events is a row, or a finding or ingest's log says of its partition that it is not. */
  const loadedOrNamed = async (
    recorded: readonly string[],
    partition: number,
    since: number,
  ): Promise<void> => {
    await until(
      'loaded or named',
      async () => {
        if ((await lostOf(recorded)).length === 0) return true;
        return (await findingsOf(partition)).length > 0 || refuses(partition, since);
      },
      12_000,
    );
  };

  test('a table that lost its last part, although Kafka was told that it is loaded, is loaded again and doubles nothing', async () => {
    const partition = 0;
    const [org = ''] = recorder.orgsOf(partition).take(1);
    const recorded = await recorder.record(org, 40);
    await drained(rig);
    recorded.push(...(await recorder.record(org, 40)));
    await drained(rig);
    const before = await rowsOf(rig.clickhouse);
    expect(await loseLastPart('events', `partition = ${partition}`)).toBeGreaterThan(0);
    expect((await rowsOf(rig.clickhouse)).length).toBeLessThan(before.length);
    const ledger = await drained(rig);
    expect(ledger.filter(({ missing, doubled }) => missing !== 0 || doubled !== 0)).toEqual([]);
    expect(await lostOf(recorded)).toEqual([]);
    expect(await rowsOf(rig.clickhouse)).toEqual(before);
    expect(await findingsOf(partition)).toEqual([]);
  }, 120_000);

  test('a rollup is the sum of its base after that', async () => {
    const [org = ''] = recorder.orgsOf(0).take(1);
    expect(await differencesOf(org)).toEqual([]);
  });

  test('a table that lost its last part below a declared gap is loaded again', async () => {
    const partition = 1;
    const [org = ''] = recorder.orgsOf(partition).take(1);
    const recorded = await recorder.record(org, 40);
    await drained(rig);
    // A resent event: the last offset is a gap, and the lost part lies below it.
    await rig.kafka.log.append(TOPIC, partition, (recorder.frames.get(partition) ?? []).slice(-1));
    await drained(rig);
    await loseLastPart('events', `partition = ${partition}`);
    await until('it is loaded again', async () => (await lostOf(recorded)).length === 0, 5_000);
  }, 120_000);

  test('a broker that lost the end of its log is told: the table is ahead, and nothing is loaded past it', async () => {
    const partition = 2;
    const [org = ''] = recorder.orgsOf(partition).take(1);
    // Several batches, since the broker keeps only whole ones.
    for (let batch = 0; batch < 10; batch += 1) await recorder.record(org, 5);
    await drained(rig);
    const before = await rowsOf(rig.clickhouse);
    const since = mark();
    await cutLog(partition, 0.6);
    await until('ingest names it', () => saidSince(since).includes('but the log ends at'));
    expect(await rowsOf(rig.clickhouse)).toEqual(before);
  }, 120_000);

  test('ending the inserts of an earlier owner returns when they have ended', async () => {
    const slow = "INSERT INTO FUNCTION null('a UInt8') SELECT sleepEachRow(0.001) FROM numbers(100000)";
    const ended = rig.clickhouse
      .exec(slow, { log_comment: 'chaos|slow', max_block_size: 1_000 })
      .catch(() => 'ended');
    await sleep(1_000);
    const killed = rig.clickhouse.killQueries('chaos|').then(() => 'returned');
    expect(await ended).toBe('ended');
    expect(await Promise.race([killed, sleep(5_000, 'still waits')])).toBe('returned');
  }, 60_000);

  test('events that take the offsets of those a broker lost are loaded or named', async () => {
    const partition = 2;
    const [, another = ''] = recorder.orgsOf(partition).take(2);
    const recorded: string[] = [];
    const since = mark();
    for (let batch = 0; batch < 20; batch += 1) recorded.push(...(await recorder.record(another, 5)));
    await loadedOrNamed(recorded, partition, since);
  }, 120_000);

  test('records that expire before they are read are named, and not declared as if the log had held none', async () => {
    const partition = 1;
    const [org = ''] = recorder.orgsOf(partition).take(1);
    const { end: from = 0 } = (await rig.kafka.boundsOf(TOPIC)).get(partition) ?? {};
    const since = mark();
    const admin = new Kafka({
      brokers: [rig.parts.part('kafka').address],
      logLevel: logLevel.NOTHING,
    }).admin();
    await admin.connect();
    // kafkajs deletes only of topics that it has asked about.
    await admin.fetchTopicOffsets(TOPIC);
    // Shorter than the session: it goes on where it was, without opening the partition again.
    ingest.signal('SIGSTOP');
    const recorded: string[] = [];
    for (let batch = 0; batch < 10; batch += 1) recorded.push(...(await recorder.record(org, 5)));
    const { end = 0 } = (await rig.kafka.boundsOf(TOPIC)).get(partition) ?? {};
    await admin.deleteTopicRecords({ topic: TOPIC, partitions: [{ partition, offset: String(end - 10) }] });
    await admin.disconnect();
    ingest.signal('SIGCONT');
    await until('what is left is loaded', async () => (await lostOf(recorded.slice(-5))).length === 0);
    expect(refuses(partition, since) || saidSince(since).includes(`"start":${end - 10}`)).toBe(true);
    const gaps = await rig.clickhouse.query(
      'SELECT offset_first FROM cairn.ingest_gaps WHERE partition = {partition:Int32} AND offset_last >= {from:Int64}',
      { partition, from },
    );
    expect(gaps).toEqual([]);
    const states = await verifyLedger(rig.clickhouse, [TOPIC]);
    // A fetch that waited at the broker when ingest was stopped may have brought the first of them.
    const lost = await lostOf(recorded);
    expect(lost.length).toBeGreaterThan(0);
    expect(states.find((state) => state.partition === partition)?.missing).toBe(lost.length);
  }, 120_000);

  test('events of a topic that was created again are loaded or named', async () => {
    const partition = 3;
    const [one = '', another = ''] = recorder.orgsOf(partition).take(2);
    const before = await recorder.record(one, 30);
    // Of this partition alone: the one above is refused, and stays so.
    await until('they are loaded', async () => (await lostOf(before)).length === 0, 20_000);
    await ingest.stop();
    const brokers = [rig.parts.part('kafka').address];
    const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [TOPIC] });
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic: TOPIC, numPartitions: PARTITIONS }] });
    await admin.disconnect();
    const recorded = await recorder.record(another, 50);
    const since = mark();
    await ingest.start();
    await loadedOrNamed(recorded, partition, since);
  }, 120_000);
});
