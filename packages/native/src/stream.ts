import type { Pages } from './pages.ts';

/** The bytes of one stream of a column while rows are added; values are little-endian, and none lies on two pages. */
export class Stream {
  /** The page that is written to; what lies behind `at` is zeros. */
  bytes: Uint8Array<ArrayBuffer> = NO_PAGE;
  at = 0;
  /** Values so far. */
  count = 0;
  private readonly pages: Pages;
  /** What is written of the pages before. */
  private readonly full: Uint8Array<ArrayBuffer>[] = [];
  private fullBytes = 0;

  constructor(pages: Pages) {
    this.pages = pages;
  }

  /** The bytes written so far, one piece after the other: views. */
  get written(): readonly Uint8Array<ArrayBuffer>[] {
    return this.at === 0 ? [...this.full] : [...this.full, this.bytes.subarray(0, this.at)];
  }

  /** Bytes of memory that it holds, about. */
  get bytesHeld(): number {
    return this.fullBytes + this.at;
  }

  /** Makes room for so many bytes more, one behind the other. What lies behind `at` is zeros and stays so. */
  reserve(more: number): void {
    if (this.at + more > this.bytes.length) this.turn(more);
  }

  /** Nobody reads what was written any more. */
  release(): void {
    for (const { buffer, length } of this.full) this.pages.giveBack(new Uint8Array(buffer), length);
    if (this.bytes !== NO_PAGE) this.pages.giveBack(this.bytes, this.at);
    this.full.length = 0;
    this.fullBytes = 0;
    this.bytes = NO_PAGE;
    this.at = 0;
  }

  private turn(more: number): void {
    if (this.at > 0) {
      this.full.push(this.bytes.subarray(0, this.at));
      this.fullBytes += this.at;
    } else if (this.bytes !== NO_PAGE) this.pages.giveBack(this.bytes, 0);
    this.bytes = this.pages.take(more, this.full.length);
    this.at = 0;
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

const NO_PAGE = new Uint8Array();

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
