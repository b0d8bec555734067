// Searches, counts and reports over a real ClickHouse: what is told, and what is said of what is not.
import { type Question, searchEvents } from '@cairn/query';
import { conditionOf, readSearch } from '@cairn/search';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { apiForTests } from '../test/api-for-tests.ts';
import { ORG } from '../test/api-rig.ts';
import { problemSchema } from './problem.ts';
import { REPORTS } from './run-report.ts';

const world = apiForTests(12_000);
const { keys, json, one } = world;

describe('a search', () => {
  test('gives every event once, page after page, whatever arrives meanwhile', async () => {
    const wanted = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String} AND kind = 'tool_call'`,
      { org: ORG },
    );
    const seen = new Set<string>();
    let cursor = '';
    let rows = 0;
    for (let page = 0; ; page += 1) {
      const { events, next } = await json<{
        events: { event_id: string; org_id: string }[];
        next: string | null;
      }>(`/v1/events?search=kind:tool_call&limit=900${cursor}`);
      for (const event of events) {
        expect(event.org_id).toBe(ORG);
        seen.add(event.event_id);
      }
      rows += events.length;
      // Newer and older events arrive while it pages.
      await world.api.clickhouse.exec(
        `INSERT INTO cairn.events (topic, partition, offset, received_at, org_id, kind, timestamp, event_id_random, gateway_id)
         SELECT 'late', 9, ${page}, now64(3) + 1, '${ORG}', 'tool_call', timestamp + ${page % 2}, 'abcdefghij', 'late' FROM cairn.events WHERE org_id = '${ORG}' ORDER BY timestamp LIMIT 1`,
      );
      if (next === null) break;
      cursor = `&cursor=${next}`;
    }
    const { day } = await one<{ day: string }>(
      `SELECT toString(any(append_day)) AS day FROM cairn.events WHERE topic = 'late'`,
    );
    await world.api.clickhouse.exec(`ALTER TABLE cairn.events DROP PARTITION '${day}'`);
    expect(rows).toBe(wanted.n);
    expect(seen.size).toBe(wanted.n);
  }, 60_000);

  test('finds by narrow looks what one statement over everything finds', async () => {
    const { now, agent } = await one<{ now: number; agent: string }>(
      `SELECT toUnixTimestamp64Micro(max(timestamp)) AS now, toString(any(agent_id)) AS agent
       FROM cairn.events WHERE org_id = {org:String} AND agent_id != ''`,
      { org: ORG },
    );
    for (const text of ['', `agent:"${agent}"`, 'decision:deny', 'github', 'nowhere-at-all'])
      for (const order of ['newest', 'oldest'] as const)
        for (const limit of [1, 100]) {
          const { sql, parameters } = conditionOf(readSearch(text), now);
          const asked: Question = {
            over: 'hot',
            filters: { org_id: [ORG] },
            condition: { sql, parameters },
            from: order === 'oldest' ? 0 : undefined,
            order,
            limit,
          };
          const wanted = await searchEvents(world.api.clickhouse, undefined, asked);
          expect(wanted.events.length > 0).toBe(text !== 'nowhere-at-all');
          for (const at of [now, now + 60 * 86_400_000_000])
            expect(await searchEvents(world.api.clickhouse, undefined, { ...asked, now: at })).toEqual(
              wanted,
            );
        }
  }, 60_000);

  test('with a mistake is refused with the column and what to write instead', async () => {
    const answer = await world.api.ask('/v1/events?search=agent_id:a%20decison:deny', {
      key: keys['viewer']!,
    });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(problemSchema.parse(await answer.json())).toMatchObject({
      code: 'search.invalid',
      position: 11,
      length: 8,
      instead: expect.stringContaining('Did you mean decision?'),
    });
  });

  test('of what a role may not see is refused, for the answer would tell it', async () => {
    expect(
      (await world.api.ask('/v1/events?search=parameters_kept:x', { key: keys['viewer']! })).status,
    ).toBe(403);
    expect(
      (await world.api.ask('/v1/facets?search=NOT%20parameters_kept:x', { key: keys['viewer']! })).status,
    ).toBe(403);
    expect(
      (await world.api.ask('/v1/events?search=parameters_kept:x', { key: keys['auditor']! })).status,
    ).toBe(200);
  });

  test('takes no cursor of another search or organisation', async () => {
    const { next } = await json<{ next: string }>('/v1/events?limit=1');
    expect(
      (await world.api.ask(`/v1/events?limit=1&search=kind:alert&cursor=${next}`, { key: keys['auditor']! }))
        .status,
    ).toBe(400);
    expect(
      (await world.api.ask(`/v1/events?limit=1&cursor=${next}`, { key: keys['stranger']! })).status,
    ).toBe(400);
  });
});

describe('counts', () => {
  test('of facets and of a histogram are those of the table', async () => {
    const all = await one<{ n: number; denied: number }>(
      `SELECT count() AS n, countIf(decision = 'deny') AS denied FROM cairn.events WHERE org_id = {org:String}`,
      { org: ORG },
    );
    const { total, facets } = await json<{
      total: number;
      facets: { field: string; values: { value: string; count: number }[] }[];
    }>('/v1/facets?fields=decision,tool_name');
    expect(total).toBe(all.n);
    expect(facets[0]!.values.find(({ value }) => value === 'deny')!.count).toBe(all.denied);
    const { bars } = await json<{ bars: { count: number; counts: Record<string, number> }[] }>(
      '/v1/histogram?search=timestamp:%3E2026-01-01&by=decision&bars=100',
    );
    expect(bars.reduce((sum, { count }) => sum + count, 0)).toBe(all.n);
    expect(bars.reduce((sum, { counts }) => sum + (counts['deny'] ?? 0), 0)).toBe(all.denied);
    expect(bars.length).toBeLessThanOrEqual(101);
  });

  test('of inventory, completeness and each report are of one organisation', async () => {
    const { items } = await json<{ items: { agent_id: string; calls: number }[] }>('/v1/inventory/agents');
    const calls = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String} AND kind IN ('tool_call','resource_read','prompt_get') AND phase IN ('outcome','single')`,
      { org: ORG },
    );
    expect(items.reduce((sum, item) => sum + item.calls, 0)).toBe(calls.n);
    const { streams, complete } = await json<{
      streams: { gateway_id: string; stored: number }[];
      complete: boolean;
    }>('/v1/completeness');
    const all = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String}`,
      { org: ORG },
    );
    expect([complete, streams.reduce((sum, { stored }) => sum + stored, 0)]).toEqual([true, all.n]);
    for (const report of Object.keys(REPORTS)) {
      const { population, rows } = await json<{ population: number; rows: unknown[] }>(
        `/v1/reports/${report}?from=0`,
      );
      expect(population).toBe(calls.n);
      // Nothing was allowed before the beginning of time.
      if (report !== 'denial-clusters' && report !== 'unused-grants') expect(rows.length).toBeGreaterThan(0);
    }
  });
});

describe('what ClickHouse alone is asked for', () => {
  test('says since when ClickHouse holds events, in every answer that counts or holds them', async () => {
    const { day } = await one<{ day: string }>(`SELECT toString(min(append_day)) AS day FROM cairn.events`);
    for (const path of [
      '/v1/facets',
      '/v1/histogram?search=timestamp:%3E2026-01-01',
      '/v1/inventory/tools',
      '/v1/reports/slow-tools?from=0',
      '/v1/exports/count',
      '/v1/exports/events?format=json&search=decision:deny',
    ])
      expect([path, (await json<{ hot_from: string }>(path)).hot_from]).toEqual([path, day]);
    for (const format of ['ndjson', 'ocsf', 'csv', 'parquet']) {
      const path = `/v1/exports/events?search=decision:deny&format=${format}`;
      const answer = await world.api.ask(path, { key: keys['auditor']! });
      expect([format, answer.headers.get('cairn-hot-from')]).toEqual([format, day]);
      const last = (await answer.text()).trimEnd().split('\n').at(-1)!;
      if (last.startsWith('{"_end"')) expect(JSON.parse(last)._end.hot_from).toBe(day);
    }
  });

  test('a report with more rows than it may have says that there are more', async () => {
    await world.api.clickhouse.exec(
      `INSERT INTO cairn.events (topic, partition, offset, received_at, org_id, kind, phase, timestamp, event_id_random, service, tool_name, latency_ms)
       SELECT 'audit.events.standard', 9, number, '2026-11-22 00:00:00', 'many-tools', 'tool_call', 'outcome', '2026-11-22 00:00:00', 'abcdefghij', 's', toString(number), 5
       FROM numbers(1001)`,
    );
    const key = await world.api.key('auditor', { orgId: 'many-tools' });
    for (const [path, rows, more] of [
      ['/v1/reports/slow-tools?from=0', 1_000, true],
      ['/v1/reports/new-tools?from=0', 1_000, true],
      ['/v1/reports/failing-tools?from=0', 0, false],
    ] as const) {
      const report = await json<{ rows: unknown[]; more: boolean }>(path, key);
      expect([path, report.rows.length, report.more]).toEqual([path, rows, more]);
    }
  });
});

describe('an answer that holds no more than so much', () => {
  const day = '2026-11-22 00:00:00';
  /** Events of an organisation, one for each number from `from` on; `values` names what differs. */
  const insert = (org: string, partition: number, values: string, from: number, count: number) =>
    world.api.clickhouse.exec(
      `INSERT INTO cairn.events (topic, partition, offset, received_at, org_id, kind, phase, timestamp, event_id_random, gateway_id, epoch, seq, session_id, trace_id, agent_id)
       SELECT 'audit.events.standard', ${partition}, number, '${day}', '${org}', 'tool_call', 'single', '${day}', 'abcdefghij', ${values}
       FROM numbers(${from}, ${count})`,
    );

  test('gives keys page by page, each once, though they were made at the same time', async () => {
    const org = 'many-keys';
    const key = await world.api.key('admin', { orgId: org });
    const keep = (from: number, count: number) =>
      world.api.clickhouse.exec(
        `INSERT INTO cairn.api_keys (id, org_id, role, name, created_at, expires_at)
         SELECT lower(leftPad(hex(number), 16, '0')), '${org}', 'viewer', 'x', '${day}', '${day}' FROM numbers(${from}, ${count})`,
      );
    interface Page {
      readonly keys: { id: string }[];
      readonly next: string | null;
    }
    await keep(1, 999);
    const whole = await json<Page>('/v1/keys', key);
    expect([whole.keys.length, whole.next]).toEqual([1_000, null]);
    await keep(1_000, 1);
    const first = await json<Page>('/v1/keys', key);
    expect([first.keys.length, first.next]).toEqual([1_000, first.keys.at(-1)!.id]);
    const seen: string[] = [];
    for (let next: string | null = ''; next !== null; ) {
      const page: Page = await json(`/v1/keys?limit=300${next === '' ? '' : `&after=${next}`}`, key);
      seen.push(...page.keys.map(({ id }) => id));
      next = page.next;
    }
    expect([seen.length, new Set(seen).size]).toEqual([1_001, 1_001]);
    const foreign = await world.api.ask(`/v1/keys?after=${first.next}`, { key: keys['admin']! });
    expect([foreign.status, await foreign.json()]).toMatchObject([400, { code: 'cursor.invalid' }]);
  });

  test('says when there are more saved searches', async () => {
    const key = await world.api.key('viewer', { orgId: 'many-searches' });
    const save = (from: number, count: number) =>
      world.api.clickhouse.exec(
        `INSERT INTO cairn.saved_searches (org_id, id, name, version) SELECT 'many-searches', toUUID(concat('018f0000-0000-4000-8000-', leftPad(toString(number), 12, '0'))), 'x', 1 FROM numbers(${from}, ${count})`,
      );
    for (const [from, count, told, more] of [
      [0, 1_000, 1_000, false],
      [1_000, 1, 1_000, true],
    ] as const) {
      await save(from, count);
      const list = await json<{ saved: unknown[]; more: boolean }>('/v1/saved-searches', key);
      expect([list.saved.length, list.more]).toEqual([told, more]);
    }
  });

  interface Bounds {
    readonly gaps: unknown[];
    readonly more_gaps: boolean;
    readonly handoffs: unknown[];
    readonly more_handoffs: boolean;
  }
  const sessionOf = async (id: string, key: string) => {
    const { gaps, more_gaps, handoffs, more_handoffs } = await json<Bounds>(`/v1/sessions/${id}`, key);
    return [gaps.length, more_gaps, handoffs.length, more_handoffs];
  };

  test('says when a session has more gaps, and counts none that cannot hold its events', async () => {
    const org = 'many-gaps';
    const key = await world.api.key('viewer', { orgId: org });
    await insert(org, 11, "'gw', 1, number * 5000, 's', NULL, 'a'", 0, 2);
    const find = (from: number, count: number, missing: string, gateway = 'gw') =>
      world.api.clickhouse.exec(
        `INSERT INTO cairn.stream_findings (topic, partition, offset, org_id, gateway_id, epoch, finding, missing_from, missing_to)
         SELECT 'audit.events.standard', 11, number, '${org}', '${gateway}', 1, 'gap', ${missing}, ${missing} FROM numbers(${from}, ${count})`,
      );
    // Beside another stream, and behind what the session has: of neither it may have had events.
    await find(0, 5, 'number + 1', 'other');
    await find(10_000, 1_500, 'number');
    expect(await sessionOf('s', key)).toEqual([0, false, 0, false]);
    await find(1, 1_000, 'number');
    expect(await sessionOf('s', key)).toEqual([1_000, false, 0, false]);
    await find(1_001, 1, 'NULL');
    expect(await sessionOf('s', key)).toEqual([1_000, true, 0, false]);
  });

  test('says when a session has more hand-offs, or more traces than are followed', async () => {
    const org = 'many-handoffs';
    const key = await world.api.key('viewer', { orgId: org });
    const trace = "unhex('000102030405060708090a0b0c0d0e0f')";
    await insert(org, 12, `'gw', 1, number, 's', ${trace}, 'a'`, 0, 1);
    await insert(org, 12, `'gw', 1, number, toString(number), ${trace}, 'a'`, 1, 1_000);
    expect(await sessionOf('s', key)).toEqual([0, false, 1_000, false]);
    await insert(org, 12, `'gw', 1, number, toString(number), ${trace}, 'a'`, 1_001, 1);
    expect(await sessionOf('s', key)).toEqual([0, false, 1_000, true]);
    const own = "toFixedString(leftPad(toString(number), 16, '0'), 16)";
    await insert(org, 12, `'gw', 1, number, 't', ${own}, 'a'`, 2_000, 100);
    expect(await sessionOf('t', key)).toEqual([0, false, 0, false]);
    await insert(org, 12, `'gw', 1, number, 't', ${own}, 'a'`, 2_100, 1);
    expect(await sessionOf('t', key)).toEqual([0, false, 0, true]);
  });

  test('tells nothing to be complete of whose streams it does not tell all', async () => {
    const org = 'many-streams';
    const key = await world.api.key('viewer', { orgId: org });
    for (const [from, count, complete] of [
      [0, 10_000, true],
      [10_000, 1, false],
    ] as const) {
      await insert(org, 13, "'gw', number, 0, '', NULL, ''", from, count);
      const told = await json<{ streams: unknown[]; more: boolean; complete: boolean }>(
        '/v1/completeness',
        key,
      );
      expect([told.streams.length, told.more, told.complete]).toEqual([10_000, !complete, complete]);
    }
  });
});

describe('the reports of what is granted and not used', () => {
  const org = 'idle-org';
  const at = (day: number): string => `2026-10-${String(day).padStart(2, '0')} 12:00:00`;
  const micros = (day: number): number => Date.parse(`${at(day).replace(' ', 'T')}Z`) * 1_000;
  const decision = (day: number, agent: string, tool: string, more: object = {}) => ({
    topic: 'audit.events.standard',
    partition: 6,
    received_at: at(day),
    org_id: org,
    kind: 'tool_call',
    phase: 'decision',
    timestamp: at(day),
    event_id_random: 'abcdefghij',
    agent_id: agent,
    service: 'files',
    tool_name: tool,
    decision: 'allow',
    rules_evaluated: ['may-read', 'may-write', 'no-deletion'],
    rules_matched: ['may-read'],
    ...more,
  });
  let key: string;

  beforeAll(async () => {
    const rows = [
      decision(1, 'a', 'read'),
      decision(1, 'a', 'write'),
      decision(2, 'b', 'write'),
      decision(3, 'a', 'drop', { decision: 'deny', rules_matched: ['no-deletion'] }),
      // From here on in the time that is asked for.
      decision(20, 'a', 'read'),
      decision(20, 'a', 'new'),
      decision(21, 'a', 'drop', { decision: 'deny', rules_matched: ['no-deletion'] }),
      // Another organisation's use is none.
      decision(21, 'a', 'write', { org_id: 'org-2' }),
    ];
    await world.api.clickhouse.insertRows(
      'cairn.events',
      rows.map((row, offset) => ({ ...row, offset })),
    );
    key = await world.api.key('auditor', { orgId: org });
  });

  test('name tools that an agent was allowed before and did not ask for, and no others', async () => {
    const { rows } = await json<{ rows: Record<string, unknown>[] }>(
      `/v1/reports/unused-grants?from=${micros(10)}&to=${micros(30)}`,
      key,
    );
    expect(
      rows.map(({ agent_id: agent, tool_name: tool, last_allowed_at: last }) => [agent, tool, last]),
    ).toEqual([
      ['a', 'write', micros(1)],
      ['b', 'write', micros(2)],
    ]);
  });

  test('count what each policy decided, those that decided nothing first', async () => {
    const { rows } = await json<{ rows: Record<string, unknown>[] }>(
      `/v1/reports/unused-rules?from=${micros(10)}&to=${micros(30)}`,
      key,
    );
    expect(rows.map(({ rule, decisions, allowed, denied }) => [rule, decisions, allowed, denied])).toEqual([
      ['may-write', 3, 0, 0],
      ['no-deletion', 3, 0, 1],
      ['may-read', 3, 2, 0],
    ]);
  });

  test('name the scopes of keys that nobody used, from the events of their requests', async () => {
    const mine = await world.api.key('auditor', { orgId: org });
    const answer = await world.api.ask('/v1/events', { key: mine });
    const [recorded] = await world.api.recordedOf(answer.headers.get('x-request-id')!);
    const id = recorded!.user_id.slice('key:'.length);
    const { user_id, auth_method, detail, service, decision: allowed, kind } = recorded!;
    const now = new Date().toISOString().slice(0, 19).replace('T', ' ');
    const row = { user_id, auth_method, detail, service, decision: allowed, kind, phase: 'single' };
    await world.api.clickhouse.insertRows('cairn.events', [
      { ...decision(1, '', ''), ...row, timestamp: now, received_at: now, offset: 100 },
    ]);
    const { rows } = await json<{ rows: Record<string, unknown>[] }>('/v1/reports/unused-keys', key);
    expect(
      rows.filter((one) => one['key'] === id).map((one) => [one['role'], one['scope'], one['key_use']]),
    ).toEqual([
      ['auditor', 'export', 'used otherwise'],
      ['auditor', 'reports', 'used otherwise'],
      ['auditor', 'unseal', 'used otherwise'],
    ]);
    const other = rows.filter((one) => one['key'] !== id);
    expect(other.map((one) => [one['scope'], one['key_use']])).toEqual([
      ['export', 'never used'],
      ['reports', 'never used'],
      ['trail', 'never used'],
      ['unseal', 'never used'],
    ]);
  });
});
