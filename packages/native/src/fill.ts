import { Dictionary } from './dictionary.ts';
import type { Plan } from './plan.ts';
import { copy, putInt32, putInt64, putText, putUuid, type Stream } from './stream.ts';
import { readVarint, varintEnd } from './varint.ts';

/** Datums whose fields' places are known: field f of row r begins at `starts[r] + places[f + r * stride]`. */
export interface Datums {
  readonly bytes: Uint8Array;
  readonly starts: Int32Array;
  readonly places: Uint16Array;
  readonly stride: number;
  readonly rows: number;
}

/** The values of one field. */
export interface Values extends Datums {
  readonly field: number;
}

/**
 * Appends one field of some rows to its column. One small loop for each kind: column by column over few rows at a time,
 * so that the loop is compiled well and the rows stay in the processor's cache.
 *
 * @param streams those of the column are used from `first` on.
 */
export function fill(
  plan: Plan,
  from: Values,
  streams: readonly (Stream | Dictionary)[],
  first: number,
): void {
  const own = streams[first]!;
  if (own instanceof Dictionary) {
    if (plan.kind === 'dictionary' && plan.fixed !== undefined) fillAsText(from, own, plan.fixed);
    else fillDictionary(from, own);
  } else if (plan.kind === 'rare') fillAsText(from, own, plan.size);
  else if (plan.kind === 'enum') fillEnum(from, own);
  else if (plan.kind === 'array' || plan.kind === 'tuple') {
    for (let row = 0; row < from.rows; row += 1) {
      const at = from.starts[row]! + from.places[from.field + row * from.stride]!;
      append(plan, from.bytes, at, streams, first);
    }
  } else if (plan.kind === 'nullable') {
    own.reserve(from.rows);
    own.count += from.rows;
    fillPlain(plan.of, from, streams[first + 1] as Stream, own);
  } else fillPlain(plan, from, own, undefined);
}

/** @param nulls takes a byte for each row when the field may be absent; it has room. */
function fillPlain(plan: Plan, from: Values, out: Stream, nulls: Stream | undefined): void {
  switch (plan.kind) {
    case 'string':
      fillText(from, out, nulls);
      break;
    case 'fixed':
    case 'float':
      fillFixed(from, out, plan.size, nulls);
      break;
    case 'boolean':
      fillFixed(from, out, 1, nulls);
      break;
    case 'uuid':
      fillUuid(from, out, nulls);
      break;
    case 'int32':
      fillInt32(from, out, nulls);
      break;
    case 'int64':
      fillInt64(from, out, nulls);
      break;
    default:
      throw new Error(`a nullable ${plan.kind} has no column`);
  }
}

function fillText(
  { bytes, starts, places, stride, field, rows }: Values,
  out: Stream,
  nulls: Stream | undefined,
): void {
  for (let row = 0; row < rows; row += 1) {
    let p = starts[row]! + places[field + row * stride]!;
    if (nulls && bytes[p++] === 0) {
      nulls.bytes[nulls.at++] = 1;
      out.zeros(1);
      continue;
    }
    if (nulls) nulls.bytes[nulls.at++] = 0;
    const short = bytes[p]!;
    const size = short < 128 ? short >> 1 : readVarint(bytes, p) / 2;
    p = short < 128 ? p + 1 : varintEnd.at;
    out.reserve(size + 5);
    out.at = putText(bytes, p, size, out.bytes, out.at);
  }
  out.count += rows;
}

function fillFixed(
  { bytes, starts, places, stride, field, rows }: Values,
  out: Stream,
  size: number,
  nulls: Stream | undefined,
): void {
  out.reserve(rows * size);
  const to = out.bytes;
  let { at } = out;
  for (let row = 0; row < rows; row += 1, at += size) {
    let p = starts[row]! + places[field + row * stride]!;
    if (nulls) {
      const absent = bytes[p++] === 0;
      nulls.bytes[nulls.at++] = absent ? 1 : 0;
      if (absent) continue;
    }
    copy(bytes, p, size, to, at);
  }
  out.at = at;
  out.count += rows;
}

function fillUuid(
  { bytes, starts, places, stride, field, rows }: Values,
  out: Stream,
  nulls: Stream | undefined,
): void {
  out.reserve(rows * 16);
  const to = out.bytes;
  let { at } = out;
  for (let row = 0; row < rows; row += 1, at += 16) {
    let p = starts[row]! + places[field + row * stride]!;
    if (nulls) {
      const absent = bytes[p++] === 0;
      nulls.bytes[nulls.at++] = absent ? 1 : 0;
      if (absent) continue;
    }
    putUuid(bytes, p, to, at);
  }
  out.at = at;
  out.count += rows;
}

function fillInt32(
  { bytes, starts, places, stride, field, rows }: Values,
  out: Stream,
  nulls: Stream | undefined,
): void {
  out.reserve(rows * 4);
  const to = out.bytes;
  let { at } = out;
  for (let row = 0; row < rows; row += 1, at += 4) {
    let p = starts[row]! + places[field + row * stride]!;
    if (nulls) {
      const absent = bytes[p++] === 0;
      nulls.bytes[nulls.at++] = absent ? 1 : 0;
      if (absent) continue;
    }
    putInt32(to, at, signed(readVarint(bytes, p)));
  }
  out.at = at;
  out.count += rows;
}

