import type { Pages } from './pages.ts';
import { putText, Stream } from './stream.ts';

/**
 * The values of a LowCardinality column while rows are added: each text is kept once, and each value is its number.
 * Looking one up costs about as much as copying it.
 */
export class Dictionary {
  /** Texts one after the other, each behind its length, as a block has them. */
  private bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1_024);
  private used = 0;
  /** Where the length of each text begins in `bytes`; one more for the end of the last. */
  private starts: Uint32Array = new Uint32Array(64);
  /** Texts so far. */
  size = 0;
  /** Number of the text in each slot, plus 1; 0 is a free slot. At most half are taken. */
  private slots: Uint32Array = new Uint32Array(128);
  /** The number of each value, in `indexBytes` bytes, little-endian. */
  private indexes: Stream;
  /** How many bytes the number of a text needs. */
  indexBytes: 1 | 2 | 4 = 1;
  private last = -1;
  private readonly pages: Pages;

  constructor(pages: Pages) {
    this.pages = pages;
    this.indexes = new Stream(pages);
  }

  /** Values so far. */
  get count(): number {
    return this.indexes.count;
  }

  /** Bytes of memory that it holds, about. */
  get bytesHeld(): number {
    return this.indexes.bytesHeld + this.bytes.length + 4 * (this.starts.length + this.slots.length);
  }

  /** The numbers of all values: pieces one behind the other. */
  get numbers(): readonly Uint8Array<ArrayBuffer>[] {
    return this.indexes.written;
  }

  /** Adds the value that stands in source[from, from + size). */
  text(source: Uint8Array, from: number, size: number): void {
    // Rows of one gateway come together, so a value is most often the one before.
    const { last } = this;
    const number = last >= 0 && this.is(last, source, from, size) ? last : this.numberOf(source, from, size);
    this.last = number;
    const { indexes } = this;
    indexes.reserve(4);
    const { bytes, at } = indexes;
    bytes[at] = number;
    if (this.indexBytes > 1) bytes[at + 1] = number >> 8;
    if (this.indexBytes > 2) {
      bytes[at + 2] = number >> 16;
      bytes[at + 3] = number >> 24;
    }
    indexes.at = at + this.indexBytes;
    indexes.count += 1;
  }

  /** Nobody reads the numbers any more. */
  release(): void {
    this.indexes.release();
  }

  /** Writes the numbers so far anew, each in twice as many bytes. */
  private widen(): void {
    const { indexBytes, indexes } = this;
    const wide = new Stream(this.pages);
    for (const piece of indexes.written) {
      for (let at = 0; at < piece.length; at += indexBytes) {
        wide.reserve(indexBytes * 2);
        for (let byte = 0; byte < indexBytes; byte += 1) wide.bytes[wide.at + byte] = piece[at + byte]!;
        wide.at += indexBytes * 2;
      }
    }
    wide.count = indexes.count;
    indexes.release();
    this.indexes = wide;
    this.indexBytes = indexBytes === 1 ? 2 : 4;
  }

  /** All texts, each behind its length: a view. */
  get texts(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.used);
  }

  private numberOf(source: Uint8Array, from: number, size: number): number {
    const mask = this.slots.length - 1;
    for (let slot = slotOf(source, from, size) & mask; ; slot = (slot + 1) & mask) {
      const taken = this.slots[slot]!;
      if (taken === 0) return this.add(source, from, size, slot);
      if (this.is(taken - 1, source, from, size)) return taken - 1;
    }
  }

  private is(number: number, source: Uint8Array, from: number, size: number): boolean {
    const start = this.starts[number + 1]! - size;
    if (start - this.starts[number]! !== lengthBytes(size)) return false;
    const { bytes } = this;
    for (let index = 0; index < size; index += 1) {
      if (bytes[start + index] !== source[from + index]) return false;
    }
    return true;
  }

  private add(source: Uint8Array, from: number, size: number, slot: number): number {
    const number = this.size;
    if (this.used + size + 5 > this.bytes.length) this.bytes = grown(this.bytes, this.used + size + 5);
    this.used = putText(source, from, size, this.bytes, this.used);
    if (number + 2 > this.starts.length) this.starts = grown(this.starts);
    this.starts[number + 1] = this.used;
    this.slots[slot] = number + 1;
    this.size += 1;
    if (this.size === 257 || this.size === 65_537) this.widen();
    if (this.size * 2 > this.slots.length) this.rehash();
    return number;
  }

  private rehash(): void {
    this.slots = new Uint32Array(this.slots.length * 4);
    const mask = this.slots.length - 1;
    for (let number = 0; number < this.size; number += 1) {
      // Not by readVarint: whoever adds a text may be using where that ended.
      let start = this.starts[number]!;
      while (this.bytes[start]! > 127) start += 1;
      start += 1;
      let slot = slotOf(this.bytes, start, this.starts[number + 1]! - start) & mask;
      while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
      this.slots[slot] = number + 1;
    }
  }
}

/** Bytes of a text's length before it. */
const lengthBytes = (size: number): number => (size < 128 ? 1 : size < 16_384 ? 2 : size < 2_097_152 ? 3 : 4);

/** FNV-1a over the whole text: a hash of a few bytes would let a hostile agent name fill one slot. */
function slotOf(bytes: Uint8Array, from: number, size: number): number {
  let hash = 0x811c9dc5 ^ size;
  const to = from + size;
  for (let at = from; at < to; at += 1) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash ^ (hash >>> 15);
}

function grown<A extends Uint8Array<ArrayBuffer> | Uint32Array>(array: A, least = 0): A {
  const larger = new (array.constructor as new (length: number) => A)(Math.max(array.length * 2, least));
  larger.set(array);
  return larger;
}
