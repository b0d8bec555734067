import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClickHouse, Kafka } from '@cairn/adapters';
import { readMigrations } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import { examine, type Patient } from './examine.ts';
import type { Finding } from './finding.ts';
import { listens } from './patient.ts';
import { fakeTrail } from './testing/fake-trail.ts';
import { cairn } from './testing/run-cairn.ts';

const migrationsDirectory = mkdtempSync(join(tmpdir(), 'cairn-doctor-'));
writeFileSync(join(migrationsDirectory, '0001_events.sql'), 'CREATE TABLE x;');
const migrations = await readMigrations(migrationsDirectory);

/** What is wrong with the patient; absent means nothing. */
interface Illness {
  readonly node?: string;
  readonly java?: string;
  readonly kafka?: 'away';
  readonly clickhouse?: 'away' | 'unmigrated' | 'refusing';
  readonly topics?: readonly string[];
  /** End of the one partition, and what the table has of it, reading by reading. */
  readonly end?: number;
  readonly loaded?: readonly number[];
  readonly clockMs?: number;
}

function patientWith(illness: Illness): Patient {
  const loaded = [...(illness.loaded ?? [10])];
  const kafka: Pick<Kafka, 'ping' | 'partitionsOf' | 'boundsOf' | typeof Symbol.asyncDispose> = {
    ping: async () => illness.kafka !== 'away',
    partitionsOf: async (topic) =>
      (illness.topics ?? ['audit.events.standard', 'audit.parked']).includes(topic) ? 1 : undefined,
    boundsOf: async () => new Map([[0, { first: 0, end: illness.end ?? 10 }]]),
    async [Symbol.asyncDispose]() {},
  };
  const trail: ClickHouse = {
    ...fakeTrail(),
    ping: async () => illness.clickhouse !== 'away',
    async query<Row>(sql: string) {
      if (illness.clickhouse === 'refusing') {
        throw new Failure({
          code: 'clickhouse.refused',
          retry: 'no',
          message: 'no rights',
          mend: 'Get them.',
        });
      }
      return rowsOf(sql) as Row[];
    },
  };
  const rowsOf = (sql: string): unknown[] => {
    if (sql.includes('system.tables')) return [{ found: illness.clickhouse === 'unmigrated' ? 0 : 1 }];
    if (sql.includes('cairn.migrations')) return migrations;
    if (sql.includes('count()')) return [{ rows: 10 }];
    if (sql.includes('cairn.ingest_gaps')) {
      return [{ partition: 0, next: (loaded.length > 1 ? loaded.shift() : loaded[0]) ?? 0 }];
    }
    if (sql.includes('now64')) return [{ now: 1_000_000 + (illness.clockMs ?? 0) }];
    return assert.fail(`the fake trail does not know this question: ${sql}`);
  };
  return {
    node: { running: illness.node ?? '26.1.0', pinned: '26.1.0' },
    java: async () => illness.java,
    addresses: { kafka: 'k:1', clickhouse: 'http://c:2', redis: 'redis://me:planted@r:3', s3: 'http://s:4' },
    listens: async () => true,
    openKafka: () => kafka as Kafka,
    openTrail: () => trail,
    classes: ['standard'],
    migrationsDirectory,
    nowMs: () => 1_000_000,
    patienceMs: 1,
  };
}

async function findingsOf(illness: Illness): Promise<Record<string, Finding>> {
  const findings: Record<string, Finding> = {};
  for await (const finding of examine(patientWith(illness))) findings[finding.check] = finding;
  return findings;
}

