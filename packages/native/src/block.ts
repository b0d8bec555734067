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
import type { Stream } from './stream.ts';

/** The block of these columns: pieces to be sent one after the other. The streams must not be written to afterwards. */
export function blockOf(
  columns: readonly PlannedField[],
  streams: readonly (Stream | Dictionary)[],
  rows: number,
): Uint8Array<ArrayBuffer>[] {
  const pieces = [Uint8Array.from([...varint(columns.length), ...varint(rows)])];
  let first = 0;
  for (const { name, plan } of columns) {
    const versions = rows > 0 ? versionsOf(plan) : [];
    pieces.push(Uint8Array.from([...word(name), ...word(typeName(plan)), ...versions]));
    if (rows > 0) pieces.push(...bodyOf(plan, streams, first));
    first += streamCount(plan);
  }
  return pieces;
}

/** Versions of the dictionaries in a column; they stand before all of its data. */
function versionsOf(plan: Plan): number[] {
  if (plan.kind === 'enum' || plan.kind === 'dictionary') return int64(SHARED_DICTIONARIES);
  if (plan.kind === 'array' || plan.kind === 'nullable') return versionsOf(plan.of);
  return plan.kind === 'tuple' ? plan.fields.flatMap((field) => versionsOf(field.plan)) : [];
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
  if (own instanceof Dictionary) return indexed(own.size, own.texts, own.indexBytes, own.count, own.numbers);
  switch (plan.kind) {
    case 'nullable':
    case 'array':
      return [...own.written, ...bodyOf(plan.of, streams, first + 1)];
    case 'tuple': {
      let at = first;
      return plan.fields.flatMap((field) => {
        const pieces = bodyOf(field.plan, streams, at);
        at += streamCount(field.plan);
        return pieces;
      });
    }
    case 'enum': {
      const symbols = Uint8Array.from(plan.symbols.flatMap(word));
      return indexed(plan.symbols.length, symbols, 1, own.count, own.written);
    }
    default:
      return [...own.written];
  }
}

/** A LowCardinality column's keys, each behind its length, and its indexes. */
function indexed(
  keys: number,
  texts: Uint8Array<ArrayBuffer>,
  indexBytes: 1 | 2 | 4,
  count: number,
  indexes: readonly Uint8Array<ArrayBuffer>[],
): Uint8Array<ArrayBuffer>[] {
  // Without a row nothing is written, not even the keys.
  if (count === 0) return [];
  const head = Uint8Array.from([...int64(NEW_DICTIONARY | (indexBytes >> 1)), ...int64(keys)]);
  return [head, texts, Uint8Array.from(int64(count)), ...indexes];
}

function word(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [...varint(bytes.length), ...bytes];
}

function varint(value: number): number[] {
  return value > 127 ? [(value % 128) | 128, ...varint(Math.floor(value / 128))] : [value];
}

/** Less than 2^32. */
function int64(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24, 0, 0, 0, 0];
}
