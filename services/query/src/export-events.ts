// A whole result as a stream of bounded memory, oldest first. It is read piece by piece: hours with few events together, an hour
// with many in several, each behind the place of the last event. ClickHouse writes the rows; nothing is parsed here but the last one.
// While a piece is sent, ClickHouse makes the next two side by side, so three of them are held.
//
// What it ends with depends on the format. NDJSON: one more line, {"_end":{…}}, with the number of rows, the SHA-256 of all
// bytes before it, the place of the last event and the first day that ClickHouse holds, so that a download that was cut off is seen, and goes on behind its last
// whole line. JSON: the members `count`, `next` and `hot_from` behind the array. CSV and Parquet have no place for it; the header
// `Cairn-Count` says of each form with how many rows at least it is whole.
//
// Every form but Parquet goes on behind a row (`after`): its place, to the microsecond, stands in each, in OCSF in
// `metadata.original_time` and `unmapped.cairn.proof`, in ECS in `@timestamp` and `cairn.proof`. A Parquet file ends with the places of
// its row groups, so that nothing can be put behind one that was cut: it is asked for anew, from its beginning (`Cairn-Start`).
import { createHash } from 'node:crypto';
import { ANSWER_FIELDS, behindPlace, type EventPlace, eventsWithLeaf, ROW_SETTINGS } from '@cairn/query';
import { FIELDS } from '@cairn/search';
import { ecsOf, ocsfOf, type StoredEvent } from '@cairn/siem';
import { z } from 'zod';
import { type BoundSearch, boundSearch, searchParameter } from './bound-search.ts';
import { digestOf, readCursor, writeCursor } from './cursor.ts';
import { hiddenFrom } from './event-schema.ts';
import { hotFromOf, hotFromSchema } from './hot-from.ts';
import { Refusal } from './problem.ts';
import { readAhead } from './read-ahead.ts';
import { type Asked, route, type Streamed } from './route.ts';
import { frozen } from './search-events.ts';

const PIECE_ROWS = 15_000;
/** Pieces that ClickHouse makes side by side, each in one thread: so neither it nor what carries them waits for the other. */
const AHEAD = 2;
const PARQUET_ROWS_MAX = 1_000_000;
const HOUR = 3_600_000_000;

const FORMATS = {
  ndjson: 'application/x-ndjson',
  ocsf: 'application/x-ndjson',
  ecs: 'application/x-ndjson',
  json: 'application/json',
  csv: 'text/csv; charset=utf-8',
  parquet: 'application/vnd.apache.parquet',
} as const;
export type ExportFormat = keyof typeof FORMATS;

const after = z
  .string()
  .max(1_024)
  .optional()
  .describe('Goes on behind this place: `_end.next`, or what was made of the last whole row (docs/api.md).');

export const countExportRoute = route({
  id: 'countExport',
  method: 'get',
  path: '/v1/exports/count',
  summary: 'How many events an export of a search would hold: those that ClickHouse holds.',
  roles: ['auditor'],
  scope: 'export',
  recorded: ['audit_access', 'export/count'],
  query: z.strictObject({ search: searchParameter }),
  response: z
    .object({ count: z.int(), from: z.int().nullable(), to: z.int().nullable(), hot_from: hotFromSchema })
    .meta({ id: 'ExportCount' }),
  async answer({ caller, query, now, clickhouse }) {
    const { condition, text } = boundSearch(query.search, caller, now);
    const [[row], hotFrom] = await Promise.all([
      clickhouse.query<{ count: number; from: number; to: number }>(
        `SELECT count() AS count, toUnixTimestamp64Micro(min(timestamp)) AS from, toUnixTimestamp64Micro(max(timestamp)) AS to
         FROM cairn.events WHERE ${condition.sql}`,
        condition.parameters,
        ROW_SETTINGS,
      ),
      hotFromOf(clickhouse),
    ]);
    const { count = 0, from = 0, to = 0 } = row ?? {};
    const held = count === 0 ? { from: null, to: null } : { from, to };
    const body = { count, ...held, hot_from: hotFrom };
    return { body, facts: { search: text, rows: count } };
  },
});

const exportQuery = z.strictObject({
  search: searchParameter,
  format: z.enum(['ndjson', 'json', 'csv', 'parquet', 'ocsf', 'ecs']).default('ndjson'),
  after,
});

export const exportEventsRoute = route({
  id: 'exportEvents',
  method: 'get',
  path: '/v1/exports/events',
  summary:
    'Every event that a search finds in ClickHouse, with its place in the log, oldest first. Never cut short in silence; Cairn-Hot-From says since when ClickHouse holds events.',
  roles: ['auditor'],
  scope: 'export',
  recorded: ['export', 'export/events'],
  isHeavy: true,
  isResumable: true,
  query: exportQuery,
  response: z.string(),
  streams: [...new Set(Object.values(FORMATS).map((type) => type.split(';', 1)[0]!))],
  answer: (asked) => openExport(asked),
});

