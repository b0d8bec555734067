import type { ClickHouse, Settings } from '@cairn/adapters';
import { EPOCHS_REMEMBERED, HASHES_REMEMBERED, type StreamPositions, streamKey } from '@cairn/ledger';
import {
  type Anchor,
  type EventTable,
  type Gap,
  type Held,
  type Insertion,
  joined,
  type Owner,
  type Place,
  type Range,
  type StreamFinding,
} from './event-table.ts';
import { streamsFrom } from './streams-from.ts';

/** The table of events in ClickHouse: cairn.events and what stands beside it, see deploy/clickhouse/0001_events.sql. */
export function tableIn(clickhouse: ClickHouse): EventTable {
  return {
    becomeOwner: (owner) => becomeOwner(clickhouse, owner),
    endInserts: ({ topic, partition }) => clickhouse.killQueries(`ingest|${topic}|`, `|${partition}|`),
    held: (place, first) => held(clickhouse, place, first),
    covered: (place, from) => covered(clickhouse, place, from),
    streams: (place, next, whole) => loadStreams(clickhouse, place, next, whole),
    rowBelow: (place, offset) => rowBelow(clickhouse, place, offset),
    insert: (insertions) => insert(clickhouse, insertions),
    insertGaps: (owner, gaps) => insertGaps(clickhouse, owner, gaps),
    insertFindings: (owner, findings) => insertFindings(clickhouse, owner, findings),
  };
}

/** What an insert says of itself: its topic and partitions, each between bars; `KILL QUERY` finds it by one of them. */
const insertComment = (places: readonly Place[]): string =>
  `ingest|${places[0]!.topic}|${places.map(({ partition }) => `|${partition}|`).join('')}`;

const HERE = 'topic = {topic:String} AND partition = {partition:Int32}';
const NUMBERS = { output_format_json_quote_64bit_integers: 0 };

async function becomeOwner(clickhouse: ClickHouse, { topic, partition, name }: Owner): Promise<void> {
  const [row] = await clickhouse.query<{ epoch: number }>(
    `SELECT max(epoch) AS epoch FROM cairn.ingest_owners WHERE ${HERE}`,
    { topic, partition },
    NUMBERS,
  );
  const epoch = (row?.epoch ?? 0) + 1;
  await clickhouse.insertRows('cairn.ingest_owners', [{ topic, partition, epoch, owner: name }], {
    async_insert: 0,
  });
}

/** From the projection, whatever the table's size. Whatever does not add up counts as a hole, and is looked for. */
async function held(clickhouse: ClickHouse, { topic, partition }: Place, first: number): Promise<Held> {
  const [rows] = await clickhouse.query<{ count: number; lowest: number; highest: number }>(
    `SELECT count() AS count, min(offset) AS lowest, max(offset) AS highest FROM cairn.events WHERE ${HERE}`,
    { topic, partition },
    NUMBERS,
  );
  const [gaps] = await clickhouse.query<{ count: number; highest: number }>(
    `SELECT count() AS count, max(offset_last) AS highest FROM cairn.ingest_gaps WHERE ${HERE}`,
    { topic, partition },
    NUMBERS,
  );
  const count = rows?.count ?? 0;
  const highest = Math.max(rows && count > 0 ? rows.highest : -1, gaps && gaps.count > 0 ? gaps.highest : -1);
  if (highest < first) return { highest, whole: true };
  const origin = rows && count > 0 ? Math.min(rows.lowest, first) : first;
  const [declared] = await clickhouse.query<{ offsets: number }>(
    `SELECT sum(offset_last - greatest(offset_first, {origin:Int64}) + 1) AS offsets
     FROM (SELECT DISTINCT offset_first, offset_last FROM cairn.ingest_gaps WHERE ${HERE} AND offset_last >= {origin:Int64})`,
    { topic, partition, origin },
    NUMBERS,
  );
  return { highest, whole: highest - origin + 1 === count + (declared?.offsets ?? 0) };
}

async function covered(clickhouse: ClickHouse, { topic, partition }: Place, from: number): Promise<Range[]> {
  const ranges = await clickhouse.query<Range>(
    `SELECT toInt64(min(offset)) AS first, toInt64(max(offset)) AS last FROM (
       SELECT offset, offset - row_number() OVER (ORDER BY offset) AS island
       FROM (SELECT DISTINCT offset FROM cairn.events WHERE ${HERE} AND offset >= {from:Int64})
     ) GROUP BY island
     UNION ALL
     SELECT greatest(offset_first, {from:Int64}) AS first, offset_last AS last
     FROM cairn.ingest_gaps FINAL WHERE ${HERE} AND offset_last >= {from:Int64}`,
    { topic, partition, from },
    NUMBERS,
  );
  return joined(ranges);
}

