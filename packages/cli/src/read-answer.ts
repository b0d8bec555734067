// How the answer of an export is taken apart while it arrives, and what of it goes into the file:
//
//   ndjson, ocsf, ecs   lines; the last, {"_end":{…}}, says how many came and their SHA-256, and stays out
//   csv                 the names of columns where the answer begins at the beginning, then records (RFC 4180)
//   json                {"events":[   one event a line, a comma behind each but the last   ],"count":…}
//   parquet             as it came: it ends with the places of its row groups and PAR1, and is whole or nothing
//
// Whole rows go into the file alone, so that it always ends with one, and the place of that row says where the export goes on. Of JSON the
// comma goes before each row but the first, and the end is written with the count of all answers together; so the file is, byte for byte,
// what one answer would have been.
import { createHash } from 'node:crypto';

export const FORMS = ['ndjson', 'json', 'csv', 'parquet', 'ocsf', 'ecs'] as const;
export type Form = (typeof FORMS)[number];

/** Where a row stands in the order of an export. */
export interface Place {
  /** Microseconds since 1970. */
  readonly timestamp: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** Whole rows of an answer. */
export interface Taken {
  readonly bytes: Buffer;
  readonly rows: number;
  /** Of the last row; undefined where nothing goes on behind it. */
  readonly last: Place | undefined;
}

/** - `whole`: with what stands behind the last row. - `cut`: more should come. - `differs`: it is not what was sent. */
export type Ended = { readonly is: 'whole'; readonly bytes: Buffer } | { readonly is: 'cut' | 'differs' };

export interface Ending {
  /** The connection broke. What says itself that it is whole is whole all the same. */
  readonly isBroken: boolean;
  /** Rows that there were, by the header of the answer; undefined when it says nothing. */
  readonly announced: number | undefined;
}

/** One answer, taken apart. */
export interface AnswerReader {
  /** What is whole by now, and was not before. */
  take(chunk: Buffer): Taken | undefined;
  /** When no more comes. */
  end(how: Ending): Ended;
}

/** @param rowsBefore rows that stand in the file already. */
export function answerReader(form: Form, rowsBefore: number): AnswerReader {
  if (form === 'parquet') return readParquetAnswer();
  if (form === 'csv') return readCsv();
  return form === 'json' ? readJson(rowsBefore) : readLines(PLACES[form]);
}

const NEWLINE = 10;
const QUOTE = 34;
const NOTHING = Buffer.alloc(0);
/** PAR1, a footer's length in four bytes, PAR1: with no footer it is none (Apache Parquet, "File Format"). */
const PARQUET_LEAST = 12;

type Fields = Readonly<Record<string, unknown>>;

const PLACES: Readonly<Record<'ndjson' | 'ocsf' | 'ecs', (row: Fields) => Place>> = {
  ndjson: placeOf,
  ocsf: (row) => {
    const { metadata, unmapped } = row as {
      metadata: { original_time: string };
      unmapped: { cairn: { proof: Fields } };
    };
    return placeOf({ ...unmapped.cairn.proof, timestamp: microsOf(metadata.original_time) });
  },
  ecs: (row) => {
    const { '@timestamp': time, cairn } = row as { '@timestamp': string; cairn: { proof: Fields } };
    return placeOf({ ...cairn.proof, timestamp: microsOf(time) });
  },
};

function placeOf({ timestamp, topic, partition, offset }: Fields): Place {
  return {
    timestamp: Number(timestamp),
    topic: String(topic),
    partition: Number(partition),
    offset: Number(offset),
  };
}

/** `2026-11-25T08:00:00.123456Z` in microseconds since 1970. */
const microsOf = (text: string): number =>
  Date.parse(`${text.slice(0, 23)}Z`) * 1_000 + Number(text.slice(23, 26));

function readLines(placeOfRow: (row: Fields) => Place): AnswerReader {
  const hash = createHash('sha256');
  const lines = wholeLines();
  let rows = 0;
  let end: { readonly count: number; readonly sha256: string } | undefined;
  return {
    take(chunk) {
      const whole = lines.take(chunk);
      if (whole === undefined || end !== undefined) return undefined;
      const last = lastLine(whole);
      let bytes = whole;
      if (last.startsWith('{"_end":')) {
        end = (JSON.parse(last) as { _end: { count: number; sha256: string } })._end;
        bytes = whole.subarray(0, whole.length - Buffer.byteLength(last) - 1);
      }
      if (bytes.length === 0) return undefined;
      hash.update(bytes);
      const count = countLines(bytes);
      rows += count;
      return { bytes, rows: count, last: placeOfRow(JSON.parse(lastLine(bytes)) as Fields) };
    },
    end() {
      if (end === undefined) return { is: 'cut' };
      if (end.count !== rows || end.sha256 !== hash.digest('hex')) return { is: 'differs' };
      return { is: 'whole', bytes: NOTHING };
    },
  };
}

function readJson(rowsBefore: number): AnswerReader {
  const lines = wholeLines();
  let [rows, isBegun] = [0, false];
  let end: string | undefined;
  return {
    take(chunk) {
      const whole = lines.take(chunk);
      if (whole === undefined) return undefined;
      // Bytes as characters and back: what stands in a line is not looked at.
      let text = whole.toString('latin1');
      let head = '';
      if (!isBegun) {
        isBegun = true;
        text = text.slice(text.indexOf('\n') + 1);
        head = rowsBefore === 0 ? '{"events":[\n' : '';
      }
      const members = text.split('\n').slice(0, -1);
      if (members.at(-1)?.startsWith('],"count":') === true) end = members.pop();
      const events = members.filter((line) => line !== '').map((line) => line.replace(/,$/, ''));
      const separator = events.length > 0 && rowsBefore + rows > 0 ? ',\n' : '';
      rows += events.length;
      const bytes = Buffer.from(`${head}${separator}${events.join(',\n')}`, 'latin1');
      if (bytes.length === 0) return undefined;
      const last = events.at(-1);
      return {
        bytes,
        rows: events.length,
        last:
          last === undefined
            ? undefined
            : placeOf(JSON.parse(Buffer.from(last, 'latin1').toString()) as Fields),
      };
    },
    end() {
      if (end === undefined) return { is: 'cut' };
      const { count } = JSON.parse(`{"events":[${end}`) as { count: number };
      if (count !== rows) return { is: 'differs' };
      const all = end.replace(/^\],"count":\d+/, `],"count":${rowsBefore + rows}`);
      return { is: 'whole', bytes: Buffer.from(`\n${all}\n`) };
    },
  };
}

