// What a question costs over the archive: the same questions to the hot table, to segments and to query copies in S3.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ClickHouse,
  migrate,
  nameBucket,
  type ObjectStore,
  openClickHouse,
  openObjectStore,
} from '@cairn/adapters';
import { AUDIT_EVENT_SCHEMA_ID, walkDatum } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import { tableIn } from '@cairn/ingest';
import { originOf, SEGMENT_LEAVES, SegmentWriter, type WrittenSegment } from '@cairn/ledger';
import { REPOSITORY, S3_ACCESS_KEY, S3_SECRET_KEY, startTestParts } from '@cairn/local';
import { type EventRows, eventBlock } from '@cairn/native';
import {
  avroSource,
  COPY_SETTINGS,
  copyInsert,
  copyName,
  copySource,
  HOT,
  type Question,
  type Segment,
  type Source,
  searchEvents,
} from '@cairn/query';
import { type Measured, type Row, type SubjectOptions, spreadOf } from '../measured.ts';
import { cpuSecondsOf } from '../process-cost.ts';
import { chunksOf } from '../table/chunks.ts';
import { insertChunk } from '../table/fill-table.ts';

const TOPIC = 'audit.events.standard';
const ORIGIN = originOf({ deployment: 'bench', topic: TOPIC, partition: 0 });
const COLLECTIONS = { archive: 'cairn_archive', copies: 'cairn_copies' };
const GATEWAYS = 32;

/**
 * `--segments N` of 65,536 events, default 8, over about nine hours of traffic. Each question is asked of each store in turn,
 * after one round that is thrown away.
 */
