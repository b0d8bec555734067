import { hash, randomUUID } from 'node:crypto';
import type { ClickHouse } from '@cairn/adapters';
import { hexOfHash } from '@cairn/ledger';
import { EVENT_BLOCK_STORED, EVENT_BLOCK_STRUCTURE, type EventRows, eventBlock } from '@cairn/native';
import type { Day } from '@cairn/query';

/** What `restoreDays` asks of the database: `restoredTableIn` is it in ClickHouse. A call that rejects may have had its effect. */
export interface RestoredTable {
  /** Becomes the latest restoration of a day: from now on inserts of earlier ones insert nothing, and those that run end. */
  begin(day: Day, org: string, until: Date, segments: number): Promise<RestorationRun>;
}

export interface RestorationRun {
  /** Inserts those of the rows of one segment that the table does not have, all or none, unless a later restoration came. */
  insert(rows: EventRows): Promise<void>;
  /** Of what the table has from the first of these rows to the last, in order of offset. A row that is there twice counts twice. */
  leavesOf(rows: EventRows): Promise<LeafDigest>;
  /** Deletes the rows of these offsets. */
  forget(topic: string, partition: number, first: number, last: number): Promise<void>;
  /** From now on questions are answered from these rows. @returns false when a later restoration has come. */
  end(events: number): Promise<boolean>;
}

export interface LeafDigest {
  readonly rows: number;
  /** SHA-256 over the leaf hashes as upper-case hex, hex. */
  readonly sha256: string;
}

/** The same of rows that are not in the table. */
export function digestOf({ rows }: EventRows): LeafDigest {
  const leaves = rows.map(({ leafHash }) => hexOfHash(leafHash).toUpperCase()).join('');
  return { rows: rows.length, sha256: hash('sha256', leaves, 'hex') };
}

/** The tables `cairn.restored_events` and `cairn.restored_days` (deploy/clickhouse/0004_restored.sql). */
export function restoredTableIn(clickhouse: ClickHouse): RestoredTable {
  return {
    async begin(day, org, until, segments) {
      const run = randomUUID();
      const mark = async (state: string, events: number): Promise<void> => {
        const row = { day, org_id: org, state, run, until: timeOf(until), segments, events };
        await clickhouse.insertRows('cairn.restored_days', [row], { async_insert: 0 });
      };
      await mark('restoring', 0);
      await clickhouse.killQueries(commentOf(day));
      return {
        insert: (rows) => insert(clickhouse, day, run, rows),
        leavesOf: (rows) => leavesOf(clickhouse, day, org, rows),
        async forget(topic, partition, first, last) {
          await clickhouse.exec(
            `ALTER TABLE cairn.restored_events DELETE WHERE topic = ${literal(topic)} AND partition = ${partition} AND offset BETWEEN ${first} AND ${last}`,
            { mutations_sync: 2 },
          );
        },
        async end(events) {
          if ((await latestRun(clickhouse, day)) !== run) return false;
          await mark('restored', events);
          return true;
        },
      };
    },
  };
}

const commentOf = (day: Day): string => `restore|${day}|`;

async function latestRun(clickhouse: ClickHouse, day: Day): Promise<string | undefined> {
  const [latest] = await clickhouse.query<{ run: string }>(
    'SELECT argMax(run, changed_at) AS run FROM cairn.restored_days WHERE day = {day:Date}',
    { day },
  );
  return latest?.run;
}

/** One insert is one block, and of one day, so one part: all or none of it. */
const PINNED = {
  async_insert: 0,
  max_insert_threads: 1,
  max_insert_block_size: 1_048_449,
  min_insert_block_size_rows: 1_048_449,
  min_insert_block_size_bytes: 1_073_741_824,
  // What was dropped may come again.
  insert_deduplicate: 0,
  max_execution_time: 120,
} as const;

async function insert(clickhouse: ClickHouse, day: Day, run: string, rows: EventRows): Promise<void> {
  const { topic, partition } = rows;
  const [first, last] = [rows.rows[0]!.offset, rows.rows.at(-1)!.offset];
  const { pieces, release } = eventBlock(rows);
  await clickhouse.insertBody(
    `INSERT INTO cairn.restored_events (${EVENT_BLOCK_STORED.map(({ name }) => name).join(', ')})
SELECT ${EVENT_BLOCK_STORED.map(({ expression }) => expression).join(', ')}
FROM input(${literal(EVENT_BLOCK_STRUCTURE)})
WHERE offset NOT IN (SELECT offset FROM cairn.restored_events WHERE append_day = '${day}' AND topic = ${literal(topic)} AND partition = ${partition} AND offset BETWEEN ${first} AND ${last})
  AND (SELECT argMax(run, changed_at) FROM cairn.restored_days WHERE day = '${day}') = '${run}'
FORMAT Native`,
    pieces,
    { ...PINNED, log_comment: `${commentOf(day)}${run}` },
  );
  // Only now: after a failure the connection may still be reading it.
  release();
}

async function leavesOf(
  clickhouse: ClickHouse,
  day: Day,
  org: string,
  { topic, partition, rows }: EventRows,
): Promise<LeafDigest> {
  const [found] = await clickhouse.query<LeafDigest>(
    `SELECT toUInt32(count()) AS rows, lower(hex(SHA256(arrayStringConcat(arrayMap(leaf -> leaf.2, arraySort(groupArray((offset, hex(leaf_hash))))))))) AS sha256
     FROM cairn.restored_events
     WHERE append_day = {day:Date} AND topic = {topic:String} AND partition = {partition:Int32}
       AND offset BETWEEN {first:Int64} AND {last:Int64} AND ({org:String} = '' OR org_id = {org:String})`,
    { day, topic, partition, org, first: rows[0]!.offset, last: rows.at(-1)!.offset },
  );
  return found!;
}

/** A time as ClickHouse reads a DateTime64(3) in UTC. */
const timeOf = (time: Date): string => time.toISOString().slice(0, 23).replace('T', ' ');

/** A SQL string literal. */
const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