/**
 * With the leaf hashes of the latest rows, so that an event that a producer sends again is told from another one under
 * its number. When there is no row at or above `next` the answer comes from the projection, whatever the table's size.
 */
async function loadStreams(
  clickhouse: ClickHouse,
  { topic, partition }: Place,
  next: number,
  whole: boolean,
): Promise<StreamPositions> {
  const below = whole ? '' : 'AND offset < {next:Int64}';
  const heads = await clickhouse.query<Head>(
    `SELECT org_id, gateway_id, epoch, max(seq) AS last_seq, lower(hex(argMax(leaf_hash, seq))) AS head
     FROM cairn.events WHERE ${HERE} ${below}
     GROUP BY org_id, gateway_id, epoch
     ORDER BY org_id, gateway_id, epoch DESC LIMIT {epochs:UInt8} BY org_id, gateway_id`,
    { topic, partition, next, epochs: 1 + EPOCHS_REMEMBERED },
    NUMBERS,
  );
  const latest = await clickhouse.query<Latest>(
    `SELECT org_id, gateway_id, epoch, seq, lower(hex(leaf_hash)) AS leaf
     FROM cairn.events WHERE ${HERE} AND offset >= {from:Int64} AND offset < {next:Int64}
     ORDER BY offset`,
    { topic, partition, from: next - REREAD, next },
    NUMBERS,
  );
  return streamsFrom(
    heads.map(({ org_id, gateway_id, epoch, last_seq, head }) => ({
      key: streamKey(org_id, gateway_id),
      epoch,
      seq: last_seq,
      hash: hashTextOf(head),
    })),
    latest.map(({ org_id, gateway_id, epoch, seq, leaf }) => ({
      key: streamKey(org_id, gateway_id),
      epoch,
      seq,
      hash: hashTextOf(leaf),
    })),
  );
}

/** The row before is the usual case; only behind many declared gaps has it to be looked for. */
async function rowBelow(
  clickhouse: ClickHouse,
  { topic, partition }: Place,
  offset: number,
): Promise<Anchor | undefined> {
  for (const from of [offset - 1, offset - REREAD, 0]) {
    const [row] = await clickhouse.query<{ at: number; leaf: string }>(
      `SELECT toInt64(offset) AS at, lower(hex(leaf_hash)) AS leaf FROM cairn.events
       WHERE ${HERE} AND offset >= {from:Int64} AND offset < {offset:Int64}
       ORDER BY offset DESC LIMIT 1`,
      { topic, partition, from, offset },
      NUMBERS,
    );
    if (row) return { offset: row.at, leafHash: hashTextOf(row.leaf) };
    if (from <= 0) break;
  }
  return undefined;
}

/** A hash as sortRecords has them: one character for each byte. */
const hashTextOf = (hex: string): string => Buffer.from(hex, 'hex').toString('latin1');

/** Offsets that are read again for their hashes: as many as one stream remembers, for several streams. */
const REREAD = HASHES_REMEMBERED * 8;

interface Head {
  readonly org_id: string;
  readonly gateway_id: string;
  readonly epoch: number;
  readonly last_seq: number;
  readonly head: string;
}

interface Latest {
  readonly org_id: string;
  readonly gateway_id: string;
  readonly epoch: number;
  readonly seq: number;
  readonly leaf: string;
}

/**
 * Settings that decide how an insert is cut into blocks and parts. They travel with each insert, so that no profile of a
 * server can change them: one insert is one block is one part.
 */
const PINNED: Settings = {
  async_insert: 0,
  max_insert_threads: 1,
  max_insert_block_size: 1_048_449,
  min_insert_block_size_rows: 1_048_449,
  min_insert_block_size_bytes: 1_073_741_824,
  insert_deduplicate: 1,
  input_format_avro_allow_missing_fields: 0,
  max_execution_time: 120,
};

