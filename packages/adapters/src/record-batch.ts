/**
 * Record batches as Kafka keeps them on disk and sends them: message format 2, Kafka documentation "Record Batch".
 *
 *     base offset i64 | length of the rest i32 | leader epoch i32 | magic i8 = 2 | CRC-32C u32 of all that follows
 *     attributes i16 | last offset delta i32 | base timestamp i64 | max timestamp i64 | producer id i64
 *     producer epoch i16 | base sequence i32 | records i32 | records, compressed together when the attributes say so
 *
 * A record: length | attributes i8 | timestamp delta | offset delta | key length | key | value length | value | headers;
 * lengths and deltas are zigzag varints, a length of −1 is null.
 *
 * Nothing is copied: values are places in the bytes that came.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { LogRecord } from '@cairn/runtime';
import { crc32c } from '@node-rs/crc32';

/** A batch of which nothing but the head has been read. */
export interface RawBatch {
  readonly bytes: Buffer;
  /** What the fetch brought, and where the batch begins in it. */
  readonly set: Buffer;
  readonly at: number;
  readonly firstOffset: number;
  /** Of the batch, also when its last records were removed by compaction. */
  readonly lastOffset: number;
  readonly producerId: bigint;
  readonly transactional: boolean;
  /** Its records are marks of the broker. */
  readonly control: boolean;
}

/** A batch that is not what its producer wrote, or that cannot be read here. */
export class UnreadableBatch extends Error {
  readonly firstOffset: number;

  constructor(firstOffset: number, why: string) {
    super(`the record batch at offset ${firstOffset} ${why}`);
    this.firstOffset = firstOffset;
  }
}

const HEAD_BYTES = 61;
const MAGIC_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const LAST_DELTA_AT = 23;
const BASE_TIME_AT = 27;
const MAX_TIME_AT = 35;
const PRODUCER_AT = 43;
const COUNT_AT = 57;

const CODEC_MASK = 7;
const APPEND_TIME = 8;
const TRANSACTIONAL = 16;
const CONTROL = 32;

/** No batch of a topic of events unfolds to more: its batches have at most 1 MiB. */
const UNFOLDED_BYTES_MAX = 64 * 1024 ** 2;

/**
 * Cuts what a fetch brought into batches. The last one is left out when it is not whole: brokers cut answers by size.
 *
 * @throws UnreadableBatch for a batch in a format before Kafka 0.11.
 */
export function batchesOf(recordSet: Buffer): RawBatch[] {
  const batches: RawBatch[] = [];
  for (let at = 0; at + HEAD_BYTES <= recordSet.length; ) {
    const size = 12 + recordSet.readInt32BE(at + 8);
    const firstOffset = Number(recordSet.readBigInt64BE(at));
    if (size < HEAD_BYTES || recordSet[at + MAGIC_AT] !== 2) {
      throw new UnreadableBatch(firstOffset, 'is not in message format 2');
    }
    if (at + size > recordSet.length) break;
    const bytes = recordSet.subarray(at, at + size);
    const attributes = bytes.readInt16BE(ATTRIBUTES_AT);
    batches.push({
      bytes,
      set: recordSet,
      at,
      firstOffset,
      lastOffset: firstOffset + bytes.readInt32BE(LAST_DELTA_AT),
      producerId: bytes.readBigInt64BE(PRODUCER_AT),
      transactional: (attributes & TRANSACTIONAL) !== 0,
      control: (attributes & CONTROL) !== 0,
    });
    at += size;
  }
  return batches;
}

/**
 * The records of a batch from an offset on.
 *
 * @throws UnreadableBatch when the checksum is wrong, the codec unknown, or the records are not as many as it says.
 */
