// Rules held against what is in a real ClickHouse, loaded by ingest's encoder.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import {
  AUDIT_EVENT_SCHEMA_ID,
  type AuditEvent,
  completeEvent,
  decodeDatum,
  type EventDraft,
  encodeDatum,
  leafHash,
  SCHEMAS,
  walkDatum,
} from '@cairn/event';
import { type Parts, startParts } from '@cairn/local';
import { eventOfRow, NOT_IN_TABLE, tableColumns } from '@cairn/rules';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { nativeEncoder, tableIn } from '../../../services/ingest/src/index.ts';
import { MIGRATIONS } from './config.ts';
import { cairn } from './testing/run-cairn.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-replay-'));
const TOPIC = 'audit.events.standard';
const NO_HASH = new Uint8Array(32);
const HOUR_MS = 3_600_000;
const nowMs = Date.now();
let parts: Parts;
let clickhouse: ClickHouse;
let env: Record<string, string>;
let datums: { readonly datum: Uint8Array; readonly arrivedMs: number }[] = [];

beforeAll(async () => {
  parts = await startParts({ directory: join(directory, 'parts'), parts: ['clickhouse'], ports: 'any' });
  clickhouse = openClickHouse({ url: parts.part('clickhouse').address });
  await migrate(clickhouse, { directory: MIGRATIONS });
  env = parts.env();
  datums = happened();
  await load();
}, 180_000);
afterAll(async () => {
  await clickhouse?.[Symbol.asyncDispose]();
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

let seq = 0;
function eventAt(atMs: number, draft: Partial<EventDraft>, arrivedMs = atMs + 20) {
  const id = new Uint8Array(16).map((_, index) => (index < 12 ? 0 : (seq >> (8 * (15 - index))) & 0xff));
  const completed = completeEvent(
    {
      org_id: 'acme',
      gateway_id: 'gw',
      kind: 'tool_call',
      phase: 'single',
      capture: 'gateway',
      timestamp: atMs * 1_000,
      ...draft,
    } as EventDraft,
    { event_id: id },
  );
  const place = { epoch: 1, seq: seq++, prev_hash: NO_HASH, key_id: '5f3a9c01', signature: null };
  return { datum: encodeDatum({ ...completed, ...place }), arrivedMs };
}

/** Two days ago, three hours ago, and an hour ago; and the weeks before for a baseline. */
function happened() {
  const all: ReturnType<typeof eventAt>[] = [];
  const denials = (agent: string, atMs: number, count: number, everyMs: number): void => {
    for (let index = 0; index < count; index += 1)
      all.push(eventAt(atMs + index * everyMs, { agent_id: agent, decision: 'deny', service: 'crm' }));
  };
  // 46 hours ago is inside of two days; nothing of it counts for `--since 12h`.
  denials('early', nowMs - 46 * HOUR_MS, 6, 1_000);
  denials('twice', nowMs - 3 * HOUR_MS, 5, 10_000);
  denials('twice', nowMs - HOUR_MS, 7, 10_000);
  denials('slow', nowMs - 3 * HOUR_MS, 9, 200_000);
  denials('four', nowMs - 2 * HOUR_MS, 4, 1_000);
  // Says that it happened two hours before it arrived: it counts when it arrived, in one instant.
  for (let index = 0; index < 5; index += 1)
    all.push(
      eventAt(
        nowMs - 4 * HOUR_MS + index * 900_000,
        { agent_id: 'hidden', decision: 'deny' },
        nowMs - HOUR_MS / 2,
      ),
    );
  const call = (id: number) => ({
    call_id: new Uint8Array(16).fill(id),
    agent_id: 'calls',
    decision: 'allow' as const,
  });
  all.push(
    eventAt(nowMs - 2 * HOUR_MS, { ...call(1), phase: 'decision' }),
    eventAt(nowMs - 2 * HOUR_MS + 5_000, {
      ...call(1),
      phase: 'outcome',
      result_status: 'success',
      latency_ms: 5_000,
    }),
    eventAt(nowMs - 2 * HOUR_MS, { ...call(2), phase: 'decision' }),
  );
  const thisHourMs = Math.floor((nowMs - 2 * HOUR_MS) / HOUR_MS) * HOUR_MS;
  for (let week = 5; week >= 0; week -= 1)
    for (let index = 0; index < (week === 0 ? 200 : 60); index += 1)
      all.push(
        eventAt(thisHourMs - week * 168 * HOUR_MS + index * 1_000, {
          agent_id: 'habit',
          action: 'read',
          tool_name: 'list',
        }),
      );
  return all.sort((a, b) => a.arrivedMs - b.arrivedMs);
}

async function load(): Promise<void> {
  const table = tableIn(clickhouse);
  const owner = { topic: TOPIC, partition: 0, name: 'test' };
  await table.becomeOwner(owner);
  const rows = datums.map(({ datum, arrivedMs }, offset) => ({
    offset,
    receivedAtMs: arrivedMs,
    leafHash: Buffer.from(leafHash(AUDIT_EVENT_SCHEMA_ID, datum)).toString('latin1'),
    linked: false,
    schemaId: AUDIT_EVENT_SCHEMA_ID,
    bytes: datum,
    start: 0,
    end: datum.length,
  }));
  const open = nativeEncoder.open({ topic: TOPIC, partition: 0 });
  for (const row of rows) {
    walkDatum(row.bytes, row.schemaId, row.start, row.end, open.places, open.placesAt);
    open.add(row);
  }
  for (const body of open.bodies()) await table.insert([{ owner, refusal: 'one-by-one', body }]);
  open.release();
}

function ruleFile(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

interface Told {
  readonly alert: {
    readonly rule: string;
    readonly group: Readonly<Record<string, string>>;
    readonly since: number;
    readonly firings: number;
    readonly peak: number;
    readonly events: readonly string[];
  };
}
async function replayed(args: readonly string[]) {
  const said = await cairn(['rules', 'replay', '--json', ...args], { env });
  const alerts = said.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as Told).alert);
  return { ...said, alerts };
}

const DENIALS = `title: Five refusals
id: five-refusals
correlation:
  type: event_count
  rules: call_denied
  group-by: agent_id
  timespan: 10m
  condition: { gte: 5 }
`;

describe('cairn rules replay', () => {
  test('says which alerts a new rule would have raised, when, for whom, and from which events', async () => {
    const file = ruleFile('five.yml', DENIALS);
    const { code, alerts, stderr } = await replayed(['--since', '12h', file]);
    expect(code).toBe(0);
    const told = alerts.map(({ group, since, firings, peak }) => [
      group['agent_id'],
      Math.round((since / 1_000 - nowMs) / 60_000),
      firings,
      peak,
    ]);
    expect(told.sort()).toEqual([
      ['hidden', -30, 1, 5],
      ['twice', -179, 1, 5],
      ['twice', -59, 3, 7],
    ]);
    expect(stderr).toMatch(/3 alerts over \d+ events/);
    const ids = await clickhouse.query<{ agent: string }>(
      `SELECT DISTINCT agent_id AS agent FROM cairn.events
       WHERE toString(event_id) IN (${alerts[0]!.events.map((id) => `'${id}'`).join(', ')})`,
    );
    expect(ids).toEqual([{ agent: alerts[0]!.group['agent_id'] }]);
  }, 60_000);

  test('looks as far back as it is told, and at one organisation if it is told one', async () => {
    const file = ruleFile('five.yml', DENIALS);
    const agents = async (...args: string[]) =>
      (await replayed([...args, file])).alerts.map(({ group }) => group['agent_id']).sort();
    expect(await agents('--since', '2d')).toEqual(['early', 'hidden', 'twice', 'twice']);
    expect(await agents('--since', '2h')).toEqual(['hidden', 'twice']);
    expect(await agents('--since', '2d', '--org', 'other')).toEqual([]);
  }, 60_000);

  test('judges what did not come, and a baseline against the weeks before', async () => {
    const absence = join(MIGRATIONS, '..', 'config', 'rules', 'decision-without-outcome.yml');
    const { alerts } = await replayed(['--since', '12h', absence]);
    expect(alerts.map(({ group }) => group['call_id'])).toEqual(['02020202-0202-0202-0202-020202020202']);
    const volume = `title: More than usual
id: more-than-usual
correlation:
  type: baseline
  rules: tool_called
  group-by: agent_id
  timespan: 1h
  condition: { deviations: 6, at_least: 50, weeks: 8, weeks_min: 4 }
`;
    const usual = await replayed(['--since', '12h', ruleFile('usual.yml', volume)]);
    expect(usual.alerts.map(({ group, peak }) => [group['agent_id'], peak])).toEqual([['habit', 200]]);
    // Sixty calls in that hour are what the agent does; without its history they would be too many.
    const weekBefore = await replayed(['--since', '8d', ruleFile('usual.yml', volume)]);
    expect(weekBefore.alerts.length).toBe(1);
  }, 60_000);

  test('names a mistake, and refuses a rule over what the table does not keep whole', async () => {
    const mistaken = await cairn(['rules', 'replay', ruleFile('bad.yml', DENIALS.replace('gte', 'gteq'))], {
      env,
    });
    expect(mistaken.code).toBe(1);
    expect(mistaken.stdout).toMatch(/bad\.yml:\d+:\d+:/);
    const partly = `title: Hash\nid: hash\nlogsource: { product: cairn }\ndetection: { s: { parameters_hash: 'aa*' }, condition: s }\n`;
    const refused = await cairn(['rules', 'replay', ruleFile('partly.yml', partly)], { env });
    expect(refused.stderr).toMatch(/parameters_hash/);
    expect(refused.code).not.toBe(0);
  }, 60_000);

  test('reads from the table what rules read from the datum, field by field', async () => {
    const fields = (SCHEMAS.at(-1)?.schema.fields ?? [])
      .map(({ name }) => name as keyof AuditEvent)
      .filter((name) => !NOT_IN_TABLE.has(name));
    const rows = await clickhouse.query<Record<string, unknown>>(
      `SELECT ${tableColumns(fields)} FROM cairn.events ORDER BY offset`,
      {},
      { output_format_json_quote_64bit_integers: 0, output_format_json_named_tuples_as_objects: 1 },
    );
    expect(rows.length).toBe(datums.length);
    for (const [offset, row] of rows.entries()) {
      const whole = decodeDatum(datums[offset]!.datum);
      const read = eventOfRow(row);
      for (const field of fields) {
        const [had, found] = [whole[field], read[field]].map((value) =>
          value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
        );
        expect([field, found]).toEqual([field, had]);
      }
    }
  });
});
