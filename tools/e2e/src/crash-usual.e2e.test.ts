import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceProcess } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { type ChaosRig, startChaosRig, until } from './chaos-rig.ts';
import { dieAt, killAndTakeAway, passes, ROWS } from './failpoint.ts';
import { judge, NO_FAULTS } from './oracle.ts';
import { openQuietRecorder, type QuietRecorder } from './quiet-recorder.ts';
import { TOPIC } from './rig.ts';

/*
 * The oracle is worth something when it can find something. In the place of ingest runs the service that most teams would
 * write, which commits its offset after each insert; it meets two rows of the crash table that ingest survives in
 * crash-table.e2e.test.ts. The same at random: node tools/e2e/src/chaos.ts --peer usual --kills 60
 */
describe('the oracle catches what the usual service does', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-crash-'));
  let rig: ChaosRig;
  let recorder: QuietRecorder;
  let usual: ServiceProcess;
  let orgs: Generator<string>;

  beforeAll(async () => {
    rig = await startChaosRig(directory);
    recorder = await openQuietRecorder(rig, 'gw-usual');
    orgs = recorder.orgsOf(0);
    usual = await rig.startUsual('usual');
  }, 180_000);
  afterAll(async () => {
    await recorder?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });

  const countOf = async (org: string): Promise<number> => {
    const [row] = await rig.clickhouse.query<{ count: number }>(
      'SELECT toUInt32(count()) AS count FROM cairn.events WHERE org_id = {org:String}',
      { org },
    );
    return row?.count ?? 0;
  };
  const judged = async () => (await judge(rig, recorder.recorded, 10_000, 'place')).faults;

  test('no offset lost or doubled, as long as nothing fails', async () => {
    await recorder.record(orgs.next().value as string, 40);
    // A gateway that hears nothing for long sends again, here as anywhere, and this service knows no duplicate.
    expect({ ...(await judged()), doubled: [], streams: [] }).toEqual(NO_FAULTS);
  }, 60_000);

  test('losing what Kafka was told is loaded, when ClickHouse comes back without its last part', async () => {
    const org = orgs.next().value as string;
    const lost = await recorder.record(org, 40);
    await until('it is loaded', async () => (await countOf(org)) >= 40);
    const admin = new Kafka({
      brokers: [rig.parts.part('kafka').address],
      logLevel: logLevel.NOTHING,
    }).admin();
    await admin.connect();
    const { end } = (await rig.kafka.boundsOf(TOPIC)).get(0) ?? {};
    await until('Kafka is told', async () => {
      const [topic] = await admin.fetchOffsets({ groupId: 'usual', topics: [TOPIC] });
      return topic?.partitions.find(({ partition }) => partition === 0)?.offset === String(end);
    });
    await admin.disconnect();
    await killAndTakeAway(rig, org, 'part');
    const next = orgs.next().value as string;
    await recorder.record(next, 10);
    await until('it goes on', async () => (await countOf(next)) >= 10);
    const { lost: found } = await judged();
    const place = (line: string): string => line.split(' ').slice(0, 4).join(' ');
    expect(found.map(place).filter((line) => lost.map(place).includes(line)).length).toBeGreaterThan(0);
  }, 120_000);

  test('doubling what it inserted, when it dies before it hears that it has', async () => {
    const org = orgs.next().value as string;
    const dead = dieAt(rig, usual, ROWS, 'after');
    await recorder.record(org, 40);
    await dead;
    expect(await countOf(org)).toBeGreaterThanOrEqual(40);
    rig.tableProxy.decide = () => passes;
    // With more behind it, it is another block, and ClickHouse's own check of equal blocks does not see it.
    await recorder.record(org, 10);
    await usual.start();
    await until('it goes on', async () => (await countOf(org)) > 80);
    const { doubled, ledger } = await judged();
    expect(doubled.length).toBeGreaterThan(0);
    expect(ledger.length).toBeGreaterThan(0);
  }, 120_000);
});