function readCsv(): AnswerReader {
  let rest: Buffer = NOTHING;
  // How far the rest was looked through: a record ends with a line break that stands in no quotes.
  let [looked, isQuoted, isBegun, rows] = [0, false, false, 0];
  return {
    take(chunk) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let [end, lastAt, records] = [0, 0, 0];
      for (let at = looked; at < bytes.length; at += 1) {
        const byte = bytes[at];
        if (byte === QUOTE) isQuoted = !isQuoted;
        else if (byte === NEWLINE && !isQuoted) {
          records += 1;
          [lastAt, end] = [end, at + 1];
        }
      }
      const whole = bytes.subarray(0, end);
      rest = bytes.subarray(end);
      looked = rest.length;
      if (records === 0) return undefined;
      // Names stand in quotes, and a row begins with a number.
      const hasNames = !isBegun && whole[0] === QUOTE;
      isBegun = true;
      const count = records - (hasNames ? 1 : 0);
      rows += count;
      return {
        bytes: whole,
        rows: count,
        last: count === 0 ? undefined : placeOfCells(whole.subarray(lastAt)),
      };
    },
    end: ({ isBroken, announced = 0 }) =>
      isBroken || rest.length > 0 || rows < announced ? { is: 'cut' } : { is: 'whole', bytes: NOTHING },
  };
}

/** The place stands first, and neither a number nor the name of a topic holds a comma. */
function placeOfCells(record: Buffer): Place {
  const [timestamp, topic, partition, offset] = record
    .subarray(0, 1_024)
    .toString()
    .split(',', 4)
    .map((cell) => cell.replaceAll('"', ''));
  return placeOf({ timestamp, topic, partition, offset });
}

function readParquetAnswer(): AnswerReader {
  let [tail, length] = [NOTHING as Buffer, 0];
  return {
    take(chunk) {
      length += chunk.length;
      tail = Buffer.concat([tail, chunk.subarray(-4)]).subarray(-4);
      return { bytes: chunk, rows: 0, last: undefined };
    },
    end: ({ isBroken }) =>
      isBroken || tail.toString('latin1') !== 'PAR1' || length <= PARQUET_LEAST
        ? { is: 'cut' }
        : { is: 'whole', bytes: NOTHING },
  };
}

/** Bytes up to the last line break that came. */
function wholeLines() {
  let rest: Buffer[] = [];
  return {
    take(chunk: Buffer): Buffer | undefined {
      const end = chunk.lastIndexOf(NEWLINE) + 1;
      if (end === 0) {
        rest.push(chunk);
        return undefined;
      }
      const whole = Buffer.concat([...rest, chunk.subarray(0, end)]);
      rest = end === chunk.length ? [] : [chunk.subarray(end)];
      return whole;
    },
  };
}

const lastLine = (lines: Buffer): string =>
  lines.subarray(lines.lastIndexOf(NEWLINE, lines.length - 2) + 1, lines.length - 1).toString();

function countLines(lines: Buffer): number {
  let count = 0;
  for (let at = lines.indexOf(NEWLINE); at !== -1; at = lines.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}
