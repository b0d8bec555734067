import { zstdDecompressSync } from 'node:zlib';
import { leafHashText, textOf, walkNextDatum } from '@cairn/event';
import { Failure } from '@cairn/failure';
import type { Leaf } from './leaf.ts';
import {
  BLOCK_BYTES_MAX,
  BLOCK_ROWS_MAX,
  headerOf,
  MAGIC,
  SEGMENT_BYTES_MAX,
  type SegmentRange,
  SYNC_BYTES,
} from './segment-form.ts';

/** An object of a segment as it was fetched. */
export interface SegmentObject {
  readonly schemaId: number;
  readonly bytes: Uint8Array;
}

/**
 * Passes over the leaves of a segment, in order, with one decompressed block of each object in memory. Every bound is
 * checked, every datum is walked; nothing is trusted to be what it says.
 *
 * @param objects one for each writer's schema.
 * @param onLeaf the leaf is good until it returns.
 * @throws Failure `segment.form` or `segment.datum`, when everything before it has been passed on. Leaves end before the
 *   range does only in that way.
 */
export function readSegment(
  range: SegmentRange,
  objects: readonly SegmentObject[],
  onLeaf: (leaf: Leaf) => void,
): void {
  const readers = objects.map((object) => new ObjectReader(range, object));
  let index = range.first;
  let last = -1;
  let [reader] = readers;
  for (; ; index += 1) {
    if (readers.length > 1) reader = nextOf(readers);
    if (reader === undefined || !reader.hasRow()) break;
    if (index === range.end) throw form(`there is a row behind leaf ${range.end - 1}, the last of its range`);
    const leaf = reader.row();
    if (leaf.offset <= last) {
      throw datum(`the offset of leaf ${index} is ${leaf.offset} and does not rise from ${last}`);
    }
    last = leaf.offset;
    onLeaf(leaf);
  }
  if (index !== range.end)
    throw form(`it ends behind leaf ${index - 1} and its range behind ${range.end - 1}`);
}

/** The reader whose next row has the least offset. */
function nextOf(readers: readonly ObjectReader[]): ObjectReader | undefined {
  let next: ObjectReader | undefined;
  for (const reader of readers) {
    if (reader.hasRow() && (next === undefined || reader.offset < next.offset)) next = reader;
  }
  return next;
}

/**
 * The range that an object names in its header, for one whose range is not known yet. Nothing else of it is checked.
 *
 * @throws Failure `segment.form`
 */
export function rangeIn(bytes: Uint8Array): SegmentRange {
  const metadata = new Map<string, string>();
  let at = MAGIC.length;
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) throw form('it does not begin as a container');
  const number = (): number => {
    const to = readVarint(bytes, at);
    if (to < 0 || read < 0) throw form('its header cannot be read');
    at = to;
    return read;
  };
  const text = (): string => {
    const size = number();
    const end = at + size;
    if (end > bytes.length) throw form('its header cannot be read');
    const encoded = bytes.subarray(at, end);
    at = end;
    try {
      return textOf(encoded);
    } catch (cause) {
      throw form('its header cannot be read', cause);
    }
  };
  for (let left = number(); left > 0; left -= 1) metadata.set(text(), text());
  const [first, end] = ['cairn.first', 'cairn.end'].map((name) => {
    const digits = metadata.get(name) ?? '';
    return /^(?:0|[1-9][0-9]{0,15})$/.test(digits) ? Number(digits) : Number.NaN;
  });
  const origin = metadata.get('cairn.origin');
  if (origin === undefined || !Number.isSafeInteger(first) || !Number.isSafeInteger(end)) {
    throw form('its header names no range');
  }
  return { origin, first: first!, end: end! };
}

class ObjectReader {
  readonly #bytes: Uint8Array;
  readonly #schemaId: number;
  readonly #sync: Uint8Array;
  #at: number;
  #block: Uint8Array = new Uint8Array();
  #blockAt = 0;
  #rowsLeft = 0;
  #rowBytes = 0;
  #prefixRead = false;
  #receivedAtMs = 0;
  /** Of the next row, once `hasRow` said that there is one. */
  offset = 0;

  constructor(range: SegmentRange, { schemaId, bytes }: SegmentObject) {
    const header = headerOf(range, schemaId);
    for (let at = 0; at < header.length; at += 1) {
      if (bytes[at] !== header[at]) throw form(`its header differs from that of its range at byte ${at}`);
    }
    this.#bytes = bytes;
    this.#schemaId = schemaId;
    this.#sync = header.subarray(header.length - SYNC_BYTES);
    this.#at = header.length;
  }

