// deploy/clickhouse-access/analysts.sql, as far as the embedded engine goes: it parses every statement, and it applies the profile and
// the row policy from a users file. It has one user and no SQL-driven access control, so the grants are parsed and not applied, and
// the name of the user stands in the policy in the place of currentUser().
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { REPOSITORY, startParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SQL_SETTINGS } from './run-sql.ts';

const text = readFileSync(join(REPOSITORY, 'deploy', 'clickhouse-access', 'analysts.sql'), 'utf8');
const statements = text
  .replaceAll(/^--.*$/gm, '')
  .split(';')
  .map((statement) => statement.trim())
  .filter((statement) => statement !== '');
const policy = /USING ([\s\S]*?)\s+TO cairn_analyst/.exec(text)![1]!.replaceAll(/\s+/g, ' ');

/** What a profile says, as a users file says it. */
function profileOf(name: string): string {
  const settings = new RegExp(`PROFILE IF NOT EXISTS ${name} SETTINGS([^;]*);`).exec(text)![1]!;
  const parsed = [...settings.matchAll(/(\w+) = (\d+)(?: MIN (\d+) MAX (\d+))?/g)];
  const values = parsed.map(([, setting, value]) => `<${setting}>${value}</${setting}>`).join('');
  const bounds = parsed
    .filter(([, , , min]) => min !== undefined)
    .map(([, setting, , min, max]) => `<${setting}><min>${min}</min><max>${max}</max></${setting}>`)
    .join('');
  return `${values}<constraints>${bounds}</constraints>`;
}

/** An engine whose only user is one of those, over a table that another engine without policies has filled. */
async function engineOf(own: AsyncDisposableStack, user: string, profile: string): Promise<ClickHouse> {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-users-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true }));
  {
    await using parts = await startParts({ directory, parts: ['clickhouse'], ports: 'any' });
    await using filling = openClickHouse({ url: parts.part('clickhouse').address });
    await migrate(filling, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    const rows = ['acme', 'globex', 'default', ''].flatMap((org_id, at) => [
      { ...ROW, org_id, offset: at, task: `canary-${org_id}` },
      { ...ROW, org_id, offset: at + 10, task: `canary-${org_id}` },
    ]);
    await filling.insertRows('cairn.events', rows);
  }
  const data = join(directory, 'clickhouse');
  mkdirSync(data, { recursive: true });
  const escaped = policy
    .replaceAll('currentUser()', `'${user}'`)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;');
  const filters = `<databases><cairn><events><filter>${escaped}</filter></events></cairn></databases>`;
  writeFileSync(
    join(data, 'users.xml'),
    `<clickhouse><profiles><default>${profileOf(profile)}</default></profiles><quotas><default/></quotas>
     <users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>${filters}</default></users></clickhouse>`,
  );
  writeFileSync(
    join(data, 'config.xml'),
    `<clickhouse><user_directories><users_xml><path>${join(data, 'users.xml')}</path></users_xml></user_directories></clickhouse>`,
  );
  const parts = own.use(await startParts({ directory, parts: ['clickhouse'], ports: 'any' }));
  return own.use(openClickHouse({ url: parts.part('clickhouse').address }));
}

const ROW = {
  topic: 'audit.events.standard',
  partition: 0,
  received_at: '2026-11-20 00:00:00.000',
  kind: 'tool_call',
  timestamp: '2026-11-20 00:00:00',
  event_id_random: 'abcdefghij',
};

const orgs = async (engine: ClickHouse, sql: string, settings = {}): Promise<string[]> =>
  (await engine.query<{ org: string }>(sql, {}, settings)).map(({ org }) => org);
const ALL = 'SELECT DISTINCT toString(org_id) AS org FROM cairn.events ORDER BY org';

