/**
 * The values of a LowCardinality column while rows are added: each text is kept once, and each value is its number.
 * Looking one up costs about as much as copying it.
 */
export class Dictionary {
  /** Texts one after the other. */
  private bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1_024);
  private used = 0;
  /** Where each text begins in `bytes`; one more for the end of the last. */
  private starts: Uint32Array = new Uint32Array(64);
  /** Texts so far. */
  size = 0;
  /** Number of the text in each slot, plus 1; 0 is a free slot. At most half are taken. */
  private slots: Uint32Array = new Uint32Array(128);
  private indexes: Uint32Array;
  /** Values so far. */
  count = 0;

  constructor(capacity: number) {
    this.indexes = new Uint32Array(Math.max(capacity, 16));
  }

  /** Adds the value that stands in source[from, from + size). */
  text(source: Uint8Array, from: number, size: number): void {
    if (this.count === this.indexes.length) this.indexes = grown(this.indexes);
    // Rows of one gateway come together, so a value is most often the one before.
    const last = this.count === 0 ? -1 : this.indexes[this.count - 1]!;
    const number = last >= 0 && this.is(last, source, from, size) ? last : this.numberOf(source, from, size);
    this.indexes[this.count++] = number;
  }

  /** How many bytes the number of a text needs: 1, 2 or 4. */
  get indexBytes(): 1 | 2 | 4 {
    return this.size <= 256 ? 1 : this.size <= 65_536 ? 2 : 4;
  }

  /** The numbers of all values, little-endian. */
  get numbers(): Uint8Array<ArrayBuffer> {
    const used = this.indexes.subarray(0, this.count);
    const narrow =
      this.indexBytes === 1
        ? Uint8Array.from(used)
        : this.indexBytes === 2
          ? Uint16Array.from(used)
          : used.slice();
    return new Uint8Array(narrow.buffer as ArrayBuffer);
  }

  /** Bytes of the n-th text: a view. */
  at(number: number): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(this.starts[number]!, this.starts[number + 1]!);
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
    const start = this.starts[number]!;
    if (this.starts[number + 1]! - start !== size) return false;
    const { bytes } = this;
    for (let index = 0; index < size; index += 1) {
      if (bytes[start + index] !== source[from + index]) return false;
    }
    return true;
  }

  private add(source: Uint8Array, from: number, size: number, slot: number): number {
    const number = this.size;
    if (this.used + size > this.bytes.length) this.bytes = grown(this.bytes, this.used + size);
    this.bytes.set(source.subarray(from, from + size), this.used);
    this.used += size;
    if (number + 2 > this.starts.length) this.starts = grown(this.starts);
    this.starts[number + 1] = this.used;
    this.slots[slot] = number + 1;
    this.size += 1;
    if (this.size * 2 > this.slots.length) this.rehash();
    return number;
  }

  private rehash(): void {
    this.slots = new Uint32Array(this.slots.length * 4);
    const mask = this.slots.length - 1;
    for (let number = 0; number < this.size; number += 1) {
      const start = this.starts[number]!;
      let slot = slotOf(this.bytes, start, this.starts[number + 1]! - start) & mask;
      while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
      this.slots[slot] = number + 1;
    }
  }
}

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
