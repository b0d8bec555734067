import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hexOf } from '@cairn/event';
import { openRecorder, type Recorder } from '@cairn/recorder';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { brokenStreams, drained, PARTITIONS, type Rig, rowsOf, startRig, TOPIC } from './rig.ts';

const KILLS = 20;

/** Records events without pause until it is stopped, and remembers every one that was acknowledged. */
function load(recorder: Recorder): { stop(): Promise<Map<string, string>> } {
  const acknowledged = new Map<string, string>();
  let going = true;
  const lane = async (org_id: string): Promise<void> => {
    for (let call = 0; going; call += 1) {
      const recorded = await recorder.record({
        org_id,
        kind: 'tool_call',
        phase: 'single',
        tool_name: `tool-${call % 7}`,
        latency_ms: call % 100,
      });
      acknowledged.set(`${org_id} ${recorded.epoch} ${recorded.seq}`, hexOf(recorded.leafHash));
      if (call % 4 === 0) await sleep(1);
    }
  };
  const lanes = ['acme', 'borealis', 'cobalt', 'dune'].map(lane);
  return {
    async stop() {
      going = false;
      await Promise.all(lanes);
      return acknowledged;
    },
  };
}

describe(`kill -9, ${KILLS} times each, under load`, () => {
  let rig: Rig;
  let recorder: Recorder;
  beforeAll(async () => {
    rig = await startRig();
    recorder = await openRecorder({
      directory: join(rig.directory, 'recorder'),
      deployment: 'e2e',
      gatewayId: 'gw-kill',
      gatewayVersion: '0',
      environment: 'test',
      capture: 'gateway',
      log: rig.kafka.log,
      topicOf: () => TOPIC,
      partitions: PARTITIONS,
    });
  }, 180_000);
  afterAll(async () => {
    await recorder?.close();
    await rig?.[Symbol.asyncDispose]();
  });

  /** Everything acknowledged is one row, nothing is there twice, and every hole is declared. */
  const holds = async (acknowledged: ReadonlyMap<string, string>): Promise<void> => {
    expect(await recorder.flush(60_000)).toBe(true);
    const ledger = await drained(rig);
    expect(ledger.filter(({ missing, doubled }) => missing !== 0 || doubled !== 0)).toEqual([]);
    const rows = await rowsOf(rig.clickhouse);
    const held = new Map(rows.map((row) => [`${row.org_id} ${row.epoch} ${row.seq}`, row.leaf]));
    expect(held.size).toBe(rows.length);
    const lost = [...acknowledged].filter(([place, leaf]) => held.get(place) !== leaf);
    expect(lost).toEqual([]);
    expect(brokenStreams(rows)).toEqual([]);
    const findings = await rig.clickhouse.query(
      'SELECT finding, org_id, epoch, seq FROM cairn.stream_findings',
    );
    expect(findings).toEqual([]);
    expect(acknowledged.size).toBeGreaterThan(KILLS * 100);
  };

  test('of ingest: nothing lost, nothing doubled, no hole unexplained', async () => {
    const running = load(recorder);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await sleep(500 + Math.random() * 2_500);
      await rig.ingest.kill9();
      await rig.ingest.start();
    }
    await holds(await running.stop());
  }, 420_000);

  test('of ClickHouse: nothing lost, nothing doubled, no hole unexplained', async () => {
    const clickhouse = rig.parts.part('clickhouse');
    const running = load(recorder);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await sleep(300 + Math.random() * 1_500);
      await clickhouse.kill9();
      await clickhouse.start();
    }
    await holds(await running.stop());
  }, 420_000);
});
