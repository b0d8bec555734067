// The trail asked where it lies: ClickHouse, segments in S3, query copies, and days that were loaded back. Real parts.

import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ClickHouse,
  type Kafka,
  migrate,
  type ObjectStore,
  openClickHouse,
  openKafka,
  openObjectStore,
} from '@cairn/adapters';
import { openEvidence, placeFound, readArchive, readKeys } from '@cairn/archive';
import { walkDatum } from '@cairn/event';
import { messageOf } from '@cairn/failure';
import { segmentName, tombstoneName } from '@cairn/ledger';
import { type Parts, REPOSITORY, S3_ACCESS_KEY, S3_SECRET_KEY, startParts } from '@cairn/local';
import {
  type Answer,
  copyName,
  type FoundEvent,
  type Question,
  readHotDays,
  rowsOfSegment,
  StreamHeads,
  searchEvents,
} from '@cairn/query';
import type { RecordDraft } from '@cairn/recorder';
import { conditionOf, readSearch } from '@cairn/search';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { compareRows } from '../../../services/archival/src/compare-rows.ts';
import { copyStoreIn } from '../../../services/archival/src/copy-segments.ts';
import { dropRestoredDays, restoredDaysIn } from '../../../services/archival/src/drop-restored-days.ts';
import { derivedIn } from '../../../services/archival/src/forget-derived.ts';
import { hotTableIn } from '../../../services/archival/src/hot-table.ts';
import { nativeEncoder, tableIn } from '../../../services/ingest/src/index.ts';
import { MIGRATIONS } from './config.ts';
import { restoreDays } from './restore-days.ts';
import { restoredTableIn } from './restored-table.ts';
import { Folder, ORIGIN } from './testing/archive-on-disk.ts';
import { coldWorldOf, TOPIC } from './testing/cold-world.ts';
import { cairn } from './testing/run-cairn.ts';

const BUCKET = 'cold-archive';
const COPIES = 'cold-copies';
const DAYS = ['2026-01-05', '2026-01-06', '2026-01-07'];
const EVENTS = 3_000;
const folder = new Folder();
const world = coldWorldOf({ firstDay: DAYS[0]!, days: 3, events: EVENTS, segmentLeaves: 350 });
const COLLECTIONS = { archive: 'cairn_archive', copies: 'cairn_copies' };

let parts: Parts;
let kafka: Kafka;
let clickhouse: ClickHouse;
let store: ObjectStore;
let copies: ObjectStore;
let env: Record<string, string>;
/** The rows of the table as ingest loaded them, column for column, by offset. */
let loaded: Record<string, unknown>[];