function fillInt64(
  { bytes, starts, places, stride, field, rows }: Values,
  out: Stream,
  nulls: Stream | undefined,
): void {
  out.reserve(rows * 8);
  const to = out.bytes;
  let { at } = out;
  for (let row = 0; row < rows; row += 1, at += 8) {
    let p = starts[row]! + places[field + row * stride]!;
    if (nulls) {
      const absent = bytes[p++] === 0;
      nulls.bytes[nulls.at++] = absent ? 1 : 0;
      if (absent) continue;
    }
    putInt64(to, at, signed(readVarint(bytes, p)));
  }
  out.at = at;
  out.count += rows;
}

/** The index of the symbol. Whose symbols differ from the column's is translated before: see `transpositionOf`. */
function fillEnum({ bytes, starts, places, stride, field, rows }: Values, out: Stream): void {
  out.reserve(rows);
  const to = out.bytes;
  for (let row = 0; row < rows; row += 1) {
    const p = starts[row]! + places[field + row * stride]!;
    const short = bytes[p]!;
    to[out.at++] = short < 128 ? short >> 1 : readVarint(bytes, p) / 2;
  }
  out.count += rows;
}

function fillDictionary({ bytes, starts, places, stride, field, rows }: Values, out: Dictionary): void {
  for (let row = 0; row < rows; row += 1) {
    const p = starts[row]! + places[field + row * stride]!;
    const short = bytes[p]!;
    if (short < 128) out.text(bytes, p + 1, short >> 1);
    else {
      const size = readVarint(bytes, p) / 2;
      out.text(bytes, varintEnd.at, size);
    }
  }
}

/** Fixed bytes that may be absent, as texts that are empty then. */
function fillAsText(
  { bytes, starts, places, stride, field, rows }: Values,
  out: Dictionary | Stream,
  size: number,
): void {
  for (let row = 0; row < rows; row += 1) {
    const p = starts[row]! + places[field + row * stride]!;
    out.text(bytes, p + 1, bytes[p] === 0 ? 0 : size);
  }
}

/** Appends one value of any plan. @returns where it ends. */
function append(
  plan: Plan,
  bytes: Uint8Array,
  from: number,
  streams: readonly (Stream | Dictionary)[],
  first: number,
): number {
  const own = streams[first]!;
  let p = from;
  if (plan.kind === 'dictionary') {
    const size = readVarint(bytes, p) / 2;
    own.text(bytes, varintEnd.at, size);
    return varintEnd.at + size;
  }
  const out = own as Stream;
  switch (plan.kind) {
    case 'string': {
      const size = readVarint(bytes, p) / 2;
      p = varintEnd.at;
      out.text(bytes, p, size);
      return p + size;
    }
    case 'int32':
      out.int32(signed(readVarint(bytes, p)));
      return varintEnd.at;
    case 'int64':
      out.int64(signed(readVarint(bytes, p)));
      return varintEnd.at;
    case 'enum':
      out.byte(readVarint(bytes, p) / 2);
      return varintEnd.at;
    case 'fixed':
    case 'float':
      out.fixed(bytes, p, plan.size);
      return p + plan.size;
    case 'boolean':
      out.byte(bytes[p]!);
      return p + 1;
    case 'uuid':
      out.uuid(bytes, p);
      return p + 16;
    case 'nullable': {
      const absent = bytes[p++] === 0;
      out.byte(absent ? 1 : 0);
      if (!absent) return append(plan.of, bytes, p, streams, first + 1);
      (streams[first + 1] as Stream).zeros(zeroBytes(plan.of));
      return p;
    }
    case 'tuple': {
      let stream = first;
      for (const field of plan.fields) {
        p = append(field.plan, bytes, p, streams, stream);
        stream += streamCount(field.plan);
      }
      return p;
    }
    case 'array': {
      const count = readVarint(bytes, p) / 2;
      p = varintEnd.at;
      // The end of this row's items, counted over all rows.
      out.int64(itemsIn(plan.of, streams, first + 1) + count);
      for (let item = 0; item < count; item += 1) p = append(plan.of, bytes, p, streams, first + 1);
      return count > 0 ? p + 1 : p;
    }
    default:
      throw new Error(`a ${plan.kind} is no part of another value`);
  }
}

/** Items that the nested column of an array holds so far. */
export function itemsIn(plan: Plan, streams: readonly (Stream | Dictionary)[], first: number): number {
  return plan.kind === 'tuple' ? itemsIn(plan.fields[0]!.plan, streams, first) : streams[first]!.count;
}

/** What each stream of a column of this plan holds, in order. */
export function kindsOf(plan: Plan): Plan['kind'][] {
  if (plan.kind === 'nullable' || plan.kind === 'array') return [plan.kind, ...kindsOf(plan.of)];
  if (plan.kind === 'tuple') return plan.fields.flatMap((field) => kindsOf(field.plan));
  return [plan.kind];
}

/** Streams of bytes that a column of this plan is written to. */
export function streamCount(plan: Plan): number {
  switch (plan.kind) {
    case 'nullable':
    case 'array':
      return 1 + streamCount(plan.of);
    case 'tuple':
      return plan.fields.reduce((sum, field) => sum + streamCount(field.plan), 0);
    default:
      return 1;
  }
}

/** Bytes of the value that stands in a nullable column where there is none. */
export function zeroBytes(plan: Plan): number {
  switch (plan.kind) {
    case 'fixed':
    case 'float':
      return plan.size;
    case 'uuid':
      return 16;
    case 'int64':
      return 8;
    case 'int32':
      return 4;
    default:
      return 1;
  }
}

const signed = (zigzag: number): number => (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);
