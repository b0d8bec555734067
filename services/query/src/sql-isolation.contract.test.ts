// Analysts' SQL against events of others, on the real engine. What an analyst gets, a result or an error, must be the same
// whether the events of other organisations are there or not: then nothing of them is in it, in whatever form.
//
// CI asks some of them; CAIRN_SQL_STATEMENTS=10000 asks as many, CAIRN_SQL_SEED=6 others.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { REPOSITORY, startParts } from '@cairn/local';
import { SqlMistake, writeStatement } from '@cairn/sql';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { statements } from '../test/statements.ts';
import { analystTables, ORG_PARAMETER } from './analyst-tables.ts';
import { SQL_SETTINGS, sqlRefusal } from './run-sql.ts';

const STATEMENTS = Number(process.env['CAIRN_SQL_STATEMENTS'] ?? 150);
const SEED = Number(process.env['CAIRN_SQL_SEED'] ?? 5);
const own = new AsyncDisposableStack();
let clickhouse: ClickHouse;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-isolation-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true }));
  const parts = own.use(await startParts({ directory, parts: ['clickhouse'], ports: 'any' }));
  clickhouse = own.use(openClickHouse({ url: parts.part('clickhouse').address }));
  await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
  await clickhouse.exec('CREATE TABLE cairn.alone AS cairn.events');
  await clickhouse.insertRows('cairn.alone', rowsOf('org-own', 0, 120));
  await clickhouse.insertRows('cairn.events', rowsOf('org-own', 0, 120));
  // The same hours and agents, so that they lie in the same granules.
  await clickhouse.insertRows('cairn.events', rowsOf('org-foreign', 1_000, 400));
  await clickhouse.exec('OPTIMIZE TABLE cairn.events FINAL');
}, 90_000);
afterAll(() => own.disposeAsync());

function rowsOf(org: string, from: number, count: number): object[] {
  const isForeign = org === 'org-foreign';
  return Array.from({ length: count }, (_, at) => ({
    topic: 'audit.events.standard',
    partition: at % 3,
    offset: from + at,
    received_at: '2026-11-20 00:00:01.000',
    timestamp: `2026-11-20 00:0${at % 10}:00.000000`,
    event_id_random: String(from + at).padStart(10, isForeign ? 'f' : 'o'),
    org_id: org,
    agent_id: isForeign ? `CANARY-${at}` : `agent-${at % 5}`,
    tool_name: isForeign ? 'CANARY_tool' : `tool-${at % 4}`,
    // Texts on which functions fail that are not on the list.
    task: isForeign
      ? ['CANARY', '99999999999999999999', '2026-99-99', '(', '\\', '0'][at % 6]
      : ['a task', '12', '2026-11-20', ''][at % 4],
    detail: isForeign ? 'CANARY{' : '{}',
    error_message: isForeign ? 'CANARY failed' : '',
    kind: 'tool_call',
    phase: at % 2 === 0 ? 'outcome' : 'decision',
    decision: at % 7 === 0 ? 'deny' : 'allow',
    data_classes: isForeign ? ['CANARY'] : at % 3 === 0 ? ['phi'] : [],
    latency_ms: isForeign ? 0 : at % 2 === 0 ? at : null,
    step: at % 4,
    seq: from + at,
    gateway_id: isForeign ? 'gw-CANARY' : 'gw',
  }));
}

/** What an analyst of org-own is answered, word for word. */
async function answered(statement: string, table: string): Promise<string> {
  const settings = { ...SQL_SETTINGS, log_comment: 'org-own', readonly: 1 };
  try {
    const sql = writeStatement(statement, analystTables(table));
    const stream = await clickhouse.stream(sql, 'JSONCompact', settings, { [ORG_PARAMETER]: 'org-own' });
    const { data } = JSON.parse((await buffer(stream)).toString());
    return JSON.stringify(data);
  } catch (error) {
    if (error instanceof SqlMistake) return error.message;
    const refusal = sqlRefusal(error);
    return String(refusal instanceof Error ? refusal.message : refusal).replaceAll(
      'cairn.alone',
      'cairn.events',
    );
  }
}

test('an answer is the same with and without events of others, whatever is asked', async () => {
  let rows = 0;
  await fc.assert(
    fc.asyncProperty(statements, async (statement) => {
      const beside = await answered(statement, 'cairn.events');
      expect(beside).toBe(await answered(statement, 'cairn.alone'));
      expect(beside).not.toMatch(/gw-CANARY|CANARY-\d|CANARY_tool/);
      if (beside.startsWith('[[')) rows += 1;
    }),
    { numRuns: STATEMENTS, seed: SEED },
  );
  // Most are answered, and not refused.
  expect(rows).toBeGreaterThan(STATEMENTS / 3);
}, 3_600_000);

test('nothing of others comes with what goes around the rules, and EXPLAIN is not run', async () => {
  const file = join(REPOSITORY, 'packages', 'sql', 'test', 'bypasses.json');
  for (const { sql } of JSON.parse(readFileSync(file, 'utf8')) as { sql: string }[]) {
    const said = await answered(sql, 'cairn.events');
    expect(said).not.toMatch(/gw-CANARY|CANARY-\d|CANARY_tool/);
    if (/^EXPLAIN/i.test(sql)) expect(said).toContain('begins no statement');
  }
}, 60_000);