beforeAll(async () => {
  parts = await startParts({
    directory: folder.file('parts'),
    parts: ['kafka', 'clickhouse', 's3'],
    ports: 'any',
  });
  // A restoration is recorded.
  kafka = openKafka({ brokers: [parts.part('kafka').address], clientId: 'cold' });
  await kafka.ensureTopics([{ name: TOPIC, partitions: 1 }]);
  clickhouse = openClickHouse({ url: parts.part('clickhouse').address });
  await migrate(clickhouse, { directory: MIGRATIONS });
  const endpoint = parts.part('s3').address;
  const open = (bucket: string) =>
    openObjectStore({ endpoint, bucket, accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY });
  [store, copies] = await Promise.all([open(BUCKET), open(COPIES)]);
  await store.ensureBucket();
  await copies.ensureBucket();
  const lock = { mode: 'COMPLIANCE', retainUntil: new Date(Date.now() + 5_000) } as const;
  for (const [name, bytes] of world.archive.bucket) await store.putLocked(name, bytes, lock);
  env = {
    ...parts.env(),
    S3_ENDPOINT: endpoint,
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
    CAIRN_ROOT_KEY: world.archive.keys.root.key.vkey,
    CAIRN_ACTS_DIRECTORY: folder.file('acts'),
  };
  expect(await cairn(['attach', `s3://${BUCKET}`, '--copies', `s3://${COPIES}`], { env })).toMatchObject({
    code: 0,
    stderr: '',
  });
  await load();
  loaded = await wholeRows('cairn.events');
}, 180_000);
afterAll(async () => {
  await kafka?.[Symbol.asyncDispose]();
  await clickhouse?.[Symbol.asyncDispose]();
  await store?.[Symbol.asyncDispose]();
  await copies?.[Symbol.asyncDispose]();
  await parts?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** All days into the hot table, by the encoder and the INSERT of ingest. */
async function load(): Promise<void> {
  const table = tableIn(clickhouse);
  const owner = { topic: TOPIC, partition: 0, name: 'test' };
  await table.becomeOwner(owner);
  for (const chunk of world.chunks) {
    const open = nativeEncoder.open(chunk);
    for (const row of chunk.rows) {
      walkDatum(row.bytes, row.schemaId, row.start, row.end, open.places, open.placesAt);
      open.add(row);
    }
    for (const body of open.bodies()) await table.insert([{ owner, refusal: 'one-by-one', body }]);
    open.release();
  }
}

/** Every column, stored and computed, in a form that shows its bytes. */
async function wholeRows(table: string): Promise<Record<string, unknown>[]> {
  return clickhouse.query(
    `SELECT * REPLACE(lower(hex(leaf_hash)) AS leaf_hash, lower(hex(prev_hash)) AS prev_hash, lower(hex(signature)) AS signature,
       lower(hex(event_id_random)) AS event_id_random, lower(hex(call_id_random)) AS call_id_random,
       lower(hex(tool_hash)) AS tool_hash, lower(hex(parameters_hash)) AS parameters_hash, lower(hex(response_hash)) AS response_hash,
       lower(hex(goal_hash)) AS goal_hash, lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id,
       lower(hex(policy_set_hash)) AS policy_set_hash), toString(event_id) AS event_id, toString(call_id) AS call_id
     FROM ${table} ORDER BY offset`,
  );
}

const drop = (day: string) => clickhouse.exec(`ALTER TABLE cairn.events DROP PARTITION '${day}'`);

async function ask(more: Partial<Question>, withCopies = false): Promise<Answer> {
  const s3 = {
    endpoint: env['S3_ENDPOINT']!,
    region: 'us-east-1',
    accessKey: S3_ACCESS_KEY,
    secretKey: S3_SECRET_KEY,
  };
  await using evidence = await openEvidence(`s3://${BUCKET}`, s3);
  await using copied = await openEvidence(`s3://${COPIES}`, s3);
  const { history } = await readKeys(evidence, world.archive.keys.root.key);
  return searchEvents(
    clickhouse,
    {
      collections: COLLECTIONS,
      segments: () => readArchive(evidence, history, withCopies ? copied : undefined),
    },
    { over: 'both', filters: {}, order: 'newest', limit: 200, ...more },
  );
}

/** Their places in the archive, every field compared with the bytes that are kept there. */
async function proven(events: readonly FoundEvent[]) {
  const s3 = {
    endpoint: env['S3_ENDPOINT']!,
    region: 'us-east-1',
    accessKey: S3_ACCESS_KEY,
    secretKey: S3_SECRET_KEY,
  };
  await using evidence = await openEvidence(`s3://${BUCKET}`, s3);
  const { history } = await readKeys(evidence, world.archive.keys.root.key);
  const segments = await readArchive(evidence, history, undefined);
  return placeFound(evidence, history.deployment, segments, events, true);
}

/** An event without where it was found. */
const told = ({ store: _, ...event }: FoundEvent) => event;
const toldWithoutLeaf = ({ store: _, leaf_hash: __, ...event }: FoundEvent) => event;

function searched(text: string): Partial<Question> {
  return {
    condition: conditionOf(readSearch(text), Date.parse('2026-01-08T00:00:00Z') * 1_000),
    limit: 5_000,
  };
}

const QUESTIONS: Record<string, Partial<Question>> = {
  everything: { limit: 5_000 },
  'the first of them': { order: 'oldest', limit: 37 },
  'one organisation': { filters: { org_id: ['org-1'] }, limit: 5_000 },
  denials: { filters: { decision: ['deny'] }, limit: 5_000 },
  failures: { filters: { result_status: ['failure', 'timeout'] }, limit: 5_000 },
  'a gateway over some hours': {
    filters: { gateway_id: ['gw-003'] },
    from: Date.parse('2026-01-05T20:00:00Z') * 1_000,
    to: Date.parse('2026-01-06T04:00:00Z') * 1_000,
    limit: 5_000,
  },
  'a search over texts, numbers and lists': searched(
    'latency_ms:>1 -decision:deny tool:*e* (action:* OR rule:*) NOT error_code:x',
  ),
  'a search over ids, hashes and times': searched(
    'event_id:* (call_id:* OR kind:seal) timestamp:[2026-01-05 TO 2026-01-07] received_at:>2026-01-01 -trace_id:00000000000000000000000000000000',
  ),
  'a word anywhere': searched('r NOT redactions:nothing'),
  'what nobody has': { filters: { agent_id: ["x' OR 1 = 1 --", '\\'] } },
};

describe('a question', () => {
  test.each(Object.keys(QUESTIONS))(
    'gets the same events from ClickHouse and out of the segments, column for column: %s',
    async (name) => {
      const hot = await ask({ ...QUESTIONS[name], over: 'hot' });
      const cold = await ask({ ...QUESTIONS[name], over: 'cold' });
      if (name !== 'what nobody has') expect(hot.events.length).toBeGreaterThan(0);
      // A segment's row has no leaf hash: that is a hash over its bytes.
      expect(cold.events.map(toldWithoutLeaf)).toEqual(hot.events.map(toldWithoutLeaf));
      expect(new Set(cold.events.map(({ leaf_hash: leaf }) => leaf)).isSubsetOf(new Set([null]))).toBe(true);
      expect(cold.rows).toEqual({ hot: 0, restored: 0, copy: 0, archive: hot.events.length });
    },
    60_000,
  );

  test('over the archive gets the leaf of each event, and every field is that of the bytes that were signed', async () => {
    const hot = await ask({ over: 'hot', limit: 5_000, order: 'oldest' });
    const cold = await ask({ over: 'cold', limit: 5_000, order: 'oldest' });
    const { events, segments } = await proven(cold.events);
    expect(events.map(({ offset, leaf_hash }) => [offset, leaf_hash])).toEqual(
      hot.events.map(({ offset, leaf_hash }) => [offset, leaf_hash]),
    );
    // Every record of this log is a leaf.
    expect(events.every(({ offset, leaf_index }) => offset === leaf_index)).toBe(true);
    expect(segments).toBe(world.manifests.length);
  }, 60_000);

  test('is answered with proof by the command', async () => {
    const asked = [
      'search',
      '--over',
      'cold',
      '--archive',
      `s3://${BUCKET}`,
      '--limit',
      '3',
      '--prove',
      '--json',
    ];
    const { code, stdout, stderr } = await cairn(asked, { env });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const rows = stdout
      .trim()
      .split('\n')
      .slice(0, 3)
      .map((line) => JSON.parse(line) as FoundEvent);
    expect(rows.map(({ leaf_hash }) => /^[0-9a-f]{64}$/.test(leaf_hash ?? ''))).toEqual([true, true, true]);
    expect(rows.map((row) => row['leaf_index'])).toEqual(rows.map(({ offset }) => offset));
  }, 60_000);

  test('is told how many segments were read and how many the manifests ruled out', async () => {
    const { segments } = await ask({ ...QUESTIONS['a gateway over some hours'], over: 'cold' });
    expect(segments.read).toBeGreaterThan(0);
    expect(segments.ruledOut).toBeGreaterThan(0);
    expect(segments.read + segments.ruledOut).toBe(world.manifests.length);
  });

  test('whose first page is full reads only the segments that can hold it', async () => {
    const { segments, events } = await ask({ over: 'cold', limit: 10 });
    expect(events).toHaveLength(10);
    expect(segments.read).toBeLessThan(world.manifests.length);
    expect(segments.read + segments.notNeeded).toBe(world.manifests.length);
  }, 60_000);
});

describe('query copies', () => {
  test('give every column that ClickHouse gives, leaf hashes too', async () => {
    const writer = copyStoreIn(clickhouse, COLLECTIONS.copies, copies);
    const heads = new StreamHeads();
    for (const manifest of world.manifests) {
      const objects = manifest.objects.map(({ key, schema }) => ({
        schemaId: schema,
        bytes: world.archive.bucket.get(key)!,
      }));
      await writer.write(
        copyName(ORIGIN, manifest.first),
        rowsOfSegment(manifest, objects, heads, () => true),
      );
    }
    for (const [name, question] of Object.entries(QUESTIONS)) {
      const hot = await ask({ ...question, over: 'hot' });
      const cold = await ask({ ...question, over: 'cold' }, true);
      expect([name, cold.events.map(told)]).toEqual([name, hot.events.map(told)]);
      expect(cold.segments.copiesRead).toBe(cold.segments.read);
      expect(cold.rows.archive).toBe(0);
    }
  }, 120_000);

  test('are not written over', async () => {
    const [manifest] = world.manifests;
    const objects = [{ schemaId: 1, bytes: world.archive.bucket.get(segmentName(ORIGIN, 0, 1))! }];
    const rows = rowsOfSegment(manifest!, objects, new StreamHeads(), () => true);
    const writer = copyStoreIn(clickhouse, COLLECTIONS.copies, copies);
    await expect(writer.write(copyName(ORIGIN, 0), rows)).rejects.toThrow(/already exists/);
  });
});

describe('what the hot table has dropped', () => {
  let before: Answer;
  beforeAll(async () => {
    before = await ask({ limit: 5_000, over: 'hot' });
    await drop(DAYS[0]!);
    await drop(DAYS[1]!);
  });

  test('comes from the archive, each event once and in the order that it had', async () => {
    const both = await ask({ limit: 5_000 });
    expect(both.events.map(toldWithoutLeaf)).toEqual(before.events.map(toldWithoutLeaf));
    expect(both.rows).toEqual({ hot: 1_000, restored: 0, copy: 0, archive: 2_000 });
    expect(both.hotDays).toEqual([DAYS[2]]);
    expect(both.segments.servedHot).toBe(3);
  }, 60_000);

  test('comes page after page without a hole and without a repetition', async () => {
    const found: FoundEvent[] = [];
    let after: Question['after'];
    do {
      const page: Answer = await ask({ limit: 700, after });
      found.push(...page.events);
      after = page.next;
    } while (after !== undefined);
    expect(found.map(toldWithoutLeaf)).toEqual(before.events.map(toldWithoutLeaf));
  }, 60_000);

  test('is found by the command line, which says where each event came from', async () => {
    const args = ['search', '--archive', `s3://${BUCKET}`, '--limit', '1500'];
    const said = await cairn([...args, '--json'], { env });
    expect(said.code).toBe(0);
    const values = said.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(values.filter(({ store: from }) => from === 'hot')).toHaveLength(1_000);
    expect(values.at(-1)!.answer.rows).toEqual({ hot: 1_000, restored: 0, copy: 0, archive: 500 });
    const text = await cairn([...args, '--org', 'org-1'], { env });
    expect(text.stdout.split('\n')[0]).toMatch(/^TIME \(UTC\) +FROM +ORGANISATION/);
    expect(text.stderr).toMatch(
      /events: \d+ hot \(1 days\), 0 restored \(0 days\), \d+ cold\. Of 9 segments \d+ were read/,
    );
    expect(`${said.stdout}${said.stderr}${text.stderr}`).not.toContain(S3_SECRET_KEY);
  }, 60_000);
});

const restored = async (): Promise<number> => {
  const [row] = await clickhouse.query<{ rows: number }>(
    'SELECT toUInt32(count()) AS rows FROM cairn.restored_events',
  );
  return row!.rows;
};
const restoreArgs = (from: string, to: string) => [
  'restore',
  '--from',
  from,
  '--to',
  to,
  '--archive',
  `s3://${BUCKET}`,
];

describe('a restoration', () => {
  test('is not begun when it cannot be recorded, and how it ended is recorded before it is said', async () => {
    const told: RecordDraft[] = [];
    const acting = (record: (draft: RecordDraft) => Promise<void>) => ({
      env,
      parts: { openActs: async () => ({ record, [Symbol.asyncDispose]: async () => {} }) },
    });
    const deaf = acting(() => Promise.reject(new Error('the spool is full')));
    const args = [...restoreArgs(DAYS[0]!, DAYS[1]!), '--org', 'org-1'];
    expect(await cairn(args, deaf)).toMatchObject({ code: 1, stdout: '' });
    expect(await restored()).toBe(0);
    const said = await cairn(
      args,
      acting(async (draft) => void told.push(draft)),
    );
    expect(said).toMatchObject({ code: 0 });
    expect(told).toMatchObject([
      { org_id: 'org-1', kind: 'audit_access', method: 'days/restore', phase: 'decision' },
      { org_id: 'org-1', phase: 'outcome', result_status: 'success', call_id: told[0]!.call_id },
    ]);
    expect(JSON.parse(told[1]!.detail!)).toMatchObject({ events: await restored(), from: DAYS[0] });
    for (const table of ['restored_events', 'restored_days'])
      await clickhouse.exec(`TRUNCATE TABLE cairn.${table}`);
  }, 60_000);

  test('of one organisation loads its events alone, and answers for it alone', async () => {
    const said = await cairn([...restoreArgs(DAYS[0]!, DAYS[1]!), '--org', 'org-1', '--json'], { env });
    expect(said).toMatchObject({ code: 0 });
    const ofOne = loaded.filter(
      (row) => row['org_id'] === 'org-1' && String(row['received_at']).startsWith(DAYS[0]!),
    );
    expect(JSON.parse(said.stdout)).toMatchObject({
      day: DAYS[0],
      outcome: 'restored',
      events: ofOne.length,
      deleted: 0,
    });
    expect(await wholeRows('cairn.restored_events')).toEqual(ofOne);
    expect((await ask({ filters: { org_id: ['org-1'] } })).restoredDays).toEqual([DAYS[0]]);
    expect((await ask({ filters: { org_id: ['org-0', 'org-1'] } })).restoredDays).toEqual([]);
  }, 60_000);

  test('killed -9 in the midst shows nothing half, and run again loads each event once', async () => {
    const main = `${REPOSITORY}/packages/cli/src/main.ts`;
    const args = restoreArgs(DAYS[0]!, DAYS[2]!);
    const path = { PATH: process.env['PATH'] ?? '' };
    let child: ChildProcess;
    const begun = await restored();
    for (let kill = 0; kill < 3; kill += 1) {
      child = spawn(process.execPath, [main, ...args], { env: { ...path, ...env }, stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      const at = await restored();
      const deadline = performance.now() + 30_000;
      while ((await restored()) === at && child.exitCode === null && performance.now() < deadline)
        await sleep(2);
      child.kill('SIGKILL');
      await ended;
      const both = await ask({ limit: 5_000 });
      expect(both.events).toHaveLength(EVENTS);
    }
    expect(await restored()).toBeGreaterThan(begun);
    const said = await cairn(args, { env });
    expect(said).toMatchObject({ code: 0 });
    expect(said.stdout).toMatch(new RegExp(`${DAYS[0]}  1000 events from \\d proven segments\n`));
    const days = loaded.filter((row) => !String(row['received_at']).startsWith(DAYS[2]!));
    expect(await wholeRows('cairn.restored_events')).toEqual(days);
    const both = await ask({ limit: 5_000 });
    expect(both.rows).toEqual({ hot: 1_000, restored: 2_000, copy: 0, archive: 0 });
    expect(both.segments).toMatchObject({ read: 0, servedHot: 9 });
  }, 120_000);

  test('run again changes nothing but how long the days stay', async () => {
    const whole = await wholeRows('cairn.restored_events');
    expect(await cairn(restoreArgs(DAYS[0]!, DAYS[2]!), { env })).toMatchObject({ code: 0 });
    expect(await wholeRows('cairn.restored_events')).toEqual(whole);
  }, 60_000);

  test('leaves a day alone that is hot, and one that the archive does not have', async () => {
    const said = await cairn([...restoreArgs(DAYS[2]!, '2026-01-09'), '--json'], { env });
    expect(
      said.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).outcome),
    ).toEqual(['hot', 'empty']);
  }, 60_000);

  test('of a day that is not over is refused', async () => {
    const today = new Date().toISOString().slice(0, 10);
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
    expect(await cairn(restoreArgs(today, tomorrow), { env })).toMatchObject({ code: 1, stdout: '' });
  }, 60_000);

  test('whose insert was applied and reported lost is run again and loads each event once', async () => {
    await clickhouse.exec('TRUNCATE TABLE cairn.restored_events');
    await clickhouse.exec('TRUNCATE TABLE cairn.restored_days');
    for (const effect of ['before', 'after'] as const) {
      let inserts = 0;
      const lossy: ClickHouse = {
        ...clickhouse,
        async insertBody(sql, pieces, settings) {
          inserts += 1;
          if (inserts === 2 && effect === 'before') throw new Error('no answer');
          await clickhouse.insertBody(sql, pieces, settings);
          if (inserts === 2) throw new Error('no answer');
        },
      };
      await expect(restoreWith(lossy, DAYS[0]!)).rejects.toThrow('no answer');
      expect((await readHotDays(clickhouse)).restored).toEqual([]);
    }
    expect(await restoreWith(clickhouse, DAYS[0]!)).toMatchObject([{ outcome: 'restored', events: 1_000 }]);
    const day = loaded.filter((row) => String(row['received_at']).startsWith(DAYS[0]!));
    expect(await wholeRows('cairn.restored_events')).toEqual(day);
  }, 60_000);

  test('run twice at once leaves each event there once, and what gives way says that it is to be run again', async () => {
    await clickhouse.exec('TRUNCATE TABLE cairn.restored_events');
    const both = await Promise.allSettled([
      restoreWith(clickhouse, DAYS[0]!),
      restoreWith(clickhouse, DAYS[0]!),
    ]);
    for (const one of both)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ retry: 'later' });
    await restoreWith(clickhouse, DAYS[0]!);
    const day = loaded.filter((row) => String(row['received_at']).startsWith(DAYS[0]!));
    expect(await wholeRows('cairn.restored_events')).toEqual(day);
  }, 60_000);

  test('loads nothing of a segment that is not what was signed', async () => {
    await clickhouse.exec('TRUNCATE TABLE cairn.restored_events');
    await clickhouse.exec('TRUNCATE TABLE cairn.restored_days');
    const altered = restoreWith(clickhouse, DAYS[0]!, (bytes) => bytes.with(2_000, bytes[2_000]! ^ 1));
    await expect(altered).rejects.toMatchObject({ code: 'archive.broken' });
    expect(await restored()).toBe(0);
    expect((await readHotDays(clickhouse)).restored).toEqual([]);
  }, 60_000);
});

