import { constants, zstdCompressSync } from 'node:zlib';
import { releasedSchema } from '@cairn/event';
import { sha256Hex } from './hash-text.ts';
import type { Leaf } from './leaf.ts';
import type { ManifestObject } from './manifest.ts';
import { segmentName } from './object-names.ts';
import { SegmentFacts, type SegmentSummary } from './segment-facts.ts';
import {
  BLOCK_BYTES_MAX,
  BLOCK_ROWS_MAX,
  headerOf,
  joined,
  putVarint,
  SEGMENT_BYTES_MAX,
  SEGMENT_LEAVES,
  type SegmentRange,
  STREAM_COST_MAX,
  SYNC_BYTES,
  VARINT_BYTES_MAX,
  varint,
} from './segment-form.ts';

/** An object of a segment, ready to be stored. */
export interface WrittenObject {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What the manifest says of it; the store's version id is to be filled in. */
  readonly entry: ManifestObject;
}

export interface WrittenSegment {
  readonly range: SegmentRange;
  /** By rising id of the writer's schema. */
  readonly objects: readonly WrittenObject[];
  readonly summary: SegmentSummary;
}

/** Level 1 with a table of 2^19 positions over the latest 8 MiB: a better ratio than that of level 3 at half of its price. */
const ZSTD = {
  [constants.ZSTD_c_compressionLevel]: 1,
  [constants.ZSTD_c_strategy]: constants.ZSTD_fast,
  [constants.ZSTD_c_windowLog]: 23,
  [constants.ZSTD_c_hashLog]: 19,
  [constants.ZSTD_c_minMatch]: 7,
  // Tries every fourth position where nothing matches: hashes never do.
  [constants.ZSTD_c_targetLength]: 3,
};

/** A frame is made in pieces of so many bytes. */
const FRAME_CHUNK_BYTES = 1_048_576;

/** Builds a segment leaf by leaf. Holds its compressed blocks and one open block for each writer's schema. */
export class SegmentWriter {
  readonly #origin: string;
  readonly #facts: SegmentFacts;
  readonly #objects = new Map<number, ObjectWriter>();
  #bytes = 0;

  constructor(origin: string, first: number) {
    this.#origin = origin;
    this.#facts = new SegmentFacts(first);
  }

  get first(): number {
    return this.#facts.leaves.first;
  }

  /** Exclusive. */
  get end(): number {
    return this.#facts.leaves.end;
  }

