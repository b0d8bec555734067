/**
 * Events of one organisation with the leaves that they are (schemas/ledger.md, "Evidence bundle"): a container as a segment's
 * (segment-form.ts), whose rows have one more field.
 *
 *     header: as a segment's, of the segment's range; the record is cairn.ProvenEvent, the marker's text begins "cairn-bundle/v1"
 *     row:    leaf | offset | received_at | datum
 */
import { hash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { leafHashText, releasedSchema, utf8, walkNextDatum } from '@cairn/event';
import { Failure } from '@cairn/failure';
import type { Leaf } from './leaf.ts';
import {
  BLOCK_BYTES_MAX,
  BLOCK_ROWS_MAX,
  joined,
  MAGIC,
  putVarint,
  ROW_FIELDS,
  type SegmentRange,
  SYNC_BYTES,
  VARINT_BYTES_MAX,
  varint,
} from './segment-form.ts';

/** @throws Failure `schema.unknown` */
function headerOf({ origin, first, end }: SegmentRange, schemaId: number): Uint8Array<ArrayBuffer> {
  const { schema, sha256 } = releasedSchema(schemaId);
  const fields = [{ name: 'leaf', type: 'long' }, ...ROW_FIELDS, ...schema.fields];
  const metadata = [
    ['avro.schema', JSON.stringify({ type: 'record', name: 'ProvenEvent', namespace: 'cairn', fields })],
    ['avro.codec', 'zstandard'],
    ['cairn.origin', origin],
    ['cairn.first', String(first)],
    ['cairn.end', String(end)],
  ];
  const parts: Uint8Array[] = [MAGIC, varint(metadata.length)];
  for (const text of metadata.flat()) {
    const encoded = utf8(text);
    parts.push(varint(encoded.length), encoded);
  }
  const seed = utf8(`cairn-bundle/v1\n${origin}\n${first}\n${end}\n${sha256}\n`);
  parts.push(varint(0), hash('sha256', seed, 'buffer').subarray(0, SYNC_BYTES));
  return joined(parts);
}

/** Gathers the rows of one writer's schema; holds all of them. */
export class ProvenEventsWriter {
  readonly #schemaId: number;
  readonly #rows: Uint8Array[] = [];

  constructor(schemaId: number) {
    this.#schemaId = schemaId;
  }

  /** By rising index. The leaf's bytes are copied. */
  add({ offset, receivedAtMs, bytes, start, end }: Leaf, index: number): void {
    const row = new Uint8Array(3 * VARINT_BYTES_MAX + end - start);
    const prefix = putVarint(receivedAtMs, row, putVarint(offset, row, putVarint(index, row, 0)));
    row.set(bytes.subarray(start, end), prefix);
    this.#rows.push(row.subarray(0, prefix + end - start));
  }

  /** @throws Failure `schema.unknown` */
  close(range: SegmentRange): Uint8Array<ArrayBuffer> {
    const header = headerOf(range, this.#schemaId);
    const sync = header.subarray(header.length - SYNC_BYTES);
    const parts: Uint8Array[] = [header];
    for (let at = 0; at < this.#rows.length; ) {
      let [to, size] = [at, 0];
      while (
        to < this.#rows.length &&
        to - at < BLOCK_ROWS_MAX &&
        size + this.#rows[to]!.length <= BLOCK_BYTES_MAX
      )
        size += this.#rows[to++]!.length;
      const rows = joined(this.#rows.slice(at, to));
      const frame = zstdCompressSync(rows, {
        params: { [constants.ZSTD_c_compressionLevel]: 1 },
        pledgedSrcSize: rows.length,
        chunkSize: 1_048_576,
      });
      parts.push(varint(to - at), varint(frame.length), frame, sync);
      at = to;
    }
    return joined(parts);
  }
}

export interface ProvenLeaf extends Leaf {
  /** Of the leaf in its log. */
  readonly index: number;
}

/**
 * The events of a container, in order. Every bound is checked, every datum is walked.
 *
 * @throws Failure `proven-events.form`, `proven-events.datum`, when everything before it has been given.
 */
export function* readProvenEvents(
  range: SegmentRange,
  schemaId: number,
  bytes: Uint8Array,
): Generator<ProvenLeaf> {
  const header = headerOf(range, schemaId);
  for (let at = 0; at < header.length; at += 1)
    if (bytes[at] !== header[at]) throw form(`its header is another at byte ${at}`);
  const sync = header.subarray(header.length - SYNC_BYTES);
  let last = range.first - 1;
  let at = header.length;
  while (at < bytes.length) {
    const rows = readVarint(bytes, at);
    const size = readVarint(bytes, rows.to);
    const end = size.to + size.value;
    if (rows.value < 1 || rows.value > BLOCK_ROWS_MAX || size.value < 1 || end + SYNC_BYTES > bytes.length)
      throw form(`the block at byte ${at} is not whole`);
    if (sync.some((byte, offset) => bytes[end + offset] !== byte))
      throw form(`the block at byte ${at} does not end in the marker`);
    for (const leaf of rowsOf(decompressed(bytes.subarray(size.to, end), at), rows.value, schemaId)) {
      if (leaf.index <= last || leaf.index >= range.end)
        throw form(`leaf ${leaf.index} stands behind leaf ${last}`);
      last = leaf.index;
      yield leaf;
    }
    at = end + SYNC_BYTES;
  }
}

function decompressed(frame: Uint8Array, at: number): Uint8Array {
  try {
    return zstdDecompressSync(frame, { maxOutputLength: BLOCK_BYTES_MAX, chunkSize: 1_048_576 });
  } catch (cause) {
    throw form(`the block at byte ${at} cannot be decompressed`, cause);
  }
}

function* rowsOf(block: Uint8Array, rows: number, schemaId: number): Generator<ProvenLeaf> {
  let at = 0;
  for (let row = 0; row < rows; row += 1) {
    const index = readVarint(block, at);
    const offset = readVarint(block, index.to);
    const receivedAt = readVarint(block, offset.to);
    const start = receivedAt.to;
    const walked = walkNextDatum(block, schemaId, start, block.length);
    if (!walked.ok)
      throw datum(`the datum of leaf ${index.value} is not one: ${walked.reason} in ${walked.field}`);
    const { end } = walked;
    const hashText = leafHashText(schemaId, block, start, end);
    yield {
      index: index.value,
      offset: offset.value,
      receivedAtMs: receivedAt.value,
      schemaId,
      bytes: block,
      start,
      end,
      walked,
      hash: hashText,
      prevHash: undefined,
    };
    at = end;
  }
  if (at !== block.length) throw form('a block holds more than its rows');
}

/** A minimal zigzag varint in [0, 2^52). */
function readVarint(bytes: Uint8Array, at: number): { readonly value: number; readonly to: number } {
  let sum = 0;
  let scale = 1;
  for (let to = at; ; ) {
    const byte = bytes[to++];
    if (byte === undefined || scale > 2 ** 49) throw form('a number is none');
    sum += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if ((byte === 0 && scale > 1) || sum % 2 === 1 || sum >= 2 ** 53) throw form('a number is none');
      return { value: sum / 2, to };
    }
    scale *= 128;
  }
}

const form = (why: string, cause?: unknown): Failure => damage('proven-events.form', why, cause);
const datum = (why: string): Failure => damage('proven-events.datum', why);

function damage(code: 'proven-events.form' | 'proven-events.datum', why: string, cause?: unknown): Failure {
  return new Failure({
    code,
    retry: 'no',
    message: `the events are not what they should be: ${why}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