describe('a user of one organisation', () => {
  const own = new AsyncDisposableStack();
  let engine: ClickHouse;
  beforeAll(async () => {
    engine = await engineOf(own, 'cairn_org_acme', 'cairn_dashboard');
  }, 120_000);
  afterAll(() => own.disposeAsync());

  test('every statement of the file is one that ClickHouse understands', async () => {
    expect(statements.length).toBeGreaterThan(8);
    for (const statement of statements) await engine.query(`EXPLAIN AST ${statement}`);
    // Each setting of a profile is one, and each column and table of a grant is there.
    const named = [...text.matchAll(/^ {4}(\w+) = /gm)].map(([, name]) => name!);
    const known = await engine.query<{ name: string }>('SELECT name FROM system.settings');
    expect(named.filter((name) => !known.some((one) => one.name === name))).toEqual([]);
    const tables = [...text.matchAll(/ON cairn\.(\w+) (?:TO|FROM)/g)].map(([, name]) => name!);
    const there = await engine.query<{ name: string }>(
      `SELECT name FROM system.tables WHERE database = 'cairn'`,
    );
    expect(tables.filter((name) => !there.some((one) => one.name === name))).toEqual([]);
  });

  test.each([
    ['plainly', ALL],
    [
      'by naming another organisation',
      `SELECT toString(org_id) AS org FROM cairn.events WHERE org_id = 'globex' OR 1 GROUP BY org`,
    ],
    ['through merge()', `SELECT DISTINCT toString(org_id) AS org FROM merge('cairn', '^events$')`],
    ['in a subquery', `SELECT toString(o) AS org FROM (SELECT DISTINCT org_id AS o FROM cairn.events)`],
    [
      'by a condition that is evaluated first',
      `SELECT DISTINCT toString(org_id) AS org FROM cairn.events PREWHERE throwIf(org_id = 'globex') = 0`,
    ],
    [
      'by a filter of their own',
      `SELECT DISTINCT toString(org_id) AS org FROM cairn.events SETTINGS additional_table_filters = {'cairn.events': '1'}`,
    ],
    [
      'under another mark',
      `SELECT DISTINCT toString(org_id) AS org FROM cairn.events SETTINGS log_comment = 'globex'`,
    ],
  ])('sees the rows of it and of no other, asked %s', async (_how, sql) => {
    expect(await orgs(engine, sql)).toEqual(['acme']);
  });

  test('counts and views are over those rows alone', async () => {
    expect(await engine.query('SELECT toUInt32(count()) AS n FROM cairn.events')).toEqual([{ n: 2 }]);
    expect(
      await orgs(engine, 'SELECT DISTINCT toString(org_id) AS org FROM cairn.agents_by_hour'),
    ).not.toContain('globex');
  });

  test('writes nothing, and may set what a dashboard needs but no more than the profile says', async () => {
    await expect(engine.exec(`INSERT INTO cairn.saved_searches (org_id) VALUES ('x')`)).rejects.toThrow(
      /READONLY/,
    );
    await expect(engine.exec('DROP TABLE cairn.events')).rejects.toThrow(/READONLY/);
    expect(await orgs(engine, `${ALL} SETTINGS max_execution_time = 60, max_block_size = 1000`)).toEqual([
      'acme',
    ]);
    for (const setting of [
      'max_execution_time = 61',
      'max_execution_time = 0',
      'max_memory_usage = 0',
      'readonly = 0',
    ])
      await expect(engine.query(`${ALL} SETTINGS ${setting}`)).rejects.toThrow(
        /READONLY|SETTING_CONSTRAINT_VIOLATION/,
      );
  });
});

describe('the analyst user of the query API', () => {
  const own = new AsyncDisposableStack();
  let engine: ClickHouse;
  beforeAll(async () => {
    engine = await engineOf(own, 'cairn_api', 'cairn_api');
  }, 120_000);
  afterAll(() => own.disposeAsync());

  test('sees the organisation whose mark stands on the statement, with the settings that the API sends, and without a mark nothing', async () => {
    const settings = { ...SQL_SETTINGS, log_comment: 'globex', readonly: 1 };
    expect(await orgs(engine, ALL, settings)).toEqual(['globex']);
    expect(await orgs(engine, ALL, { ...SQL_SETTINGS, readonly: 1 })).toEqual([]);
    // Behind readonly = 1 nothing is set, the mark neither.
    await expect(orgs(engine, `${ALL} SETTINGS log_comment = 'acme'`, settings)).rejects.toThrow(/READONLY/);
  });
});

describe('a user with the role and another name', () => {
  test('sees no row', async () => {
    await using own = new AsyncDisposableStack();
    const engine = await engineOf(own, 'somebody_else', 'cairn_dashboard');
    expect(await orgs(engine, ALL, { log_comment: 'acme' })).toEqual([]);
  }, 120_000);
});