export function recordsOf(batch: RawBatch, from: number): LogRecord[] {
  const { bytes, set, at, firstOffset, lastOffset } = batch;
  if (crc32c(bytes.subarray(ATTRIBUTES_AT)) !== bytes.readUInt32BE(CRC_AT)) {
    throw new UnreadableBatch(firstOffset, 'fails its checksum');
  }
  const attributes = bytes.readInt16BE(ATTRIBUTES_AT);
  const appendTime = (attributes & APPEND_TIME) !== 0;
  const time = Number(bytes.readBigInt64BE(appendTime ? MAX_TIME_AT : BASE_TIME_AT));
  const count = bytes.readInt32BE(COUNT_AT);
  const codec = attributes & CODEC_MASK;
  // Uncompressed, the records of all batches of a fetch lie in the same bytes.
  const body = codec === 0 ? set : unfolded(bytes.subarray(HEAD_BYTES), codec, firstOffset);
  const bodyEnd = codec === 0 ? at + bytes.length : body.length;
  const records: LogRecord[] = [];
  const cursor: Cursor = { bytes: body, at: codec === 0 ? at + HEAD_BYTES : 0 };
  for (let index = 0; index < count; index += 1) {
    const size = varint(cursor);
    const end = cursor.at + size;
    if (!(size >= 6 && end <= bodyEnd)) throw new UnreadableBatch(firstOffset, 'ends inside a record');
    cursor.at += 1;
    const timeDelta = varint(cursor);
    const offset = firstOffset + varint(cursor);
    const keySize = varint(cursor);
    if (keySize > 0) cursor.at += keySize;
    const valueSize = varint(cursor);
    if (!(cursor.at + Math.max(valueSize, 0) <= end && offset >= firstOffset && offset <= lastOffset)) {
      throw new UnreadableBatch(firstOffset, 'holds a record that goes beyond it');
    }
    if (offset >= from) {
      records.push({
        offset,
        appendedAtMs: appendTime ? time : time + timeDelta,
        bytes: body,
        start: valueSize < 0 ? -1 : cursor.at,
        end: valueSize < 0 ? -1 : cursor.at + valueSize,
      });
    }
    cursor.at = end;
  }
  return records;
}

function unfolded(body: Buffer, codec: number, firstOffset: number): Buffer {
  try {
    if (codec === 1) return gunzipSync(body, { maxOutputLength: UNFOLDED_BYTES_MAX });
    if (codec === 4) return zstdDecompressSync(body, { maxOutputLength: UNFOLDED_BYTES_MAX });
  } catch (error) {
    throw new UnreadableBatch(firstOffset, `cannot be unfolded: ${String(error)}`);
  }
  throw new UnreadableBatch(firstOffset, `is compressed with codec ${codec}; gzip and zstd are read`);
}

interface Cursor {
  readonly bytes: Buffer;
  at: number;
}

/** A zigzag varint. Most have one byte. Beyond 32 bits only deltas of time go, and those are exact to 2^53. */
function varint(cursor: Cursor): number {
  const { bytes } = cursor;
  const first = bytes[cursor.at++]!;
  if (first < 128) return first & 1 ? -(first + 1) / 2 : first / 2;
  let value = first & 127;
  for (let scale = 128; ; scale *= 128) {
    const byte = bytes[cursor.at++];
    if (byte === undefined || scale > 2 ** 63) return Number.NaN;
    value += (byte & 127) * scale;
    if (byte < 128) break;
  }
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}

/** A transaction that its producer gave up. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

/** The batches that hold records for readers: neither marks of the broker nor what a producer took back. */
export function committedBatches(
  batches: readonly RawBatch[],
  aborted: readonly AbortedTransaction[],
): RawBatch[] {
  const ahead = aborted.toSorted((left, right) => left.firstOffset - right.firstOffset);
  const open = new Set<bigint>();
  return batches.filter((batch) => {
    while (ahead[0] && ahead[0].firstOffset <= batch.lastOffset) open.add(ahead.shift()!.producerId);
    if (batch.control) {
      open.delete(batch.producerId);
      return false;
    }
    return !(batch.transactional && open.has(batch.producerId));
  });
}
