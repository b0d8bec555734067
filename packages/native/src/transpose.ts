import { Dictionary } from './dictionary.ts';
import { type Datums, fill, itemsIn, kindsOf, streamCount, zeroBytes } from './fill.ts';
import type { Pages } from './pages.ts';
import { type Hints, type Plan, type PlannedField, planOf, type SchemaField } from './plan.ts';
import { Stream } from './stream.ts';

/**
 * How datums of one writer's schema become columns of the reader's: for each of these the writer's field, or what stands
 * for it.
 */
export type Transposition = readonly (
  | { readonly from: number; readonly plan: Plan; readonly symbols: Uint8Array | undefined }
  | { readonly from: undefined; readonly plan: Plan; readonly fallback: unknown }
)[];

/**
 * @throws Error when a field has another type in the reader's schema, but for an int that became a long, a value that
 *   became nullable, and symbols that were added to an enum.
 */
export function transpositionOf(
  writer: readonly SchemaField[],
  reader: readonly SchemaField[],
  hints: Hints,
): Transposition {
  const written = planOf(writer, NO_HINTS);
  const plainly = planOf(reader, NO_HINTS);
  return planOf(reader, hints).map(({ name, plan }, index) => {
    const from = written.findIndex((field) => field.name === name);
    if (from < 0) return { from: undefined, plan, fallback: reader[index]?.default };
    return { from, plan, symbols: symbolsFrom(name, written[from]!.plan, plainly[index]!.plan) };
  });
}

const NO_HINTS: Hints = { uuids: new Set(), dictionaries: new Set() };

/** For each of the writer's symbols the reader's; undefined when they are the same. */
function symbolsFrom(name: string, writer: Plan, reader: Plan): Uint8Array | undefined {
  if (shapeOf(writer) !== shapeOf(reader)) throw new Error(`${name} was written as another type`);
  if (writer.kind !== 'enum' || reader.kind !== 'enum') return undefined;
  const same = writer.symbols.every((symbol, index) => reader.symbols[index] === symbol);
  return same
    ? undefined
    : Uint8Array.from(writer.symbols, (symbol) => Math.max(0, reader.symbols.indexOf(symbol)));
}

/** What must be the same in both schemas. An int is read as a long from the same bytes. */
function shapeOf(plan: Plan): string {
  switch (plan.kind) {
    case 'int32':
    case 'int64':
      return 'integer';
    case 'fixed':
    case 'float':
      return plan.kind + plan.size;
    case 'nullable':
    case 'array':
      return `${plan.kind}(${shapeOf(plan.of)})`;
    case 'tuple':
      return plan.fields.map((field) => `${field.name} ${shapeOf(field.plan)}`).join();
    default:
      return plan.kind;
  }
}

/** Rows that are taken apart together: their bytes stay in the processor's cache while column after column is filled. */
export const TOGETHER = 256;

/**
 * Takes datums apart: appends each field behind the others of its column.
 *
 * @param datums of one writer, each of which was walked; best are as many as stay in the processor's cache.
 * @param streams of all columns, one after the other, as `openColumns` made them.
 */
export function transpose(
  columns: Transposition,
  datums: Datums,
  streams: readonly (Stream | Dictionary)[],
): void {
  const { rows } = datums;
  let first = 0;
  for (const column of columns) {
    if (column.from === undefined) {
      for (let row = 0; row < rows; row += 1) appendFallback(column.plan, column.fallback, streams, first);
    } else {
      fill(column.plan, { ...datums, field: column.from }, streams, first);
      if (column.symbols) translate(streams[first] as Stream, rows, column.symbols);
    }
    first += streamCount(column.plan);
  }
}

function translate(indexes: Stream, rows: number, symbols: Uint8Array): void {
  for (let at = indexes.at - rows; at < indexes.at; at += 1) indexes.bytes[at] = symbols[indexes.bytes[at]!]!;
}

/** The reader's default in the place of a field that the writer did not know. */
function appendFallback(
  plan: Plan,
  fallback: unknown,
  streams: readonly (Stream | Dictionary)[],
  first: number,
): void {
  const own = streams[first]!;
  if (plan.kind === 'string' || plan.kind === 'dictionary' || plan.kind === 'rare') {
    const text = new TextEncoder().encode(String(fallback ?? ''));
    own.text(text, 0, text.length);
    return;
  }
  const out = own as Stream;
  switch (plan.kind) {
    case 'nullable':
      out.byte(1);
      (streams[first + 1] as Stream).zeros(zeroBytes(plan.of));
      break;
    case 'array':
      out.int64(itemsIn(plan.of, streams, first + 1));
      break;
    case 'enum':
      out.byte(Math.max(0, plan.symbols.indexOf(String(fallback))));
      break;
    case 'int32':
      out.int32(Number(fallback));
      break;
    case 'int64':
      out.int64(Number(fallback));
      break;
    case 'boolean':
      out.byte(fallback === true ? 1 : 0);
      break;
    default:
      throw new Error(`a ${plan.kind} has no default`);
  }
}

/** New streams for all columns. */
export function openColumns(columns: readonly PlannedField[], pages: Pages): (Stream | Dictionary)[] {
  return columns
    .flatMap(({ plan }) => kindsOf(plan))
    .map((kind) => (kind === 'dictionary' ? new Dictionary(pages) : new Stream(pages)));
}