  hasRow(): boolean {
    if (this.#prefixRead) return true;
    if (this.#rowsLeft === 0) {
      if (this.#blockAt !== this.#block.length)
        throw form(`a block before byte ${this.#at} holds more than its rows`);
      if (this.#at === this.#bytes.length) return false;
      this.#openBlock();
    }
    this.offset = this.#rowVarint();
    this.#receivedAtMs = this.#rowVarint();
    this.#prefixRead = true;
    return true;
  }

  /** The next row's leaf, after `hasRow`. */
  row(): Leaf {
    const block = this.#block;
    const start = this.#blockAt;
    const walked = walkNextDatum(block, this.#schemaId, start, block.length);
    if (!walked.ok) {
      throw datum(
        `the datum at offset ${this.offset} is not one: ${walked.reason} in ${walked.field || 'its length'}`,
      );
    }
    this.#blockAt = walked.end;
    this.#rowsLeft -= 1;
    this.#prefixRead = false;
    const hash = leafHashText(this.#schemaId, block, start, walked.end);
    return {
      offset: this.offset,
      receivedAtMs: this.#receivedAtMs,
      schemaId: this.#schemaId,
      bytes: block,
      start,
      end: walked.end,
      walked,
      hash,
      prevHash: undefined,
    };
  }

  #openBlock(): void {
    const at = this.#at;
    const rows = this.#varint();
    const size = this.#varint();
    if (rows < 1 || rows > BLOCK_ROWS_MAX) throw form(`the block at byte ${at} claims ${rows} rows`);
    const end = this.#at + size;
    if (size < 1 || end + SYNC_BYTES > this.#bytes.length)
      throw form(`the block at byte ${at} claims ${size} bytes`);
    for (let index = 0; index < SYNC_BYTES; index += 1) {
      if (this.#bytes[end + index] !== this.#sync[index]) {
        throw form(`the block at byte ${at} does not end in the marker`);
      }
    }
    const frame = this.#bytes.subarray(this.#at, end);
    try {
      const { buffer, byteOffset, length } = zstdDecompressSync(frame, {
        maxOutputLength: BLOCK_BYTES_MAX,
        chunkSize: BLOCK_BYTES_MAX,
      });
      // A view of a Buffer is made by Node in JavaScript, one of an array by the engine; each row takes one.
      this.#block = new Uint8Array(buffer, byteOffset, length);
    } catch (cause) {
      throw form(`the block at byte ${at} cannot be decompressed`, cause);
    }
    this.#rowBytes += this.#block.length;
    if (this.#rowBytes > SEGMENT_BYTES_MAX) throw form('its rows are more than a segment holds');
    this.#blockAt = 0;
    this.#rowsLeft = rows;
    this.#at = end + SYNC_BYTES;
  }

  #varint(): number {
    const to = readVarint(this.#bytes, this.#at);
    if (to < 0) throw form(`the number at byte ${this.#at} is none`);
    this.#at = to;
    return read;
  }

  #rowVarint(): number {
    const to = readVarint(this.#block, this.#blockAt);
    if (to < 0 || read < 0) throw form(`a row before byte ${this.#at} has no offset or time`);
    this.#blockAt = to;
    return read;
  }
}

/** Value of the last varint that was read. */
let read = 0;

/** Reads a minimal zigzag varint below 2^52 into `read`; returns the place behind it, or −1 when it is none. */
function readVarint(bytes: Uint8Array, at: number): number {
  let to = at;
  let byte = bytes[to++];
  let low = byte! & 0x7f;
  // Two halves of 28 bits, as bit operations know only 32.
  for (let shift = 7; byte! >= 0x80 && shift < 28; shift += 7) {
    byte = bytes[to++];
    low |= (byte! & 0x7f) << shift;
  }
  let sum = low;
  if (byte! >= 0x80) {
    let high = 0;
    for (let shift = 0; byte! >= 0x80 && shift < 28; shift += 7) {
      byte = bytes[to++];
      high |= (byte! & 0x7f) << shift;
    }
    sum = high * 2 ** 28 + low;
  }
  // Undefined behind the end: then it is neither.
  if (!(byte! < 0x80) || (byte === 0 && to - at > 1) || sum > 2 ** 53 - 1) return -1;
  read = low % 2 === 1 ? -((sum + 1) / 2) : sum / 2;
  return to;
}

const form = (why: string, cause?: unknown): Failure => damage('segment.form', why, cause);
const datum = (why: string): Failure => damage('segment.datum', why);

function damage(code: 'segment.form' | 'segment.datum', why: string, cause?: unknown): Failure {
  return new Failure({
    code,
    retry: 'no',
    message: `the object is not the segment that it should be: ${why}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