describe('what was restored', () => {
  beforeAll(async () => {
    await restoreWith(clickhouse, DAYS[0]!);
    await restoreWith(clickhouse, DAYS[1]!);
  }, 60_000);

  test('is not dropped before its time, and then as a whole: the archive answers again', async () => {
    const table = restoredDaysIn(clickhouse);
    expect(await dropRestoredDays(table, Date.now())).toEqual([]);
    expect((await ask({ limit: 5_000 })).rows).toMatchObject({ restored: 2_000 });
    expect(await dropRestoredDays(table, Date.now() + 8 * 86_400_000)).toEqual([DAYS[0], DAYS[1]]);
    expect(await restored()).toBe(0);
    const both = await ask({ limit: 5_000 });
    expect(both.events).toHaveLength(EVENTS);
    expect(both.rows).toEqual({ hot: 1_000, restored: 0, copy: 0, archive: 2_000 });
  }, 60_000);

  test('goes with its copy when the retention of its segment ends, and is not restored again', async () => {
    await restoreWith(clickhouse, DAYS[0]!);
    const [first, second] = world.manifests;
    await derivedIn(clickhouse, copies).forget(first!);
    await derivedIn(clickhouse, copies).forget(first!);
    expect(await restored()).toBe(1_000 - (first!.end - first!.first));
    const names = (await Array.fromAsync(copies.listVersions('copy/'))).map(({ key }) => key);
    expect(names).not.toContain(copyName(ORIGIN, first!.first));
    expect(names).toContain(copyName(ORIGIN, second!.first));
    const lock = { mode: 'COMPLIANCE', retainUntil: new Date(Date.now() + 5_000) } as const;
    await store.putLocked(tombstoneName(ORIGIN, first!.first), Buffer.from('decided'), lock);
    await clickhouse.exec('TRUNCATE TABLE cairn.restored_events');
    expect(await restoreWith(clickhouse, DAYS[0]!)).toMatchObject([
      { outcome: 'restored', events: 1_000 - (first!.end - first!.first), deleted: 1 },
    ]);
    const cold = await ask({ limit: 5_000, over: 'cold' });
    expect(cold.segments.deleted).toBe(1);
    expect(cold.events).toHaveLength(EVENTS - (first!.end - first!.first));
  }, 60_000);
});