async function openExport({
  caller,
  query,
  now,
  clickhouse,
  signal,
}: Asked<unknown, z.infer<typeof exportQuery>, unknown>): Promise<Streamed> {
  const { format } = query;
  const of = digestOf(caller.orgId, query.search, 'export');
  const cursor = query.after === undefined ? undefined : readCursor(query.after, of);
  const first = cursor?.now ?? now;
  const bound = boundSearch(query.search, caller, first);
  const search: BoundSearch = { ...bound, ...frozen(bound, first) };
  const behind = cursor && behindPlace(cursor.at, 'oldest');
  const [hours, hotFrom] = await Promise.all([
    clickhouse.query<{ hour: number; rows: number }>(
      `SELECT toUnixTimestamp(toStartOfHour(timestamp)) * 1000000 AS hour, count() AS rows FROM cairn.events
     WHERE ${search.condition.sql}${behind === undefined ? '' : ` AND ${behind.sql}`} GROUP BY hour ORDER BY hour`,
      { ...search.condition.parameters, ...behind?.parameters },
      ROW_SETTINGS,
    ),
    hotFromOf(clickhouse),
  ]);
  const total = hours.reduce((sum, { rows }) => sum + rows, 0);
  const facts = { search: search.text, format, rows: total, resumed: cursor !== undefined };
  const name = `cairn-${new Date(first / 1_000).toISOString().slice(0, 19).replaceAll(':', '')}`;
  const hidden = hiddenFrom(caller.role);
  const state = { rows: 0 };
  const common = {
    contentType: FORMATS[format],
    filename: `${name}.${format}`,
    facts,
    hotFrom,
    count: total,
    start: writeCursor(of, first, BEGINNING),
    ended: () => ({ sent: state.rows }),
  };

  if (format === 'parquet') {
    // One statement writes one file.
    if (total > PARQUET_ROWS_MAX)
      throw new Refusal(
        'answer.too-large',
        `These are ${total} events; a Parquet file holds at most ${PARQUET_ROWS_MAX}. Export a shorter time.`,
      );
    const { sql, parameters } = eventsWithLeaf({ ...asked(search, cursor?.at), limit: PARQUET_ROWS_MAX + 1 });
    // A reader holds one row group at a time.
    const settings = { ...ROW_SETTINGS, output_format_parquet_row_group_size: PIECE_ROWS };
    const stream = await clickhouse.stream(without(sql, hidden), 'Parquet', settings, parameters);
    async function* counted(): AsyncGenerator<Uint8Array> {
      yield* stream;
      state.rows = total;
    }
    return { ...common, stream: counted() };
  }

  const kind = WRITERS[format];
  const hash = createHash('sha256');
  const readFrom = async (window: Window, after: EventPlace | undefined): Promise<Found | undefined> => {
    signal.throwIfAborted();
    const { sql, parameters } = eventsWithLeaf({
      ...asked({ ...search, ...window }, after),
      limit: PIECE_ROWS,
    });
    const piece = await readPiece(clickhouse, kind.select(without(sql, hidden)), kind.clickhouse, parameters);
    return piece.length === 0 ? undefined : { piece, ...kind.measure(piece) };
  };
  async function* read(): AsyncGenerator<Found, void> {
    const firsts = readAhead(pieceSpans(hours), AHEAD, async (window) => {
      const isCut = cursor !== undefined && window.from <= cursor.at.timestamp;
      return { window, first: await readFrom(window, isCut ? cursor.at : undefined) };
    });
    for await (const { window, first } of firsts)
      for (let found = first; found !== undefined; ) {
        const next = found.rows < PIECE_ROWS ? undefined : readFrom(window, found.last);
        try {
          yield found;
        } finally {
          // It is read while this one is sent, and ends with it when nobody takes more.
          await next?.catch(() => {});
        }
        found = await next;
      }
  }
  async function* pieces(): AsyncGenerator<Uint8Array | string> {
    let at: EventPlace | undefined = cursor?.at;
    yield* hashed([kind.head(cursor !== undefined && cursor.at.topic !== BEGINNING.topic)]);
    for await (const { piece, rows, last } of read()) {
      yield* hashed(kind.body(piece, state.rows === 0));
      at = last;
      state.rows += rows;
    }
    const next = at === undefined ? null : writeCursor(of, first, at);
    yield kind.end({ count: state.rows, sha256: hash.digest('hex'), next, hot_from: hotFrom });
  }
  function* hashed(pieces: Iterable<Uint8Array | string>): Generator<Uint8Array | string> {
    for (const bytes of pieces) {
      if (bytes.length === 0) continue;
      hash.update(bytes);
      yield bytes;
    }
  }
  return { ...common, stream: pieces() };
}