describe('the doctor', () => {
  test('finds nothing wrong when nothing is', async () => {
    const states = Object.values(await findingsOf({})).map(({ check, state }) => `${check} ${state}`);
    expect(states).toEqual([
      'node ok',
      'java skipped',
      'kafka ok',
      'clickhouse ok',
      'redis ok',
      's3 ok',
      'topics ok',
      'tables ok',
      'ingest ok',
      'clock ok',
    ]);
  });

  test.each<[string, Illness, string, RegExp, RegExp]>([
    ['another Node', { node: '18.0.0' }, 'node', /18\.0\.0.*26\.1\.0/, /npx cairn/],
    ['no Kafka', { kafka: 'away' }, 'kafka', /k:1/, /cairn up kafka.*KAFKA_BROKERS/],
    ['no Java for a local Kafka', { kafka: 'away' }, 'java', /does not run/, /apt-get install/],
    [
      'an old Java',
      { kafka: 'away', java: 'openjdk version "1.8.0_432"' },
      'java',
      /older than 17/,
      /apt-get/,
    ],
    ['no ClickHouse', { clickhouse: 'away' }, 'clickhouse', /c:2/, /cairn up clickhouse.*CLICKHOUSE_URL/],
    ['a missing topic', { topics: ['audit.parked'] }, 'topics', /audit\.events\.standard$/, /gateway/],
    ['no tables', { clickhouse: 'unmigrated' }, 'tables', /events/, /cairn migrate/],
    ['a refusal', { clickhouse: 'refusing' }, 'tables', /no rights/, /Get them/],
    ['nobody loads', { end: 25, loaded: [10] }, 'ingest', /15 records wait/, /Start ingest/],
    ['a clock ahead', { clockMs: 90_000 }, 'clock', /90000 ms ahead/, /set-ntp/],
    ['a clock behind', { clockMs: -90_000 }, 'clock', /90000 ms behind/, /set-ntp/],
  ])('%s is found, with what to do', async (_, illness, check, says, mend) => {
    const finding = (await findingsOf(illness))[check];
    expect(finding).toMatchObject({ state: 'failed', says: expect.stringMatching(says) });
    expect(finding?.mend).toMatch(mend);
  });

  test('a loader that is behind and moves is well', async () => {
    expect((await findingsOf({ end: 25, loaded: [10, 20] }))['ingest']).toMatchObject({ state: 'ok' });
    expect((await findingsOf({ end: 25, loaded: [10, 25] }))['ingest']).toMatchObject({ state: 'ok' });
  });

  test('what cannot be told is skipped and not called well', async () => {
    const findings = await findingsOf({ kafka: 'away', clickhouse: 'away' });
    for (const check of ['topics', 'tables', 'ingest', 'clock']) {
      expect(findings[check]).toMatchObject({ state: 'skipped' });
    }
  });

  test('no password of an address is shown', async () => {
    expect(JSON.stringify(await findingsOf({}))).not.toContain('planted');
  });

  test('the exit code says whether a check failed, and every failed check shows its mend', async () => {
    expect(await cairn(['doctor'], { parts: { patient: patientWith({}) } })).toMatchObject({ code: 0 });
    const said = await cairn(['doctor'], { parts: { patient: patientWith({ clickhouse: 'away' }) } });
    expect(said.code).toBe(1);
    expect(said.stdout).toMatch(/failed\s+clickhouse.*\n\s+`cairn up clickhouse`/);
    expect(said.stderr).toBe('One check failed.\n');
  });

  test('--json is one finding a line', async () => {
    const said = await cairn(['doctor', '--json'], { parts: { patient: patientWith({ kafka: 'away' }) } });
    const findings = said.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Finding);
    expect(findings).toHaveLength(10);
    expect(findings.filter(({ state }) => state === 'failed').map(({ check }) => check)).toEqual([
      'java',
      'kafka',
    ]);
  });
});

describe('whether something listens', () => {
  test('is told of URLs, pairs and lists, and of nothing that cannot be an address', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    for (const address of [
      `127.0.0.1:${port}`,
      `redis://u:p@127.0.0.1:${port}/1`,
      `127.0.0.1:${port},other:1`,
    ]) {
      expect(await listens(address)).toBe(true);
    }
    await new Promise((resolve) => server.close(resolve));
    expect(await listens(`127.0.0.1:${port}`)).toBe(false);
    expect(await listens('not an address')).toBe(false);
    expect(await listens('')).toBe(false);
  });
});
