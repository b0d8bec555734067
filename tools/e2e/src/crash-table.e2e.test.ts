import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceProcess } from '@cairn/local';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type ChaosRig, startChaosRig, until } from './chaos-rig.ts';
import { dieAt, killAndTakeAway, type Point, passes, ROWS } from './failpoint.ts';
import type { ProxiedStatement, StatementFate } from './http-proxy.ts';
import { judge, NO_FAULTS } from './oracle.ts';
import { openQuietRecorder, type QuietRecorder } from './quiet-recorder.ts';
import { drained, TOPIC } from './rig.ts';

/*
 * The crash table of docs/faults.md, each row at its point: ingest runs as in production, and the proxies before Kafka and
 * ClickHouse act at the request, or at the answer, by which the point is known. What takes over reads the log in chunks of
 * other sizes than what died.
 */

describe('the crash table', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-crash-'));
  let rig: ChaosRig;
  let recorder: QuietRecorder;
  /** Takes large chunks, and dies. */
  let first: ServiceProcess;
  /** Takes chunks of at most 7 records. */
  let second: ServiceProcess;
  let orgs: Generator<string>;

  beforeAll(async () => {
    rig = await startChaosRig(directory);
    recorder = await openQuietRecorder(rig, 'gw-crash');
    orgs = recorder.orgsOf(0);
    first = await rig.startIngest('ingest-a');
    await first.kill9();
    second = await rig.startIngest('ingest-b', { CAIRN_INGEST_CHUNK_RECORDS_MAX: '7' });
    await second.kill9();
  }, 180_000);
  afterEach(async () => {
    rig.proxy.decide = () => ({ do: 'pass' });
    rig.tableProxy.decide = () => passes;
    for (const ingest of [first, second]) {
      ingest.signal('SIGCONT');
      await ingest.kill9();
    }
  });
  afterAll(async () => {
    await recorder?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });

  /** A stream of its own in partition 0, with a record that is no event before it and a copy of its end behind it. */
  const produce = async (count = 40): Promise<string> => {
    const org = orgs.next().value as string;
    await rig.kafka.log.append(TOPIC, 0, [Buffer.from('no event')]);
    await recorder.record(org, count);
    await rig.kafka.log.append(TOPIC, 0, (recorder.frames.get(0) ?? []).slice(-3));
    return org;
  };

  const countOf = async (org: string): Promise<number> => {
    const [row] = await rig.clickhouse.query<{ count: number }>(
      'SELECT toUInt32(count()) AS count FROM cairn.events WHERE org_id = {org:String}',
      { org },
    );
    return row?.count ?? 0;
  };

  /** Everything recorded so far is one row, and every offset and every rollup adds up. */
  const holds = async (): Promise<void> => {
    const { faults } = await judge(rig, recorder.recorded, 60_000);
    expect(faults).toEqual(NO_FAULTS);
  };

  /** Starts it, and lets it be killed while it starts. */
  const begin = (ingest: ServiceProcess): void => void ingest.start().catch(() => {});

  describe('ingest dies, and the next one does the rest', () => {
    test.each<[Point, 'before' | 'after', rowsThere: boolean]>([
      ['INSERT INTO cairn.ingest_owners', 'before', false],
      ['INSERT INTO cairn.ingest_owners', 'after', false],
      ['KILL QUERY', 'before', false],
      ['KILL QUERY', 'after', false],
      ['commit of the intent', 'before', false],
      ['commit of the intent', 'after', false],
      ['parking', 'before', false],
      ['parking', 'after', false],
      ['INSERT INTO cairn.ingest_gaps', 'before', false],
      ['INSERT INTO cairn.ingest_gaps', 'after', false],
      [ROWS, 'before', false],
      [ROWS, 'after', true],
    ])(
      '%s: %s it, every event becomes one row',
      async (asked, when, rowsThere) => {
        const org = await produce();
        const dead = dieAt(rig, first, asked, when);
        begin(first);
        await dead;
        expect((await countOf(org)) > 0).toBe(rowsThere);
        await second.start();
        await holds();
      },
      60_000,
    );
  });

  /** Inserts a row under a token. @returns whether it is there. */
  const isTaken = async (token: string, day: string, topic: string): Promise<boolean> => {
    await rig.clickhouse.exec(
      `INSERT INTO cairn.events (topic, received_at) SELECT '${topic}', toDateTime64('${day} 12:00:00', 3, 'UTC')`,
      { insert_deduplication_token: token, insert_deduplicate: 1, async_insert: 0 },
    );
    const [row] = await rig.clickhouse.query<{ count: number }>(
      'SELECT toUInt32(count()) AS count FROM cairn.events WHERE topic = {topic:String}',
      { topic },
    );
    return row?.count === 1;
  };

  test('ClickHouse is killed between token and part: the token swallows a retry, and the next owner, which has another, loads the rows', async () => {
    const org = await produce();
    let token = '';
    const dead = dieAt(rig, first, ROWS, 'after', ({ settings }) => {
      token = settings.get('insert_deduplication_token') ?? '';
    });
    begin(first);
    await dead;
    expect(await countOf(org)).toBeGreaterThan(0);
    const { day } = await killAndTakeAway(rig, org, 'part');
    expect(await countOf(org)).toBe(0);
    expect(await isTaken(token, day, 'probe.swallowed')).toBe(false);
    await second.start();
    await holds();
  }, 60_000);

  test('the tokens are lost and the part is kept: a token no longer holds anyone back, and the rows are not inserted again', async () => {
    const org = await produce();
    let token = '';
    const dead = dieAt(rig, first, ROWS, 'after', ({ settings }) => {
      token = settings.get('insert_deduplication_token') ?? '';
    });
    begin(first);
    await dead;
    const { day } = await killAndTakeAway(rig, org, 'tokens');
    expect(await countOf(org)).toBeGreaterThan(0);
    expect(await isTaken(token, day, 'probe.taken')).toBe(true);
    await second.start();
    await holds();
  }, 60_000);

  test('an owner that is stopped before its insert leaves, and comes back when the table has forgotten all tokens: its insert, executed then, inserts nothing', async () => {
    await produce();
    const stopped = Promise.withResolvers<void>();
    const later = Promise.withResolvers<void>();
    const executed = Promise.withResolvers<void>();
    let held = false;
    rig.tableProxy.decide = async ({ sql }) => {
      if (held || !sql.startsWith(ROWS)) return passes;
      held = true;
      first.signal('SIGSTOP');
      stopped.resolve();
      await later.promise;
      return { do: 'lose-answer', applied: async () => executed.resolve() };
    };
    begin(first);
    await stopped.promise;
    const windowOf = (size: number): Promise<void> =>
      rig.clickhouse.exec(
        `ALTER TABLE cairn.events MODIFY SETTING non_replicated_deduplication_window = ${size}`,
      );
    await windowOf(0);
    await second.start();
    await drained(rig, 60_000);
    later.resolve();
    await executed.promise;
    await holds();
    first.signal('SIGCONT');
    await produce();
    await holds();
    await windowOf(10_000);
  }, 120_000);

  /** Makes the first insert of rows run for so long that the next owner meets it. @returns when it runs. */
  const slowInsert = async (): Promise<{ readonly overlapped: () => boolean }> => {
    let slow = false;
    let overlapped = false;
    const running = async (): Promise<boolean> => {
      const found = await rig.clickhouse.query(
        `SELECT 1 FROM system.processes WHERE query LIKE '%sleepEachRow(0.2)%' AND query NOT LIKE '%system.processes%'`,
      );
      return found.length > 0;
    };
    rig.tableProxy.decide = async ({ sql }) => {
      if (slow && sql.startsWith('INSERT INTO cairn.ingest_owners')) overlapped ||= await running();
      if (slow || !sql.startsWith(ROWS)) return passes;
      slow = true;
      return {
        do: 'pass',
        sql: sql.replace('\nWHERE ', '\nWHERE sleepEachRow(0.2) = 0 AND '),
        settings: { function_sleep_max_microseconds_per_block: '0' },
      };
    };
    begin(first);
    await until('the insert runs', running);
    return { overlapped: () => overlapped };
  };

  test('two owners insert at once: the earlier insert is ended or has landed before the later owner looks, and every event is one row', async () => {
    await produce(60);
    const { overlapped } = await slowInsert();
    first.signal('SIGSTOP');
    await second.start();
    await holds();
    expect(overlapped()).toBe(true);
  }, 120_000);

  test('partitions move in the middle of a chunk: every event is one row', async () => {
    await produce(60);
    const { overlapped } = await slowInsert();
    await second.start();
    await holds();
    expect(overlapped()).toBe(true);
  }, 120_000);

  describe('a row that the table refuses', () => {
    /** Has ClickHouse itself fail to read the row at an offset. */
    const refusing = (sql: string, offset: number): string =>
      sql.replace('\nWHERE ', `\nWHERE toUInt8(if(offset = ${offset}, 'refused', '0')) = 0 AND `);

    test('is parked with its bytes and its reason after any number of attempts, also when ingest dies between, and its neighbours are loaded', async () => {
      const { end = 0 } = (await rig.kafka.boundsOf(TOPIC)).get(0) ?? {};
      const org = await produce();
      // Behind the record that is no event and the events that the recorder sends for itself.
      const offset = end + 20;
      const dead = dieAt(rig, first, 'parking', 'after');
      const kill = rig.proxy.decide;
      let parked = 0;
      // The first thing that is parked is no event; the second one is this row.
      rig.proxy.decide = (request) => {
        if (request.isProduce) parked += 1;
        return parked < 2 ? { do: 'pass' } : kill(request);
      };
      const refuse = (statement: ProxiedStatement): StatementFate =>
        statement.sql.startsWith(ROWS) ? { do: 'pass', sql: refusing(statement.sql, offset) } : passes;
      rig.tableProxy.decide = refuse;
      begin(first);
      await dead;
      await second.start();
      await drained(rig, 60_000);
      const gaps = await rig.clickhouse.query<{ offset: number; reason: string; sha: number }>(
        `SELECT toUInt32(offset_first) AS offset, reason, toUInt32(length(value_sha256)) AS sha FROM cairn.ingest_gaps FINAL
         WHERE partition = 0 AND offset_first >= {end:Int64} AND reason = 'table.refused'`,
        { end },
      );
      expect(gaps).toEqual([{ offset, reason: 'table.refused', sha: 64 }]);
      const rows = await countOf(org);
      const { faults } = await judge(rig, recorder.recorded, 60_000);
      expect(faults.lost).toHaveLength(1);
      expect({ ...faults, lost: [], streams: [] }).toEqual(NO_FAULTS);
      expect(rows).toBeGreaterThanOrEqual(39);
    }, 120_000);
  });
});