/** Before the place of every event: a topic has a name. */
const BEGINNING: EventPlace = { timestamp: 0, topic: '', partition: 0, offset: 0 };

const asked = ({ condition, from, to }: BoundSearch, at: EventPlace | undefined) =>
  ({ over: 'hot', filters: {}, condition, from, to, order: 'oldest', after: at }) as const;

/** Microseconds, [from, to). */
interface Window {
  readonly from: number;
  readonly to: number;
}

/** Hours together that hold about one piece; an hour with more stands alone. */
export function* pieceSpans(
  hours: readonly { readonly hour: number; readonly rows: number }[],
): Generator<Window> {
  let open: (Window & { readonly rows: number }) | undefined;
  for (const { hour, rows } of hours) {
    if (open !== undefined && open.rows + rows > PIECE_ROWS) {
      yield open;
      open = undefined;
    }
    open = { from: open?.from ?? hour, to: hour + HOUR, rows: (open?.rows ?? 0) + rows };
  }
  if (open !== undefined) yield open;
}

async function readPiece(
  clickhouse: Asked<unknown, unknown, unknown>['clickhouse'],
  sql: string,
  format: string,
  parameters: Readonly<Record<string, unknown>>,
): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const { buffer, byteOffset, length } of await clickhouse.stream(
    sql,
    format,
    SETTINGS,
    parameters,
  ))
    chunks.push(Buffer.from(buffer, byteOffset, length));
  return chunks;
}

const SETTINGS = {
  ...ROW_SETTINGS,
  max_execution_time: 120,
  max_memory_usage: 2_000_000_000,
  max_threads: 1,
  output_format_parallel_formatting: 0,
  output_format_csv_crlf_end_of_line: 1,
  // A number that is absent is an empty cell.
  format_csv_null_representation: '',
} as const;

/** Columns that the caller may not see stand empty. */
function without(sql: string, hidden: readonly string[]): string {
  if (hidden.length === 0) return sql;
  const replaced = hidden.map((name) => `${name === 'parameters_kept' ? '[]' : 'NULL'} AS ${name}`);
  return `SELECT * REPLACE(${replaced.join(', ')}) FROM (${sql})`;
}

interface EndFacts {
  readonly count: number;
  readonly sha256: string;
  readonly next: string | null;
  readonly hot_from: string | null;
}

interface Writer {
  readonly clickhouse: string;
  /** The statement as this format wants its columns. */
  select(sql: string): string;
  head(isResumed: boolean): string;
  /** As it is sent, whole or in parts. */
  body(piece: readonly Buffer[], isFirst: boolean): readonly Buffer[];
  end(facts: EndFacts): string;
  /** Rows of a piece, and the place of the last one. */
  measure(piece: readonly Buffer[]): Omit<Found, 'piece'>;
}

interface Found {
  /** As ClickHouse sent it: a row may begin in one part and end in another. */
  readonly piece: readonly Buffer[];
  readonly rows: number;
  readonly last: EventPlace;
}

const NEWLINE = 10;

const lines: Pick<Writer, 'clickhouse' | 'select' | 'measure'> = {
  clickhouse: 'JSONEachRow',
  select: (sql) => sql,
  measure: (piece) => ({
    rows: piece.reduce((rows, part) => rows + countLines(part), 0),
    last: JSON.parse(lastLine(piece)) as EventPlace,
  }),
};

/** NDJSON whose lines are what another format makes of the events; their places in the log stand in it (packages/siem). */
function mappedBy(map: (event: StoredEvent) => Readonly<Record<string, unknown>>): Writer {
  return {
    ...lines,
    head: () => '',
    body(piece) {
      const mapped = Buffer.concat(piece)
        .toString()
        .trimEnd()
        .split('\n')
        .map((line) => `${JSON.stringify(map(JSON.parse(line) as StoredEvent))}\n`);
      return [Buffer.from(mapped.join(''))];
    },
    end: (facts) => `${JSON.stringify({ _end: facts })}\n`,
  };
}