export default async function cold({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const count = Number(flags['segments'] ?? (quick ? 2 : 8));
  const leaves = quick ? 4_096 : SEGMENT_LEAVES;
  const repeats = quick ? 1 : 5;
  await using world = await openWorld();
  const { clickhouse, pid } = world;

  say(`${count} segments of ${leaves} events into ClickHouse, S3 and copies`);
  const filled = await fill(world, count, leaves);
  const session = await sessionIn(clickhouse);
  const { agent, from, to } = await agentIn(clickhouse);
  const hour = { from, to };
  const questions: readonly (readonly [string, Partial<Question>])[] = [
    ['the last 100 events of an agent', { filters: { agent_id: [agent] }, limit: 100 }],
    ['a session, whenever it was', { filters: { session_id: [session] }, limit: 1_000, order: 'oldest' }],
    ['failures within an hour', { filters: { result_status: ['failure'] }, limit: 1_000, ...hour }],
  ];
  const rows: Row[] = [];
  const wall = new Map<string, number>();
  for (const [name, question] of questions) {
    for (const store of STORES) {
      const segments = filled.segments.map(({ manifest, copy }) => ({
        manifest,
        isDeleted: false,
        copy: store === 'copies' ? copy : undefined,
      }));
      const asked: Question = {
        over: store === 'hot' ? 'hot' : 'cold',
        filters: {},
        order: 'newest',
        limit: 100,
        ...question,
      };
      const archive = { collections: COLLECTIONS, segments: async () => segments };
      const figures = await timed(pid, repeats, async () => {
        const answer = await searchEvents(clickhouse, archive, asked);
        return { events: answer.events.length, segments: answer.segments.read };
      });
      wall.set(`${name} ${store}`, spreadOf(figures.ms).median);
      rows.push({ name: `${name}: ${LABELS[store]}`, figures: { ...figures } });
    }
  }
  const keys = filled.segments.flatMap(({ manifest }) => manifest.objects.map(({ key }) => key));
  const copies = filled.segments.map(({ copy }) => copy);
  const sources: Record<(typeof STORES)[number], Source> = {
    hot: HOT,
    copies: copySource(COLLECTIONS.copies, copies),
    segments: avroSource(COLLECTIONS.archive, AUDIT_EVENT_SCHEMA_ID, keys),
  };
  for (const store of STORES) {
    const { from: source, parameters } = sources[store];
    const figures = await timed(pid, repeats, async () => {
      const tools = await clickhouse.query(
        `SELECT tool_name, result_status, count(), sum(latency_ms) FROM ${source} GROUP BY ALL`,
        parameters,
      );
      return { events: tools.length, segments: store === 'hot' ? 0 : keys.length };
    });
    wall.set(`all ${store}`, spreadOf(figures.ms).median);
    rows.push({
      name: `calls and latency by tool, over everything: ${LABELS[store]}`,
      figures: { ...figures },
    });
  }
  const ratio = (name: string, slow: string, fast: string): number =>
    (wall.get(`${name} ${slow}`) ?? NaN) / (wall.get(`${name} ${fast}`) ?? NaN);
  return {
    question: 'What does a question cost over segments and over query copies, against the same question hot?',
    columns: [
      { name: 'ms', heading: 'ms', digits: 0 },
      { name: 'cpu_ms', heading: "ClickHouse's CPU ms", digits: 0 },
      { name: 'segments', heading: 'segments read', digits: 0 },
      { name: 'rows', heading: 'rows', digits: 0 },
    ],
    rows,
    claims: [
      {
        what: 'times faster over copies than over segments, calls and latency by tool over everything',
        measured: ratio('all', 'segments', 'copies'),
        wanted: 'at least',
        limit: 2,
      },
      {
        what: 'bytes of an event in a copy',
        measured: filled.copyBytes,
        wanted: 'at most',
        limit: 140,
      },
    ],
    notes: [
      `${filled.events.toLocaleString('en-US')} events of ${GATEWAYS} gateways in ${count} segments of one partition; each event takes ${filled.segmentBytes.toFixed(1)} bytes in its segment and ${filled.copyBytes.toFixed(1)} in its copy.`,
      `A copy cost ClickHouse ${filled.copyCpuMicros.toFixed(1)} µs of CPU an event to write.`,
      'S3 is versitygw on the same machine: what a far store adds to each reading is not in it. Manifests were read beforehand.',
      'Over everything nothing is ruled out; over cold alone the last 100 events stop at the first segments that hold them.',
    ],
  };
}

const STORES = ['hot', 'copies', 'segments'] as const;
const LABELS = { hot: 'hot', copies: 'copies (Parquet)', segments: 'segments (Avro)' } as const;

interface Timed {
  readonly ms: number[];
  readonly cpu_ms: number[];
  readonly segments: number[];
  readonly rows: number[];
}

async function timed(
  pid: number,
  repeats: number,
  ask: () => Promise<{ readonly events: number; readonly segments: number }>,
): Promise<Timed> {
  const figures: Timed = { ms: [], cpu_ms: [], segments: [], rows: [] };
  for (let repeat = -1; repeat < repeats; repeat += 1) {
    const cpu = cpuSecondsOf(pid) ?? 0;
    const began = performance.now();
    const { events, segments } = await ask();
    const ms = performance.now() - began;
    if (repeat < 0) continue;
    figures.ms.push(ms);
    figures.cpu_ms.push(((cpuSecondsOf(pid) ?? 0) - cpu) * 1_000);
    if (repeat > 0) continue;
    figures.segments.push(segments);
    figures.rows.push(events);
  }
  return figures;
}

interface World extends AsyncDisposable {
  readonly clickhouse: ClickHouse;
  readonly pid: number;
  readonly archive: ObjectStore;
  readonly copies: ObjectStore;
}

async function openWorld(): Promise<World> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-cold-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const parts = own.use(await startTestParts({ directory, parts: ['clickhouse', 's3'] }));
    const part = parts.part('clickhouse');
    const clickhouse = own.use(openClickHouse({ url: part.address, answerMsMax: 600_000 }));
    await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    const endpoint = parts.part('s3').address;
    const stores: ObjectStore[] = [];
    for (const [collection, bucket] of [
      [COLLECTIONS.archive, 'archive'],
      [COLLECTIONS.copies, 'copies'],
    ] as const) {
      const access = { endpoint, bucket, accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY };
      const store = own.use(await openObjectStore(access));
      await store.ensureBucket();
      await nameBucket(clickhouse, collection, access);
      stores.push(store);
    }
    const [archive, copies] = stores;
    return {
      clickhouse,
      pid: part.pid ?? 0,
      archive: archive!,
      copies: copies!,
      [Symbol.asyncDispose]: () => own.disposeAsync(),
    };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

interface Filled {
  readonly events: number;
  readonly segments: readonly (Segment & { readonly copy: string })[];
  readonly segmentBytes: number;
  readonly copyBytes: number;
  readonly copyCpuMicros: number;
}

/** The same events three times: as rows by ingest's INSERT, as segments by archival's writer, as copies by its statement. */
async function fill(
  { clickhouse, pid, archive, copies }: World,
  count: number,
  leaves: number,
): Promise<Filled> {
  const table = tableIn(clickhouse);
  const owner = { topic: TOPIC, partition: 0, name: 'bench' };
  await table.becomeOwner(owner);
  const segments: (Segment & { readonly copy: string })[] = [];
  const sum = { events: 0, segmentBytes: 0, copySeconds: 0 };
  const options = {
    events: count * leaves,
    rowsMax: leaves,
    partitions: 1,
    gateways: GATEWAYS,
    eventsPerSecond: 0.5,
  };
  for (const chunk of chunksOf(options)) {
    await insertChunk(table, owner, chunk);
    const { range, objects, summary } = segmentOf(chunk, sum.events);
    for (const { name, bytes } of objects) {
      await stored(archive, name, bytes);
      sum.segmentBytes += bytes.length;
    }
    const copy = copyName(ORIGIN, range.first);
    const { pieces, release } = eventBlock(chunk);
    const began = cpuSecondsOf(pid) ?? 0;
    await clickhouse.insertBody(copyInsert(COLLECTIONS.copies, copy), pieces, COPY_SETTINGS);
    sum.copySeconds += (cpuSecondsOf(pid) ?? 0) - began;
    release();
    const manifest = { origin: ORIGIN, objects: objects.map(({ entry }) => entry), ...summary };
    segments.push({ manifest, isDeleted: false, copy });
    sum.events += chunk.rows.length;
  }
  await clickhouse.exec('OPTIMIZE TABLE cairn.events FINAL');
  let copyBytes = 0;
  for await (const { bytes } of copies.list('copy/')) copyBytes += bytes;
  return {
    events: sum.events,
    segments,
    segmentBytes: sum.segmentBytes / sum.events,
    copyBytes: copyBytes / sum.events,
    copyCpuMicros: (sum.copySeconds / sum.events) * 1e6,
  };
}

/** A connection that lay idle while rows were inserted may be gone; a put may be sent again. */
async function stored(store: ObjectStore, name: string, bytes: Uint8Array): Promise<void> {
  const put = () =>
    store.putLocked(name, bytes, { mode: 'COMPLIANCE', retainUntil: new Date(Date.now() + 5_000) });
  await put().catch((error: unknown) => {
    if (isFailure(error, 's3.unreachable')) return put();
    throw error;
  });
}

function segmentOf({ rows }: EventRows, first: number): WrittenSegment {
  const writer = new SegmentWriter(ORIGIN, first);
  for (const { offset, receivedAtMs, schemaId, bytes, start, end, leafHash: hash } of rows) {
    const walked = walkDatum(bytes, schemaId, start, end);
    if (!walked.ok) throw new Error(`offset ${offset} holds no event`);
    writer.add({ offset, receivedAtMs, schemaId, bytes, start, end, walked, hash });
  }
  return writer.close();
}

/** A session from the midst. */
async function sessionIn(clickhouse: ClickHouse): Promise<string> {
  const [found] = await clickhouse.query<{ session: string }>(
    `SELECT session_id AS session FROM cairn.events WHERE session_id != ''
     AND offset >= (SELECT max(offset) / 2 FROM cairn.events) ORDER BY offset LIMIT 1`,
  );
  return found!.session;
}

/** An agent, and an hour in the midst of the traffic. */
async function agentIn(clickhouse: ClickHouse): Promise<{ agent: string; from: number; to: number }> {
  const [found] = await clickhouse.query<{ agent: string; middle: number }>(
    `SELECT any(agent_id) AS agent, intDiv(toUnixTimestamp64Micro(min(timestamp)) + toUnixTimestamp64Micro(max(timestamp)), 2) AS middle
     FROM cairn.events WHERE agent_id != ''`,
    {},
    { output_format_json_quote_64bit_integers: 0 },
  );
  return { agent: found!.agent, from: found!.middle, to: found!.middle + 3_600_000_000 };
}
