// Events, sessions and live tails over a real ClickHouse.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { openClient } from '../../../packages/client/src/index.ts';
import { apiForTests } from '../test/api-for-tests.ts';
import { ORG } from '../test/api-rig.ts';
import { problemSchema } from './problem.ts';

const world = apiForTests(12_000);
const { keys, json, one } = world;

describe('one event and one session', () => {
  test('an event is answered with its leaf hash as ETag, and not sent again to who has it', async () => {
    const event = await one<{ id: string; leaf: string; tool: string }>(
      `SELECT toString(event_id) AS id, lower(hex(leaf_hash)) AS leaf, toString(tool_name) AS tool FROM cairn.events WHERE org_id = {org:String} AND tool_name != '' LIMIT 1`,
      { org: ORG },
    );
    const answer = await world.api.ask(`/v1/events/${event.id}`, { key: keys['auditor']! });
    expect(await answer.json()).toMatchObject({
      event_id: event.id,
      leaf_hash: event.leaf,
      tool_name: event.tool,
    });
    const etag = answer.headers.get('etag')!;
    expect(etag).toContain(event.leaf);
    const again = await world.api.ask(`/v1/events/${event.id}`, {
      key: keys['auditor']!,
      headers: { 'if-none-match': etag },
    });
    expect([again.status, await again.text()]).toEqual([304, '']);
    expect(await world.api.recordedOf(again.headers.get('x-request-id')!)).toHaveLength(1);
  });

  test('a session has its steps in order, each decision beside its outcome, and says what is signed', async () => {
    const { id } = await one<{ id: string }>(
      `SELECT session_id AS id FROM cairn.events WHERE org_id = {org:String} AND session_id != '' GROUP BY id ORDER BY count() DESC, id LIMIT 1`,
      { org: ORG },
    );
    const session = await json<{
      steps: {
        timestamp: number;
        signed: boolean;
        event_ids: string[];
        decision: string;
        result_status: string;
      }[];
      gaps: unknown[];
    }>(`/v1/sessions/${encodeURIComponent(id)}`);
    const times = session.steps.map(({ timestamp }) => timestamp);
    expect(times).toEqual(times.toSorted((left, right) => left - right));
    const { ids } = await one<{ ids: string[] }>(
      `SELECT arraySort(groupArray(toString(event_id))) AS ids FROM cairn.events
       WHERE session_id = {id:String} AND org_id = {org:String}`,
      { id, org: ORG },
    );
    expect(session.steps.flatMap(({ event_ids }) => event_ids).sort()).toEqual(ids);
    expect(session.steps.some(({ signed }) => signed)).toBe(true);
    expect(session.gaps).toEqual([]);
    expect(
      (await world.api.ask(`/v1/sessions/${encodeURIComponent(id)}`, { key: keys['stranger']! })).status,
    ).toBe(404);
  });

  test('a session has the holes of its streams, and is signed by a seal that came hours behind it', async () => {
    const { id, gateway, epoch, seq } = await one<{
      id: string;
      gateway: string;
      epoch: number;
      seq: number;
    }>(
      `SELECT session_id AS id, any(gateway_id) AS gateway, any(epoch) AS epoch, max(seq) AS seq FROM cairn.events
       WHERE org_id = {org:String} AND session_id != '' GROUP BY id HAVING uniqExact(gateway_id) = 1 ORDER BY count() DESC, id LIMIT 1`,
      { org: ORG },
    );
    const late = 'late';
    const copied = (changed: string, where: string) =>
      world.api.clickhouse.exec(
        `INSERT INTO cairn.events SELECT * REPLACE ('${late}' AS org_id, ${changed})
         FROM (SELECT * FROM cairn.events WHERE org_id = '${ORG}' AND session_id = '${id}' AND ${where})`,
      );
    await copied("'' AS signature", 'true');
    await world.api.clickhouse.insertRows('cairn.stream_findings', [
      {
        topic: 't',
        partition: 0,
        offset: 1,
        org_id: late,
        gateway_id: gateway,
        epoch,
        seq,
        finding: 'gap',
        missing_from: seq + 1,
        missing_to: seq + 2,
        received_at: 0,
      },
    ]);
    const key = await world.api.key('viewer', { orgId: late });
    const read = async () => {
      const answer = await world.api.ask(`/v1/sessions/${encodeURIComponent(id)}`, { key });
      return (await answer.json()) as { steps: { signed: boolean }[]; gaps: unknown[] };
    };
    const before = await read();
    expect(before.gaps).toEqual([
      { gateway_id: gateway, epoch, finding: 'gap', missing_from: seq + 1, missing_to: seq + 2 },
    ]);
    expect(before.steps.some(({ signed }) => signed)).toBe(false);
    await copied(
      `'' AS session_id, 'seal' AS kind, 'x' AS signature, ${seq + 3} AS seq,
       timestamp + toIntervalHour(30) AS timestamp, received_at + toIntervalHour(30) AS received_at`,
      `seq = ${seq}`,
    );
    expect((await read()).steps.every(({ signed }) => signed)).toBe(true);
  });

  test('a session names the other sessions of its traces within a day, and none of another organisation', async () => {
    const { trace } = await one<{ trace: string }>(
      `SELECT lower(hex(trace_id)) AS trace FROM cairn.events WHERE org_id = {org:String} AND trace_id IS NOT NULL
       GROUP BY trace ORDER BY count() DESC, trace LIMIT 1`,
      { org: ORG },
    );
    const [relay, hour] = ['relay', 3_600_000_000];
    const inTrace = `FROM cairn.events WHERE org_id = '${ORG}' AND trace_id = unhex('${trace}') AND kind = 'tool_call'`;
    for (const [session, later] of [
      ['handing', 0],
      ['taking', 23 * hour],
      ['long after', 72 * hour],
    ] as const)
      await world.api.clickhouse.exec(
        `INSERT INTO cairn.events SELECT * REPLACE ('${relay}' AS org_id, '${session}' AS session_id,
           timestamp + toIntervalMicrosecond(${later}) AS timestamp, received_at + toIntervalMicrosecond(${later}) AS received_at)
         FROM (SELECT * ${inTrace})`,
      );
    const { calls } = await one<{ calls: number }>(`SELECT toUInt32(uniqExact(call_id)) AS calls ${inTrace}`);
    expect(
      (await one<{ n: number }>(`SELECT count() AS n FROM cairn.events WHERE org_id = '${relay}'`)).n,
    ).toBeGreaterThan(0);
    const key = await world.api.key('viewer', { orgId: relay });
    const answer = await world.api.ask('/v1/sessions/handing', { key });
    expect(await answer.json()).toMatchObject({
      handoffs: [{ session_id: 'taking', trace_id: trace, calls }],
    });
    const plan = await world.api.clickhouse.query<{ explain: string }>(
      `EXPLAIN indexes = 1 SELECT count() ${inTrace}`,
    );
    expect(plan.map(({ explain }) => explain).join('\n')).toContain('by_trace_id');
  });
});