const WRITERS: Readonly<Record<Exclude<ExportFormat, 'parquet'>, Writer>> = {
  ndjson: {
    ...lines,
    head: () => '',
    body: (piece) => piece,
    end: (facts) => `${JSON.stringify({ _end: facts })}\n`,
  },
  ocsf: mappedBy(ocsfOf),
  ecs: mappedBy(ecsOf),
  json: {
    ...lines,
    head: () => '{"events":[\n',
    body(piece, isFirst) {
      // Lines become members: a comma in the place of each line break but the last.
      const joined = Buffer.concat(piece).toString('latin1').slice(0, -1).replaceAll('\n', ',\n');
      return [Buffer.from(`${isFirst ? '' : ',\n'}${joined}`, 'latin1')];
    },
    end: ({ count, next, hot_from: hotFrom }) =>
      `\n],"count":${count},"next":${JSON.stringify(next)},"hot_from":${JSON.stringify(hotFrom)}}\n`,
  },
  csv: {
    clickhouse: 'CSV',
    select: (sql) => `SELECT ${CSV_COLUMNS.map(cellOf).join(', ')} FROM (${sql})`,
    head: (isResumed) => (isResumed ? '' : `${CSV_COLUMNS.map((name) => `"${name}"`).join(',')}\r\n`),
    body: (piece) => piece,
    end: () => '',
    measure(parts) {
      const piece = Buffer.concat(parts);
      const { rows, lastAt } = recordsOf(piece);
      // The place stands first, and neither a number nor the name of a topic holds a comma.
      const [timestamp, topic = '', partition, offset] = piece
        .subarray(lastAt)
        .toString()
        .split(',', 4)
        .map((cell) => cell.replaceAll('"', ''));
      return {
        rows,
        last: { timestamp: Number(timestamp), topic, partition: Number(partition), offset: Number(offset) },
      };
    },
  },
};

/** First the place, which no cell before can shift; then the event. */
const CSV_COLUMNS: readonly string[] = [
  ...['timestamp', 'topic', 'partition', 'offset', 'received_at', 'leaf_hash', 'leaf_index'],
  ...ANSWER_FIELDS.filter((name) => name !== 'timestamp'),
];

/**
 * Where a spreadsheet would begin a formula, full-width signs too (CWE-1236; OWASP, "CSV Injection"): at the beginning of a cell, behind
 * blanks and quotes that it may take away, and behind a line break or another separator than the comma. Whoever opens the file with the
 * semicolon of their locale has a cell begin there: the row begins with a number, so no quote of ours keeps it together.
 */
const FORMULA = `(^|[;|\\t\\r\\n])([\\\\s\\\\p{Z}\\\\p{Cf}"\\']*)([=+\\\\-@＝＋－＠])`;
/** ' before the sign, of which every spreadsheet makes a text, whatever of what stands before it is taken away. */
const AS_TEXT = `\\\\1\\\\2\\'\\\\3`;

/** Numbers as they are; everything else as text, lists as JSON; where a formula would begin stands ' before it. */
function cellOf(name: string): string {
  if (PLAIN.has(name)) return name;
  const text = LISTS.has(name) ? `toJSONString(${name})` : `ifNull(toString(${name}), '')`;
  return `if(match(${text}, '${FORMULA}'), replaceRegexpAll(${text}, '${FORMULA}', '${AS_TEXT}'), ${text}) AS cell_${name}`;
}

const EVENT_FIELDS = [...FIELDS.values()];
const PLAIN: ReadonlySet<string> = new Set([
  'received_at',
  'timestamp',
  'leaf_index',
  ...EVENT_FIELDS.filter(({ kind }) => kind === 'number').map(({ name }) => name),
]);
const LISTS: ReadonlySet<string> = new Set([
  'delegation',
  ...EVENT_FIELDS.filter(({ kind }) => kind === 'list').map(({ name }) => name),
]);

/** The last line of what ends with a line break; most often all of it lies in the last part. */
function lastLine(piece: readonly Buffer[]): string {
  let [line, at] = [piece.at(-1)!.subarray(0, -1), piece.length - 1];
  while (at > 0 && !line.includes(NEWLINE)) line = Buffer.concat([piece[--at]!, line]);
  return line.subarray(line.lastIndexOf(NEWLINE) + 1).toString();
}

function countLines(piece: Buffer): number {
  let rows = 0;
  for (let at = piece.indexOf(NEWLINE); at !== -1; at = piece.indexOf(NEWLINE, at + 1)) rows += 1;
  return rows;
}

/** Records of CSV, and where the last one begins. A line break in quotes ends none. */
function recordsOf(piece: Buffer): { readonly rows: number; readonly lastAt: number } {
  let rows = 0;
  let [lastAt, next, isQuoted] = [0, 0, false];
  for (let at = 0; at < piece.length; at += 1) {
    const byte = piece[at];
    if (byte === QUOTE) isQuoted = !isQuoted;
    else if (byte === NEWLINE && !isQuoted) {
      rows += 1;
      lastAt = next;
      next = at + 1;
    }
  }
  return { rows, lastAt };
}

const QUOTE = 34;
