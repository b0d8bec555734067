/**
 * The steps of the encoder: each writes one Avro value in canonical form at a place of one buffer and returns the place
 * behind it. A value that does not fit its type is refused with the field's name; no step allocates, except for long text.
 *
 * Few steps ask whether there is room. Text does, which alone can be long or stand in an array, and opaque bytes do; the
 * buffer has room for one more text behind a full datum, and for the few values that can follow before the next one.
 */
import { Failure } from '@cairn/failure';
import { utf8 } from './bytes.ts';
import { DATUM_BYTES_MAX } from './entry.ts';
import { ITEMS_MAX, STRING_BYTES_MAX } from './walk-steps.ts';

/** Fixed values and numbers between two texts take less than a kibibyte; a UTF-16 unit takes at most three bytes. */
const bytes = new Uint8Array(DATUM_BYTES_MAX + 1024 + 3 * STRING_BYTES_MAX);

/** Larger numbers, zigzagged, do not fit a double exactly. */
export const LONG_MAX = 2 ** 52 - 1;

/** Above this, the platform's encoder is faster although its result has to be copied. */
const LONG_TEXT = 512;

/**
 * Taken from the prototype once. V8 keeps a text in one of many ways (flat, joined, cut, shared, one byte or two), and where a
 * place of the code has met more than four of them, `value.charCodeAt` is looked up anew for every character: in a gateway that
 * was 50 of the 60 µs that an event's encoding took. A function that is called needs no looking up.
 */
const { charCodeAt, codePointAt } = String.prototype;

/** Text, as UTF-8. A surrogate without its pair becomes U+FFFD, as TextEncoder has it. */
export function text(at: number, field: string, value: unknown): number {
  if (typeof value !== 'string') return unfit(field, 'must be a string');
  withinDatum(at);
  const { length } = value;
  if (length > LONG_TEXT) return longText(at, field, value);
  // As if all of it were ASCII, which it mostly is.
  let to = putVarint(at, length * 2);
  for (let index = 0; index < length; index += 1) {
    const unit = charCodeAt.call(value, index);
    if (unit >= 0x80) return wideText(at, value);
    bytes[to++] = unit;
  }
  return to;
}

function wideText(at: number, value: string): number {
  // Three bytes are the most that a length takes here; the text is moved when it takes fewer.
  const from = at + 3;
  let to = from;
  for (let index = 0; index < value.length; index += 1) {
    let point = codePointAt.call(value, index)!;
    if (point < 0x80) {
      bytes[to++] = point;
      continue;
    }
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x800) {
      bytes[to++] = 0xc0 | (point >> 6);
    } else if (point < 0x10000) {
      bytes[to++] = 0xe0 | (point >> 12);
      bytes[to++] = 0x80 | ((point >> 6) & 0x3f);
    } else {
      index += 1;
      bytes[to++] = 0xf0 | (point >> 18);
      bytes[to++] = 0x80 | ((point >> 12) & 0x3f);
      bytes[to++] = 0x80 | ((point >> 6) & 0x3f);
    }
    bytes[to++] = 0x80 | (point & 0x3f);
  }
  const start = putVarint(at, (to - from) * 2);
  bytes.copyWithin(start, from, to);
  return start + to - from;
}

function longText(at: number, field: string, value: string): number {
  // Every unit takes at least a byte.
  const encoded = value.length > STRING_BYTES_MAX ? undefined : utf8(value);
  if (encoded === undefined || encoded.length > STRING_BYTES_MAX)
    return unfit(field, `must take at most ${STRING_BYTES_MAX} bytes`);
  const start = putVarint(at, encoded.length * 2);
  bytes.set(encoded, start);
  return start + encoded.length;
}

/** Opaque bytes. */
export function opaque(at: number, field: string, value: unknown): number {
  if (!(value instanceof Uint8Array)) return unfit(field, 'must be bytes');
  const start = putVarint(at, value.length * 2);
  withinDatum(start + value.length);
  bytes.set(value, start);
  return start + value.length;
}

export function fixed(at: number, field: string, value: unknown, size: number): number {
  if (!(value instanceof Uint8Array) || value.length !== size) return unfit(field, `must be ${size} bytes`);
  for (let index = 0; index < size; index += 1) bytes[at + index] = value[index]!;
  return at + size;
}