describe('a part of the table whose bytes were changed on disk, below its checksums', () => {
  /** Of the day that is still hot, row by row and value by value. */
  const compared = async () => {
    const table = hotTableIn(clickhouse);
    const ofDay = world.manifests.filter(
      ({ received }) => received.min >= Date.parse(`${DAYS[2]}T00:00:00Z`),
    );
    const differing: number[] = [];
    for (const manifest of ofDay) {
      const { first } = manifest.offsets;
      const { differences } = await compareRows(
        store,
        table,
        { topic: TOPIC, partition: 0 },
        manifest,
        first - 1,
      );
      differing.push(...differences.map(({ offset }) => offset));
    }
    return { segments: ofDay.length, differing };
  };

  test('is refused by the comparison with the archive, wherever it was changed, and loaded again from there', async () => {
    expect(await compared()).toEqual({ segments: 3, differing: [] });
    await clickhouse.exec('OPTIMIZE TABLE cairn.events FINAL');
    const [part] = await clickhouse.query<{ path: string }>(
      `SELECT path FROM system.parts WHERE database = 'cairn' AND table = 'events' AND active`,
    );
    const files = readdirSync(part!.path).filter((name) =>
      /^(data|leaf_hash|tool_name|timestamp)\.bin$/.test(name),
    );
    expect(files.length).toBeGreaterThan(0);
    const forget = async (): Promise<void> => {
      for (const cache of ['MARK', 'UNCOMPRESSED', 'QUERY'])
        await clickhouse.exec(`SYSTEM DROP ${cache} CACHE`);
    };
    for (const name of files) {
      const file = join(part!.path, name);
      const bytes = readFileSync(file);
      for (const share of [0.1, 0.3, 0.5, 0.7, 0.9]) {
        const at = Math.floor(bytes.length * share);
        writeFileSync(file, bytes.with(at, bytes[at]! ^ 1));
        await forget();
        await expect([name, share, await compared().catch(messageOf)]).not.toEqual([
          name,
          share,
          { segments: 3, differing: [] },
        ]);
      }
      writeFileSync(file, bytes);
    }
    await forget();
    expect(await compared()).toEqual({ segments: 3, differing: [] });

    await drop(DAYS[2]!);
    await restoreWith(clickhouse, DAYS[2]!);
    expect(
      await wholeRows('cairn.restored_events').then((rows) =>
        rows.filter((row) => String(row['received_at']).startsWith(DAYS[2]!)),
      ),
    ).toEqual(loaded.filter((row) => String(row['received_at']).startsWith(DAYS[2]!)));
  }, 120_000);
});

/** One day for seven days, with the archive as it is in memory. */
async function restoreWith(
  database: ClickHouse,
  day: string,
  altered: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
) {
  const s3 = {
    endpoint: env['S3_ENDPOINT']!,
    region: 'us-east-1',
    accessKey: S3_ACCESS_KEY,
    secretKey: S3_SECRET_KEY,
  };
  await using evidence = await openEvidence(`s3://${BUCKET}`, s3);
  const { history } = await readKeys(evidence, world.archive.keys.root.key);
  return restoreDays({
    table: restoredTableIn(database),
    segments: await readArchive(evidence, history, undefined),
    read: async ({ manifest }) =>
      manifest.objects.map(({ key, schema }) => ({
        schemaId: schema,
        bytes: altered(world.archive.bucket.get(key)!),
      })),
    deletedNow: async () => new Set(),
    hot: await readHotDays(database),
    from: day,
    to: new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10),
    org: '',
    until: new Date(Date.now() + 7 * 86_400_000),
    nowMs: Date.now(),
    onDay: () => {},
  });
}
