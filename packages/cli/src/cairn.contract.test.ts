import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import { openClickHouse, openKafka } from '@cairn/adapters';
import { type Parts, startParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cairn } from './testing/run-cairn.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-cli-'));
let parts: Parts;
let env: Record<string, string>;
const TOPIC = 'audit.events.standard';

const row = (offset: number, more: object) => ({
  topic: TOPIC,
  partition: 0,
  offset,
  received_at: 1_790_000_000_000 + offset,
  event_id_random: String(offset).padStart(10, '0'),
  org_id: 'acme',
  gateway_id: 'gw-1',
  agent_id: 'agent-1',
  session_id: 'feedc0de-0001',
  kind: 'tool_call',
  method: 'tools/call',
  service: 'files',
  tool_name: 'read_file',
  timestamp: 1_790_000_000_000_000 + offset * 1_000,
  seq: offset,
  epoch: 1,
  ...more,
});
const CALL = 'call-00001';
const call = (phase: 'decision' | 'outcome', more: object) => ({
  call_id_random: CALL,
  phase,
  decision: 'allow',
  ...more,
});

beforeAll(async () => {
  parts = await startParts({ directory, parts: ['kafka', 'clickhouse'], ports: 'any' });
  env = { ...parts.env(), CAIRN_LOCAL_DIRECTORY: directory };
}, 120_000);
afterAll(async () => {
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

describe('the command line over the real engine', () => {
  test('an installation is migrated once, and a second time changes nothing', async () => {
    const foreseen = await cairn(['migrate', '--dry-run'], { env });
    expect(foreseen.stdout).toMatch(/^would apply 0001 events\n/);
    const applied = await cairn(['migrate'], { env });
    expect(applied).toMatchObject({ code: 0, stdout: foreseen.stdout.replaceAll('would apply', 'applied') });
    expect(await cairn(['migrate'], { env })).toEqual({
      code: 0,
      stdout: '',
      stderr: 'The database is up to date.\n',
    });
  });

  test('a session is found by the beginning of its id, and an empty trail says that it is empty', async () => {
    expect(await cairn(['sessions'], { env })).toMatchObject({ code: 0, stdout: '' });
    expect(await cairn(['tail', '--no-follow'], { env })).toEqual({ code: 0, stdout: '', stderr: '' });
    await using clickhouse = openClickHouse({ url: env['CLICKHOUSE_URL'] ?? '' });
    await clickhouse.insertRows('cairn.events', [
      row(0, call('decision', {})),
      // One millisecond after the decision; the call's id has the decision's time.
      row(1, call('outcome', { result_status: 'success', latency_ms: 12, call_id_lag_ms: 11 })),
      row(2, { kind: 'seal', phase: 'single', session_id: '' }),
    ]);
    const said = await cairn(['session', 'feedc0de', '--json'], { env });
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(said.stdout)).toMatchObject({ findings: [], steps: [{ tool_name: 'read_file' }] });
    expect((await cairn(['sessions'], { env })).stdout).toMatch(/feedc0de-0001 +acme +agent-1 .* 1 +0 +0\n/);
  });

  test('tail shows the last events, then those that arrive, of partitions known and new', async () => {
    const stop = new AbortController();
    await using clickhouse = openClickHouse({ url: env['CLICKHOUSE_URL'] ?? '' });
    const stdout = new PassThrough({ encoding: 'utf8' });
    const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<string> => {
      const { partition, offset } = JSON.parse((await lines.next()).value ?? '{}');
      return `${partition}:${offset}`;
    };
    const tailing = cairn(['tail', '--last', '2', '--poll-ms', '50', '--json'], {
      env,
      stdout,
      interruption: () => stop.signal,
    });
    expect([await next(), await next()]).toEqual(['0:1', '0:2']);
    await clickhouse.insertRows('cairn.events', [row(7, { partition: 3 })]);
    expect(await next()).toBe('3:7');
    // Its time lies before everything shown.
    await clickhouse.insertRows('cairn.events', [row(3, { timestamp: 1_780_000_000_000_000 })]);
    expect(await next()).toBe('0:3');
    stop.abort();
    expect((await tailing).code).toBe(0);
  });

  test('a query is answered and a statement that writes is refused by the server', async () => {
    const asked = await cairn(
      ['query', 'SELECT count() AS n FROM cairn.events;', '--format', 'CSVWithNames'],
      {
        env,
      },
    );
    expect(asked).toEqual({ code: 0, stdout: '"n"\n5\n', stderr: '' });
    for (const sql of ['DROP TABLE cairn.events', 'INSERT INTO cairn.events (topic) SELECT 1']) {
      const refused = await cairn(['query', sql], { env });
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toMatch(/^cairn: .*[Rr]ead.?only.*\n$/);
    }
    expect((await cairn(['query', 'SELECT count() AS n FROM cairn.events', '--json'], { env })).stdout).toBe(
      '{"n":5}\n',
    );
  });

  test('a reader that has enough ends the command without a complaint', async () => {
    const main = join(import.meta.dirname, 'main.ts');
    const command = `node --no-warnings ${main} query 'SELECT * FROM numbers(5000000)' --format CSV | head -1`;
    const shell = promisify(execFile)('bash', ['--norc', '-o', 'pipefail', '-c', command], {
      env: { ...env, PATH: `${dirname(process.execPath)}:/usr/bin:/bin` },
    });
    expect(await shell).toEqual({ stdout: '0\n', stderr: '' });
  });

  test('the doctor names what is missing and what to do, and is content once it is there', async () => {
    const ill = await cairn(['doctor', '--json'], { env });
    expect(ill.code).toBe(1);
    expect(ill.stdout).toContain('"check":"topics","state":"failed"');
    await using kafka = openKafka({ brokers: [env['KAFKA_BROKERS'] ?? ''], clientId: 'test' });
    await kafka.ensureTopics([
      { name: TOPIC, partitions: 4 },
      { name: 'audit.parked', partitions: 1 },
    ]);
    const states = async () => {
      const { stdout } = await cairn(['doctor', '--json'], { env });
      const findings = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      return Object.fromEntries(findings.map(({ check, state }) => [check, state]));
    };
    const well = { kafka: 'ok', clickhouse: 'ok', topics: 'ok', tables: 'ok', ingest: 'ok', clock: 'ok' };
    expect(await states()).toMatchObject(well);
    // A record in a partition of which the table has nothing.
    await kafka.log.append(TOPIC, 1, [new Uint8Array([1])]);
    expect(await states()).toMatchObject({ ...well, ingest: 'failed' });
  });

  test('status tells what runs from this directory, and down ends exactly that', async () => {
    // The variables would say that the parts run elsewhere.
    const own = { CAIRN_LOCAL_DIRECTORY: directory };
    const before = await cairn(['status', '--json'], { env: own });
    const running = before.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(running.filter(({ running }) => running).map(({ part }) => part)).toEqual(['kafka', 'clickhouse']);
    expect(before.code).toBe(1);
    expect((await cairn(['down'], { env: own })).stdout).toBe('stopped kafka\nstopped clickhouse\n');
    expect((await cairn(['down'], { env: own })).stderr).toBe('Nothing was running.\n');
    expect((await cairn(['sessions'], { env })).code).toBe(3);
  }, 60_000);
});
