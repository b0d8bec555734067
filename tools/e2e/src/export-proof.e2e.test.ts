// The whole road of a row: recorded, loaded, archived, exported by the API, and proven by an auditor out of the bucket alone.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { createKey } from '@cairn/access';
import { partitionOf } from '@cairn/event';
import { freePort, REPOSITORY, S3_ACCESS_KEY, S3_SECRET_KEY, startServiceProcess } from '@cairn/local';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventsWithLeaf, ROW_SETTINGS } from '../../../packages/query/src/index.ts';
import { type ArchiveRig, startArchiveRig } from './archive-rig.ts';
import { PARTITIONS, TOPIC } from './rig.ts';

const BUCKET = 'exported';
const PARTITION = partitionOf('acme', 'gw-archive', PARTITIONS);
let rig: ArchiveRig;
let env: Record<string, string | undefined>;
const own = new AsyncDisposableStack();

beforeAll(async () => {
  rig = own.use(await startArchiveRig({ bucket: BUCKET }));
  own.use(await rig.openArchival());
  const [port, healthPort] = [await freePort(), await freePort()];
  own.use(
    await startServiceProcess({
      name: 'query',
      healthPort,
      logDirectory: join(rig.directory, 'log'),
      env: {
        ...rig.parts.env(),
        CAIRN_DEPLOYMENT: 'e2e',
        CAIRN_QUERY_PORT: String(port),
        CAIRN_QUERY_HEALTH_PORT: String(healthPort),
        CAIRN_QUERY_DATA_DIRECTORY: join(rig.directory, 'query'),
        S3_BUCKET: BUCKET,
        S3_ACCESS_KEY,
        S3_SECRET_KEY,
      },
    }),
  );
  const { text } = await createKey(
    rig.clickhouse,
    { orgId: 'acme', role: 'auditor', name: 'audit', createdBy: 'test', days: 1 },
    Date.now(),
  );
  env = {
    PATH: process.env['PATH'],
    CLICKHOUSE_URL: rig.parts.part('clickhouse').address,
    CAIRN_API_URL: `http://127.0.0.1:${port}`,
    CAIRN_API_KEY: text,
    S3_ENDPOINT: rig.parts.part('s3').address,
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
  };
}, 120_000);
afterAll(() => own.disposeAsync(), 60_000);

function cairn(...args: readonly string[]) {
  const main = join(REPOSITORY, 'packages', 'cli', 'src', 'main.ts');
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env });
}

test('a row that was exported is the leaf that it says it is, under a signed root, and an altered one is named', async () => {
  await rig.record('acme', 150);
  await rig.archived();
  // What is no event is no leaf: behind it, leaves are no longer where offsets are.
  await rig.kafka.log.append(TOPIC, PARTITION, [Buffer.from('no event'), Buffer.from('nor this')]);
  await rig.record('acme', 150);
  await rig.archived();
  const placed = async () => {
    const [row] = await rig.clickhouse.query<{ unplaced: number }>(
      `SELECT toUInt32(count()) AS unplaced FROM cairn.events WHERE org_id = 'acme' AND offset > (
         SELECT max(offset_last) FROM cairn.leaf_runs WHERE topic = events.topic AND partition = events.partition)`,
    );
    return row?.unplaced === 0;
  };
  for (let wait = 0; wait < 100 && !(await placed()); wait += 1) await sleep(100);
  const keys = await rig.stateKeys();
  env['CAIRN_ROOT_KEY'] = keys.root.key.vkey;

  const file = join(rig.directory, 'events.ndjson');
  const exported = cairn('export', 'ndjson', file, '--search', 'kind:tool_call');
  expect([exported.status, exported.stderr]).toEqual([0, expect.any(String)]);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines).toHaveLength(300);
  const rows = lines.map((line) => JSON.parse(line) as { offset: number; leaf_index: number | null });
  expect(rows.every((row) => Number.isSafeInteger(row.leaf_index))).toBe(true);
  const shifts = rows.map((row) => row.offset - row.leaf_index!);
  expect([Math.min(...shifts), Math.max(...shifts)]).toEqual([0, 2]);

  const proven = cairn('proof', '--rows', file, '--from', `s3://${BUCKET}`, '--json');
  expect([proven.status, proven.stderr]).toEqual([0, '']);
  const counted = { rows: 300, proven: 300, wrong: 0, unarchived: 0, deleted: 0 };
  expect(JSON.parse(proven.stdout)).toEqual(counted);

  for (const form of ['json', 'csv', 'parquet']) {
    const other = join(rig.directory, `events.${form}`);
    expect(cairn('export', form, other, '--search', 'kind:tool_call').status).toBe(0);
    const its = cairn('proof', '--rows', other, '--from', `s3://${BUCKET}`, '--json');
    expect([its.status, JSON.parse(its.stdout)]).toEqual([0, counted]);
  }

  writeFileSync(
    file,
    [...lines.slice(0, 99), lines[99]!.replace('"tool-', '"t00l-'), ...lines.slice(100)].join('\n'),
  );
  const altered = cairn('proof', '--rows', file, '--from', `s3://${BUCKET}`);
  expect(altered.status).toBe(1);
  expect(altered.stdout).toContain('line 100: its tool_name is not that of leaf');
  expect(altered.stdout).toContain('299 are leaves under signed roots, 1 are not what the archive holds');

  // The same of a Parquet file.
  const { sql, parameters } = eventsWithLeaf({
    over: 'hot',
    filters: { org_id: ['acme'], kind: ['tool_call'] },
    order: 'oldest',
    limit: 1_000,
  });
  const forged = `SELECT * REPLACE (if(rowNumberInAllBlocks() = 99, 't00l', tool_name) AS tool_name) FROM (${sql})`;
  writeFileSync(file, await buffer(await rig.clickhouse.stream(forged, 'Parquet', ROW_SETTINGS, parameters)));
  const its = cairn('proof', '--rows', file, '--from', `s3://${BUCKET}`);
  expect([its.status, its.stderr]).toEqual([1, '']);
  expect(its.stdout).toContain('row 100: its tool_name is not that of leaf');
  expect(its.stdout).toContain('299 are leaves under signed roots, 1 are not what the archive holds');
}, 120_000);

test('a session is the same over the API as out of ClickHouse, and says what is signed', async () => {
  const id = 'a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5';
  const call = { org_id: 'acme', kind: 'tool_call', phase: 'single', session_id: id } as const;
  await rig.record('acme', 5, call);
  await rig.archived();
  const over = (...args: string[]) => JSON.parse(cairn('session', id, '--json', ...args).stdout);
  const [here, api] = [over(), over('--api')] as { steps: { signed?: boolean }[] }[];
  expect(here!.steps).toHaveLength(5);
  expect(api).toMatchObject(here!);
  expect(api!.steps.map(({ signed }) => typeof signed)).toEqual(Array(5).fill('boolean'));
  expect(cairn('session', id, '--api').stdout).toContain('tool-4');
}, 60_000);
