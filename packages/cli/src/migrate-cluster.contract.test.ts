import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { type Parts, REPOSITORY, startParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

/**
 * A cluster of two shards, both of which are this one server: what is handed to a shard lands in the same tables, and
 * what is asked of both is answered twice. Without a Keeper a server neither runs ON CLUSTER nor makes replicated tables;
 * those words are parsed and then left out.
 */
const CLUSTER = 'audit';
const SHARD = '<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>';
const CONFIG = `<clickhouse><tcp_port>9000</tcp_port><remote_servers>
  <${CLUSTER}>${SHARD}${SHARD}</${CLUSTER}></remote_servers></clickhouse>`;
const migrations = join(REPOSITORY, 'deploy', 'clickhouse');

let directory: string;
let parts: Parts;
let clickhouse: ClickHouse;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-cluster-'));
  mkdirSync(join(directory, 'clickhouse'));
  writeFileSync(join(directory, 'clickhouse', 'config.xml'), CONFIG);
  parts = await startParts({ directory, parts: ['clickhouse'], ports: 'any' });
  clickhouse = openClickHouse({ url: parts.part('clickhouse').address });
}, 120_000);
afterAll(async () => {
  await clickhouse?.[Symbol.asyncDispose]();
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const number = async (sql: string): Promise<number> =>
  Number(
    (await clickhouse.query<{ number: number }>(`SELECT toFloat64(number) AS number FROM (${sql})`))[0]
      ?.number,
  );

const distributedTables = (): Promise<number> =>
  number(`SELECT count() AS number FROM system.tables WHERE database = 'cairn' AND engine = 'Distributed'`);

const PARTITIONS = 6;
const EVENTS = 600;

describe('migrations', () => {
  test('leave a single server without tables of a cluster', async () => {
    await migrate(clickhouse, { directory: migrations });
    expect(await distributedTables()).toBe(0);
    await clickhouse.exec('DROP DATABASE cairn SYNC');
  });

  test('are understood by ClickHouse on a cluster, ON CLUSTER and replicated tables included', async () => {
    const sent: string[] = [];
    const onOneServer: ClickHouse = {
      ...clickhouse,
      async exec(sql) {
        sent.push(sql);
        await clickhouse.exec(`EXPLAIN AST ${sql}`);
        await clickhouse.exec(sql.replaceAll(`ON CLUSTER '${CLUSTER}'`, '').replaceAll('= Replicated', '= '));
      },
    };
    await migrate(onOneServer, { directory: migrations, cluster: CLUSTER });
    expect(sent.filter((sql) => !sql.includes(`ON CLUSTER '${CLUSTER}'`))).toEqual([]);
    expect(sent.filter((sql) => /ENGINE = \w*MergeTree/.test(sql) && !sql.includes('= Replicated'))).toEqual(
      [],
    );
    expect(await distributedTables()).toBe(4);
  });

  test('make tables that hand a row to one shard alone', async () => {
    await clickhouse.exec(
      `INSERT INTO cairn.events_all (topic, partition, offset, org_id, kind, phase, timestamp, received_at, latency_ms)
       SELECT 't', number % ${PARTITIONS}, intDiv(number, ${PARTITIONS}), 'acme', 'tool_call', 'outcome',
              '2026-11-25 10:00:00', '2026-11-25 10:00:00', 5 FROM numbers(${EVENTS})`,
      { distributed_foreground_insert: 1 },
    );
    expect(await number('SELECT count() AS number FROM cairn.events')).toBe(EVENTS);
    expect(await number('SELECT uniqExact(_shard_num) AS number FROM cairn.events_all')).toBe(2);
  });

  test('make tables that ask one shard alone for a partition, and all for everything', async () => {
    const pruned = 'SETTINGS optimize_skip_unused_shards = 1, force_optimize_skip_unused_shards = 1';
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const here = `FROM cairn.events_all WHERE topic = 't' AND partition = ${partition}`;
      expect(await number(`SELECT count() AS number ${here} ${pruned}`)).toBe(EVENTS / PARTITIONS);
      expect(await number(`SELECT max(_shard_num) AS number ${here} ${pruned}`)).toBe((partition % 2) + 1);
    }
    expect(await number('SELECT count() AS number FROM cairn.events_all')).toBe(2 * EVENTS);
  });

  test.each(['tools_by_hour', 'agents_by_hour'])(
    'make %s one sum over all shards, from projections',
    async (view) => {
      expect(await number(`SELECT count() AS number FROM cairn.${view}`)).toBe(1);
      expect(await number(`SELECT sum(calls) AS number FROM cairn.${view}`)).toBe(2 * EVENTS);
      const plan = await clickhouse.query<{ explain: string }>(
        `EXPLAIN SELECT sum(calls) FROM cairn.${view}`,
      );
      expect(plan.map(({ explain }) => explain).join('\n')).toContain('calls_by_hour');
    },
  );
});