/** One part, so all or none of it. */
async function insert(clickhouse: ClickHouse, insertions: readonly Insertion[]): Promise<void> {
  const { body, refusal } = insertions[0]!;
  const sql = `INSERT INTO cairn.events (${body.columns.map(({ name }) => name).join(', ')})
SELECT ${body.columns.map(({ expression }) => expression).join(', ')}
FROM input(${literal(body.structure)})
WHERE ${refusal === 'above-highest' ? isAboveHighest(insertions) : isNotThere(insertions)}
  AND ${isOfLatestOwner(insertions)}
FORMAT ${body.format}`;
  const pieces = insertions.flatMap((insertion) => insertion.body.pieces);
  const spans = insertions.map(
    ({ owner, body: { first, last, count } }) => `${owner.partition}:${first}-${last}:${count}:${owner.name}`,
  );
  await clickhouse.insertBody(sql, pieces, {
    ...PINNED,
    log_comment: `${insertComment(insertions.map(({ owner }) => owner))} ${spans.join(' ')}`,
    // Never the token of an earlier attempt: a token can be remembered of an insert whose part was lost.
    insert_deduplication_token: `${insertions[0]!.owner.topic} ${spans.join(' ')}`,
  });
}

const partitionsOf = (insertions: readonly Insertion[]): string =>
  insertions.map(({ owner }) => owner.partition).join(', ');

/**
 * Refuses offsets up to the highest that each partition has. Rows of a record that is there already are of the same day of
 * the broker, so the parts of that day are all that is looked at, however old the table is.
 */
function isAboveHighest(insertions: readonly Insertion[]): string {
  const { owner, body } = insertions[0]!;
  const nexts = `SELECT partition, max(offset) + 1 AS next FROM cairn.events
    WHERE append_day = ${literal(body.appendDay)} AND topic = ${literal(owner.topic)} AND partition IN (${partitionsOf(insertions)})
    GROUP BY partition`;
  // A partition without a row is not in the map, which then says 0.
  return `offset >= (SELECT CAST((groupArray(partition), groupArray(next)), 'Map(Int32, Int64)') FROM (${nexts}))[partition]`;
}

function isNotThere(insertions: readonly Insertion[]): string {
  const { owner, body } = insertions[0]!;
  return `offset NOT IN (SELECT offset FROM cairn.events
    WHERE append_day = ${literal(body.appendDay)} AND topic = ${literal(owner.topic)} AND partition = ${owner.partition}
      AND offset BETWEEN ${body.first} AND ${body.last})`;
}

/** Leaves the rows of those partitions out that another owner has followed. */
function isOfLatestOwner(insertions: readonly Insertion[]): string {
  const { topic } = insertions[0]!.owner;
  const owners = insertions.map(({ owner }) => `(${owner.partition}, ${literal(owner.name)})`).join(', ');
  return `partition IN (SELECT partition FROM cairn.ingest_owners
    WHERE topic = ${literal(topic)} AND partition IN (${partitionsOf(insertions)})
    GROUP BY partition HAVING (partition, argMax(owner, epoch)) IN (${owners}))`;
}

/** Repetition is harmless: the table keeps the latest of each range. */
async function insertGaps(clickhouse: ClickHouse, owner: Owner, gaps: readonly Gap[]): Promise<void> {
  const rows = gaps.map((gap) => ({
    topic: owner.topic,
    partition: owner.partition,
    offset_first: gap.first,
    offset_last: gap.last,
    reason: gap.reason,
    field: gap.field,
    detail: gap.detail,
    org_id: gap.orgId,
    gateway_id: gap.gatewayId,
    value_sha256: gap.valueSha256 ?? '',
    received_at: timeOf(gap.receivedAtMs),
  }));
  await clickhouse.insertRows('cairn.ingest_gaps', rows, { async_insert: 0 });
}

async function insertFindings(
  clickhouse: ClickHouse,
  owner: Owner,
  findings: readonly StreamFinding[],
): Promise<void> {
  const rows = findings.map((finding) => ({
    topic: owner.topic,
    partition: owner.partition,
    offset: finding.offset,
    org_id: finding.orgId,
    gateway_id: finding.gatewayId,
    epoch: finding.epoch,
    seq: finding.seq,
    finding: finding.finding,
    missing_from: finding.missing?.from ?? null,
    missing_to: finding.missing?.to ?? null,
    received_at: timeOf(finding.receivedAtMs),
  }));
  await clickhouse.insertRows('cairn.stream_findings', rows, { async_insert: 0 });
}

/** Milliseconds as ClickHouse reads a DateTime64(3) in UTC. */
function timeOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace('T', ' ');
}

/** A SQL string literal. */
function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
