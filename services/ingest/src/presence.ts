import type { ClickHouse } from '@cairn/adapters';
import { HASHES_REMEMBERED, type StreamPosition } from '@cairn/ledger';
import { type Streams, streamKey } from './sort-records.ts';

export interface Range {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

interface Place {
  readonly topic: string;
  readonly partition: number;
}

const HERE = 'topic = {topic:String} AND partition = {partition:Int32}';
const NUMBERS = { output_format_json_quote_64bit_integers: 0 };

/** The highest offset that the table accounts for, as a row or as a gap; -1 when there is none. */
export async function highestOffset(clickhouse: ClickHouse, { topic, partition }: Place): Promise<number> {
  const [row] = await clickhouse.query<{ highest: number }>(
    `SELECT greatest(
       (SELECT if(count() = 0, -1, max(offset)) FROM cairn.events WHERE ${HERE}),
       (SELECT if(count() = 0, -1, max(offset_last)) FROM cairn.ingest_gaps WHERE ${HERE})) AS highest`,
    { topic, partition },
    NUMBERS,
  );
  return row?.highest ?? -1;
}

/** The offsets from `from` on that the table accounts for, as ranges in order that do not touch. */
export async function coveredRanges(
  clickhouse: ClickHouse,
  { topic, partition }: Place,
  from: number,
): Promise<Range[]> {
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

/** Ranges sorted, with those that touch or overlap made one. */
export function joined(ranges: readonly Range[]): Range[] {
  const sorted = ranges.toSorted((left, right) => left.first - right.first);
  const result: Range[] = [];
  for (const range of sorted) {
    const before = result.at(-1);
    if (before && range.first <= before.last + 1) {
      result[result.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
    } else {
      result.push(range);
    }
  }
  return result;
}

/** True for offsets inside the ranges, which are in order and do not touch. Offsets are asked for in rising order. */
export function membership(ranges: readonly Range[]): (offset: number) => boolean {
  let at = 0;
  return (offset) => {
    while (at < ranges.length && ranges[at]!.last < offset) at += 1;
    return at < ranges.length && ranges[at]!.first <= offset;
  };
}

/**
 * How far every stream of the partition has come, from the rows below `next`, with the leaf hashes of the latest rows so
 * that an event that a producer sends again is told from another one under its number.
 *
 * @param whole true when there is no row at or above `next`: then the answer comes from the projection, whatever the
 *   table's size.
 */
export async function loadStreams(
  clickhouse: ClickHouse,
  { topic, partition }: Place,
  next: number,
  whole: boolean,
): Promise<Streams> {
  const below = whole ? '' : 'AND offset < {next:Int64}';
  const heads = await clickhouse.query<Head>(
    `SELECT org_id, gateway_id, epoch, max(seq) AS last_seq, lower(hex(argMax(leaf_hash, seq))) AS head
     FROM cairn.events WHERE ${HERE} ${below}
     GROUP BY org_id, gateway_id, epoch
     ORDER BY org_id, gateway_id, epoch DESC LIMIT 1 BY org_id, gateway_id`,
    { topic, partition, next },
    NUMBERS,
  );
  const latest = await clickhouse.query<Latest>(
    `SELECT org_id, gateway_id, epoch, seq, lower(hex(leaf_hash)) AS leaf
     FROM cairn.events WHERE ${HERE} AND offset >= {from:Int64} AND offset < {next:Int64}
     ORDER BY offset`,
    { topic, partition, from: next - REREAD, next },
    NUMBERS,
  );
  const streams: Streams = new Map(
    heads.map(({ org_id, gateway_id, epoch, last_seq, head: hex }) => {
      const head = hashTextOf(hex);
      const position: StreamPosition = { epoch, seq: last_seq, head, hashes: new Map([[last_seq, head]]) };
      return [streamKey(org_id, gateway_id), position];
    }),
  );
  for (const { org_id, gateway_id, epoch, seq, leaf } of latest) {
    const position = streams.get(streamKey(org_id, gateway_id));
    if (position?.epoch === epoch) (position.hashes as Map<number, string>).set(seq, hashTextOf(leaf));
  }
  return streams;
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
