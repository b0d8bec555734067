/** The bytes of one stream of a column while rows are added; values are little-endian. */
export class Stream {
  bytes: Uint8Array<ArrayBuffer>;
  at = 0;
  /** Values so far. */
  count = 0;

  /** @param spare zeros to write to, when they are enough. */
  constructor(capacity: number, spare?: Uint8Array<ArrayBuffer>) {
    this.bytes = spare && spare.length >= capacity ? spare : new Uint8Array(capacity);
  }

  /** The bytes written so far: a view. */
  get written(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.at);
  }

  /** Makes room for so many bytes more. What lies behind `at` is zeros and stays so. */
  reserve(more: number): void {
    if (this.at + more <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(Math.ceil(this.bytes.length * 1.5), this.at + more, 256));
    grown.set(this.bytes.subarray(0, this.at));
    this.bytes = grown;
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.at++] = value;
    this.count += 1;
  }

  int32(value: number): void {
    this.reserve(4);
    putInt32(this.bytes, this.at, value);
    this.at += 4;
    this.count += 1;
  }

  /** An integer of less than 2^53 in size. */
  int64(value: number): void {
    this.reserve(8);
    putInt64(this.bytes, this.at, value);
    this.at += 8;
    this.count += 1;
  }

  /** Bytes of fixed size. */
  fixed(source: Uint8Array, from: number, size: number): void {
    this.reserve(size);
    copy(source, from, size, this.bytes, this.at);
    this.at += size;
    this.count += 1;
  }

  /** A UUID: two halves, each little-endian. */
  uuid(source: Uint8Array, from: number): void {
    this.reserve(16);
    putUuid(source, from, this.bytes, this.at);
    this.at += 16;
    this.count += 1;
  }

  /** A string: its length as a varint, and its bytes. */
  text(source: Uint8Array, from: number, size: number): void {
    this.reserve(size + 5);
    this.at = putText(source, from, size, this.bytes, this.at);
    this.count += 1;
  }

  /** Bytes that come as one character each. */
  latin1(text: string): void {
    const size = text.length;
    this.reserve(size);
    const { bytes, at } = this;
    for (let index = 0; index < size; index += 1) bytes[at + index] = text.charCodeAt(index);
    this.at = at + size;
    this.count += 1;
  }

  /** So many zero bytes, as one value: what stands where there is none. */
  zeros(size: number): void {
    this.reserve(size);
    this.at += size;
    this.count += 1;
  }
}

export function putInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
  bytes[at + 2] = value >> 16;
  bytes[at + 3] = value >> 24;
}

export function putInt64(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 4_294_967_296);
  putInt32(bytes, at, (value - high * 4_294_967_296) | 0);
  putInt32(bytes, at + 4, high);
}

export function putUuid(source: Uint8Array, from: number, bytes: Uint8Array, at: number): void {
  for (let index = 0; index < 8; index += 1) {
    bytes[at + index] = source[from + 7 - index]!;
    bytes[at + 8 + index] = source[from + 15 - index]!;
  }
}

/** @returns where it ends. */
export function putText(
  source: Uint8Array,
  from: number,
  size: number,
  bytes: Uint8Array,
  at: number,
): number {
  let to = at;
  let rest = size;
  for (; rest > 127; rest >>>= 7) bytes[to++] = (rest & 127) | 128;
  bytes[to++] = rest;
  copy(source, from, size, bytes, to);
  return to + size;
}

/** Below this many bytes a loop is faster than making a view of the source. */
const LOOP_MAX = 64;

export function copy(source: Uint8Array, from: number, size: number, bytes: Uint8Array, at: number): void {
  if (size > LOOP_MAX) bytes.set(source.subarray(from, from + size), at);
  else for (let index = 0; index < size; index += 1) bytes[at + index] = source[from + index]!;
}