  /** Whether the leaf may go into this segment; else the segment ends before it. The first leaf always may. */
  fits(leaf: Leaf): boolean {
    if (this.end === this.first) return true;
    if (this.end % SEGMENT_LEAVES === 0) return false;
    if (this.#bytes + rowBytes(leaf) > SEGMENT_BYTES_MAX) return false;
    return this.#facts.streams.cost + this.#facts.streams.costOf(leaf) <= STREAM_COST_MAX;
  }

  /** Appends a leaf that fits. Its bytes are copied. */
  add(leaf: Leaf): void {
    let object = this.#objects.get(leaf.schemaId);
    if (object === undefined) this.#objects.set(leaf.schemaId, (object = new ObjectWriter()));
    this.#bytes += object.add(leaf);
    this.#facts.add(leaf);
  }

  /** Ends the segment, which has at least one leaf. @throws Failure `schema.unknown` */
  close(): WrittenSegment {
    const range = { origin: this.#origin, first: this.first, end: this.end };
    const objects = [...this.#objects]
      .sort(([left], [right]) => left - right)
      .map(([schemaId, object]) => writtenObject(range, schemaId, object));
    return { range, objects, summary: this.#facts.summary() };
  }
}

function writtenObject(range: SegmentRange, schemaId: number, object: ObjectWriter): WrittenObject {
  const name = segmentName(range.origin, range.first, schemaId);
  const bytes = object.close(headerOf(range, schemaId));
  const { crc64, sha256 } = releasedSchema(schemaId);
  const entry = {
    crc64,
    key: name,
    leaves: object.rows,
    schema: schemaId,
    schema_sha256: sha256,
    sha256: sha256Hex(bytes),
    size: bytes.length,
    version_id: '',
  };
  return { name, bytes, entry };
}

/** Offset and time take at most ten bytes each. */
const scratch = new Uint8Array(2 * VARINT_BYTES_MAX);
/** The row whose beginning `scratch` holds: a leaf is asked whether it fits, and then added. */
let prefixed = { offset: -1, receivedAtMs: -1, bytes: 0 };

/** Writes a row's offset and time into `scratch`; returns their bytes. */
function prefixOf(offset: number, receivedAtMs: number): number {
  if (prefixed.offset !== offset || prefixed.receivedAtMs !== receivedAtMs) {
    const bytes = putVarint(receivedAtMs, scratch, putVarint(offset, scratch, 0));
    prefixed = { offset, receivedAtMs, bytes };
  }
  return prefixed.bytes;
}

const rowBytes = ({ offset, receivedAtMs, start, end }: Leaf): number =>
  prefixOf(offset, receivedAtMs) + end - start;

/**
 * The block of the object that was closed last: the next one would have to widen its own from the beginning, and give a
 * segment's worth of new memory back unused.
 */
let spare: Uint8Array<ArrayBuffer> | undefined;

/** The rows of one writer's schema: blocks that are whole, compressed, and the one that is open. */
class ObjectWriter {
  rows = 0;
  readonly #blocks: { rows: number; frame: Uint8Array }[] = [];
  #open: Uint8Array<ArrayBuffer>;
  #openRows = 0;
  #openBytes = 0;

  constructor() {
    this.#open = spare ?? new Uint8Array(262_144);
    spare = undefined;
  }

  /** @returns the row's bytes. */
  add({ offset, receivedAtMs, bytes, start, end }: Leaf): number {
    const prefix = prefixOf(offset, receivedAtMs);
    const size = prefix + end - start;
    if (this.#openRows === BLOCK_ROWS_MAX || this.#openBytes + size > BLOCK_BYTES_MAX) this.#endBlock();
    if (this.#openBytes + size > this.#open.length) this.#grow(size);
    const open = this.#open;
    let at = this.#openBytes;
    for (let index = 0; index < prefix; index += 1) open[at++] = scratch[index]!;
    open.set(bytes.subarray(start, end), at);
    this.#openBytes += size;
    this.#openRows += 1;
    this.rows += 1;
    return size;
  }

  #grow(size: number): void {
    const wider = new Uint8Array(
      Math.min(BLOCK_BYTES_MAX, Math.max(this.#open.length * 2, this.#openBytes + size)),
    );
    wider.set(this.#open.subarray(0, this.#openBytes));
    this.#open = wider;
  }

  #endBlock(): void {
    const rows = this.#open.subarray(0, this.#openBytes);
    // In small pieces, though zstd then reads the rows from a copy of its own: room for a whole frame, of which a fifth is used, is
    // memory that the collector counts, and it went through all that lives twice as often.
    const chunkSize = Math.min(FRAME_CHUNK_BYTES, rows.length + (rows.length >> 8) + 1_024);
    const frame = zstdCompressSync(rows, { params: ZSTD, pledgedSrcSize: rows.length, chunkSize });
    this.#blocks.push({ rows: this.#openRows, frame });
    this.#openRows = 0;
    this.#openBytes = 0;
  }

  close(header: Uint8Array): Uint8Array<ArrayBuffer> {
    if (this.#openRows > 0) this.#endBlock();
    spare = this.#open;
    this.#open = new Uint8Array();
    const sync = header.subarray(header.length - SYNC_BYTES);
    const blocks = this.#blocks.flatMap(({ rows, frame }) => [
      varint(rows),
      varint(frame.length),
      frame,
      sync,
    ]);
    return joined([header, ...blocks]);
  }
}
