/**
 * A block of ClickHouse's Native format, as an INSERT over HTTP wants it:
 *
 *     number of columns | number of rows | for every column: name | type | its streams
 *
 * Counts and lengths of texts are varints. A Nullable is a byte for each row and then the values; an Array the ends of
 * the rows, counted in items, and then the items; a LowCardinality a dictionary and an index for each row, with its
 * version before everything else of the column. https://clickhouse.com/docs/interfaces/formats/Native, and
 * src/Formats/NativeWriter.cpp and SerializationLowCardinality.cpp for what stands nowhere else.
 */
import { Dictionary } from './dictionary.ts';
import { streamCount } from './fill.ts';
import { type Plan, type PlannedField, typeName } from './plan.ts';
import { Stream } from './stream.ts';

/** The block of these columns: pieces to be sent one after the other. The streams must not be written to afterwards. */
export function blockOf(
  columns: readonly PlannedField[],
  streams: readonly (Stream | Dictionary)[],
  rows: number,
): Uint8Array<ArrayBuffer>[] {
  const head = new Stream(64);
  putVarint(head, columns.length);
  putVarint(head, rows);
  const pieces = [head.written];
  let first = 0;
  for (const { name, plan } of columns) {
    const title = new Stream(96);
    putWord(title, name);
    putWord(title, typeName(plan));
    if (rows > 0) putPrefix(title, plan);
    pieces.push(title.written);
    if (rows > 0) pieces.push(...bodyOf(plan, streams, first));
    first += streamCount(plan);
  }
  return pieces;
}

/** Versions of the dictionaries in a column; they stand before all of its data. */
function putPrefix(out: Stream, plan: Plan): void {
  if (plan.kind === 'enum' || plan.kind === 'dictionary') out.int64(SHARED_DICTIONARIES);
  if (plan.kind === 'array' || plan.kind === 'nullable') putPrefix(out, plan.of);
  if (plan.kind === 'tuple') for (const field of plan.fields) putPrefix(out, field.plan);
}

const SHARED_DICTIONARIES = 1;
/** Keys follow; the dictionary is new. The lowest bits say how wide an index is: 0 is a byte, 1 two, 2 four. */
const NEW_DICTIONARY = (1 << 9) | (1 << 10);

function bodyOf(
  plan: Plan,
  streams: readonly (Stream | Dictionary)[],
  first: number,
): Uint8Array<ArrayBuffer>[] {
  const own = streams[first]!;
  if (own instanceof Dictionary) {
    const keys = Array.from({ length: own.size }, (_, number) => own.at(number));
    return indexed(keys, own.indexBytes, own.count, own.numbers);
  }
  switch (plan.kind) {
    case 'nullable':
    case 'array':
      return [own.written, ...bodyOf(plan.of, streams, first + 1)];
    case 'tuple': {
      let at = first;
      return plan.fields.flatMap((field) => {
        const pieces = bodyOf(field.plan, streams, at);
        at += streamCount(field.plan);
        return pieces;
      });
    }
    case 'enum': {
      const symbols = plan.symbols.map((symbol) => new TextEncoder().encode(symbol));
      return indexed(symbols, 1, own.count, own.written);
    }
    default:
      return [own.written];
  }
}

/** A LowCardinality column's keys and indexes. */
function indexed(
  keys: readonly Uint8Array[],
  indexBytes: 1 | 2 | 4,
  count: number,
  indexes: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer>[] {
  // Without a row nothing is written, not even the keys.
  if (count === 0) return [];
  const head = new Stream(256);
  head.int64(NEW_DICTIONARY | (indexBytes >> 1));
  head.int64(keys.length);
  for (const key of keys) head.text(key, 0, key.length);
  head.int64(count);
  return [head.written, indexes];
}

function putWord(out: Stream, text: string): void {
  const bytes = new TextEncoder().encode(text);
  out.text(bytes, 0, bytes.length);
}

function putVarint(out: Stream, value: number): void {
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) out.byte((rest % 128) | 128);
  out.byte(rest);
}