export function int(at: number, field: string, value: unknown): number {
  if (typeof value !== 'number' || value !== (value | 0))
    return unfit(field, 'must be a whole number of 32 bits');
  return putVarint(at, value < 0 ? -value * 2 - 1 : value * 2);
}

export function long(at: number, field: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value > LONG_MAX || value < -LONG_MAX)
    return unfit(field, 'must be a whole number of less than 2^52');
  return putVarint(at, value < 0 ? -value * 2 - 1 : value * 2);
}

/** An enum's symbol, by its place among the symbols. */
export function symbol(
  at: number,
  field: string,
  value: unknown,
  places: ReadonlyMap<unknown, number>,
): number {
  const place = places.get(value);
  if (place === undefined) return unfit(field, `must be one of ${[...places.keys()].join(', ')}`);
  return putVarint(at, place * 2);
}

export const placesOf = (symbols: readonly string[]): ReadonlyMap<unknown, number> =>
  new Map(symbols.map((name, place) => [name, place]));

/** A union's branch, by its place. */
export function branch(at: number, place: number): number {
  bytes[at] = place * 2;
  return at + 1;
}

/** An array's length, or a refusal; `before` counts the items of the datum's arrays so far. */
export function itemsOf(field: string, value: unknown, before: number): number {
  if (!Array.isArray(value)) return unfit(field, 'must be an array');
  if (before + value.length > ITEMS_MAX)
    return unfit(field, `must leave the event with at most ${ITEMS_MAX} items`);
  return value.length;
}

/** The head of an array: its one block's count, or the 0 that is all of an empty one. */
export const arrayStart = (at: number, count: number): number => putVarint(at, count * 2);

/** An array's item that is a record. */
export function record(field: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) unfit(field, 'must hold records');
}

/** The 0 behind an array's block. */
export function arrayEnd(at: number): number {
  bytes[at] = 0;
  return at + 1;
}

/** A number, zigzagged already, of at most 53 bits: 28 of them at a time, as bit operations know only 32. */
function putVarint(at: number, zigzag: number): number {
  let rest = zigzag;
  if (zigzag >= 0x10000000) {
    const low = zigzag % 0x10000000;
    bytes[at++] = low | 0x80;
    bytes[at++] = (low >>> 7) | 0x80;
    bytes[at++] = (low >>> 14) | 0x80;
    bytes[at++] = (low >>> 21) | 0x80;
    rest = (zigzag - low) / 0x10000000;
  }
  while (rest >= 0x80) {
    bytes[at++] = rest | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** What was copied out before, as the beginning of another datum. */
export function encoded(at: number, value: Uint8Array): number {
  withinDatum(at + value.length);
  bytes.set(value, at);
  return at + value.length;
}

/** What was written and ends here: a copy, so that the buffer can take the next. */
export function copyUpTo(end: number): Uint8Array<ArrayBuffer> {
  withinDatum(end);
  if (end > SLAB_BYTES / 8) return bytes.slice(0, end);
  if (slabAt + end > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    slabAt = 0;
  }
  slab.set(bytes.subarray(0, end), slabAt);
  const copy = new Uint8Array(slab.buffer, slabAt, end);
  slabAt += end;
  return copy;
}

/** Datums are cut from slabs: a buffer for each is an allocation outside the heap, which costs more than the encoding. */
const SLAB_BYTES = 32_768;
let slab = new Uint8Array(SLAB_BYTES);
let slabAt = 0;

function withinDatum(at: number): number {
  if (at <= DATUM_BYTES_MAX) return at;
  throw new Failure({
    code: 'event.too-large',
    retry: 'no',
    message: `the event has more than ${DATUM_BYTES_MAX} bytes, which do not fit an entry`,
    mend: 'Keep fewer or shorter parameters.',
  });
}

function unfit(field: string, wants: string): never {
  throw new Failure({
    code: 'event.invalid',
    retry: 'no',
    message: `the event does not fit its schema: ${field} ${wants}`,
    mend: 'See schemas/audit-event.avsc for the fields and their types.',
  });
}