describe('a live tail', () => {
  test('sends what is loaded from now on, and only of the caller’s organisation', async () => {
    const gone = new AbortController();
    const answer = await fetch(`${world.api.url}/v1/tail?search=task:tailed`, {
      headers: { authorization: `Bearer ${keys['viewer']}` },
      signal: gone.signal,
    });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    const row = (org: string, offset: number) => ({
      topic: 'audit.events.standard',
      partition: 8,
      offset,
      received_at: '2026-11-21 00:00:00.000',
      org_id: org,
      kind: 'tool_call',
      timestamp: '2026-11-21 00:00:00',
      event_id_random: 'abcdefghij',
      task: 'tailed',
    });
    await sleep(200);
    await world.api.clickhouse.insertRows('cairn.events', [row('org-2', 0), row(ORG, 1)]);
    let text = '';
    for await (const chunk of answer.body!) {
      text += Buffer.from(chunk).toString();
      if (text.includes('event: event')) break;
    }
    gone.abort();
    expect(text).toMatch(/^retry: 2000\nid: [\w-]+\n\n/);
    expect(text).toMatch(/\nid: [\w-]+\nevent: event\ndata: \{.*"partition":8,"offset":1,/);
    expect(text).not.toContain('org-2');
  });

  test('goes on behind its id: each event once, whatever came meanwhile and however much', async () => {
    const gone = new AbortController();
    const answer = await fetch(`${world.api.url}/v1/tail?search=task:resumed`, {
      headers: { authorization: `Bearer ${keys['viewer']}` },
      signal: gone.signal,
    });
    const first = Buffer.from((await answer.body!.getReader().read()).value!).toString();
    gone.abort();
    const begin = /^id: (.*)$/m.exec(first)![1]!;

    // Between them offsets of others, further apart than one statement looks.
    const row = (partition: number, at: number, offset: number) => ({
      topic: 'audit.events.standard',
      partition,
      offset,
      received_at: '2026-11-21 00:00:00.000',
      org_id: at % 4 === 3 ? 'org-2' : ORG,
      kind: 'tool_call',
      // Not in the order of the log.
      timestamp: `2026-11-21 00:00:${String(59 - (at % 60)).padStart(2, '0')}`,
      event_id_random: `${partition}${String(at).padStart(8, '0')}`,
      task: at % 4 === 2 ? 'other' : 'resumed',
    });
    const rows = [
      ...Array.from({ length: 1_600 }, (_, at) => row(11, at, at * 40)),
      ...Array.from({ length: 400 }, (_, at) => row(12, at, 9_000_000 + at)),
    ];
    await world.api.clickhouse.insertRows('cairn.events', rows);
    const wanted = rows.filter(({ org_id: org, task }) => org === ORG && task === 'resumed');

    const client = openClient({ url: world.api.url, key: keys['viewer']! });
    const seen: string[] = [];
    let after = begin;
    for (const until of [650, wanted.length])
      for await (const { id, event } of client.tail('task:resumed', { after })) {
        seen.push(`${event.partition}/${event.offset}`);
        after = id;
        if (seen.length === until) break;
      }
    expect(seen).toEqual(wanted.map(({ partition, offset }) => `${partition}/${offset}`));

    const asked = (id: string, search = 'task:resumed') =>
      world.api.ask(`/v1/tail?search=${search}`, { key: keys['viewer']!, headers: { 'last-event-id': id } });
    const old = { ...JSON.parse(Buffer.from(after, 'base64url').toString()), at: 1_000 };
    for (const [refused, status, code] of [
      [await asked(Buffer.from(JSON.stringify(old)).toString('base64url')), 410, 'cursor.expired'],
      [await asked(after, 'task:tailed'), 400, 'cursor.invalid'],
      [await asked('audit.events.standard/8/1'), 400, 'cursor.invalid'],
    ] as const)
      expect(problemSchema.parse(await refused.json())).toMatchObject({ status, code });
  }, 60_000);
});
