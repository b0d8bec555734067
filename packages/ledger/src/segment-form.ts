/**
 * A segment's object: an Avro object container file (Avro 1.11, "Object Container Files") around datums that are never
 * decoded (schemas/ledger.md, "Segment").
 *
 *     'Obj' 01 | metadata: avro.schema, avro.codec = zstandard, cairn.origin, cairn.first, cairn.end | 0 | sync marker, 16 B
 *     blocks:  count | size | zstd frame of rows | sync marker
 *     row:     offset | received_at | datum
 *
 * Counts, sizes, offsets and times are zigzag varints. What is written is a function of the rows and the range.
 */
import { hash } from 'node:crypto';
import { releasedSchema, utf8 } from '@cairn/event';

export const SEGMENT_LEAVES = 65_536;
/** Of rows, uncompressed. */
export const SEGMENT_BYTES_MAX = 134_217_728;
export const STREAM_COST_MAX = 786_432;
export const BLOCK_ROWS_MAX = 32_768;
export const BLOCK_BYTES_MAX = 16_777_216;
export const SYNC_BYTES = 16;

export interface SegmentRange {
  readonly origin: string;
  readonly first: number;
  /** Exclusive. */
  readonly end: number;
}

/** What stands before the event's own fields in every row. */
export const ROW_FIELDS = [
  { name: 'offset', type: 'long' },
  { name: 'received_at', type: { type: 'long', logicalType: 'timestamp-millis' } },
] as const;

const schemaTexts = new Map<number, string>();

/** The schema of a segment's rows of events of this schema, as its header has it. @throws Failure `schema.unknown` */
function rowSchemaText(schemaId: number): string {
  const known = schemaTexts.get(schemaId);
  if (known !== undefined) return known;
  const { schema } = releasedSchema(schemaId);
  const text = JSON.stringify({
    type: 'record',
    name: 'ArchivedEvent',
    namespace: 'cairn',
    fields: [...ROW_FIELDS, ...schema.fields],
  });
  schemaTexts.set(schemaId, text);
  return text;
}

/** The bytes before an object's first block, which end in its sync marker. @throws Failure `schema.unknown` */
export function headerOf({ origin, first, end }: SegmentRange, schemaId: number): Uint8Array<ArrayBuffer> {
  const metadata: [string, string][] = [
    ['avro.schema', rowSchemaText(schemaId)],
    ['avro.codec', 'zstandard'],
    ['cairn.origin', origin],
    ['cairn.first', String(first)],
    ['cairn.end', String(end)],
  ];
  const bytes: Uint8Array[] = [MAGIC, varint(metadata.length)];
  for (const text of metadata.flat()) {
    const encoded = utf8(text);
    bytes.push(varint(encoded.length), encoded);
  }
  const { sha256 } = releasedSchema(schemaId);
  const seed = utf8(`cairn-segment/v1\n${origin}\n${first}\n${end}\n${sha256}\n`);
  bytes.push(varint(0), hash('sha256', seed, 'buffer').subarray(0, SYNC_BYTES));
  return joined(bytes);
}

export const MAGIC = new Uint8Array([0x4f, 0x62, 0x6a, 0x01]);

/** A count or size as a zigzag varint. */
export function varint(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(VARINT_BYTES_MAX);
  return bytes.slice(0, putVarint(value, bytes, 0));
}

export const VARINT_BYTES_MAX = 10;

/** Writes a zigzag varint; returns the place behind it. */
export function putVarint(value: number, into: Uint8Array, at: number): number {
  let rest = value < 0 ? -value * 2 - 1 : value * 2;
  let to = at;
  // Arithmetic as long as it is beyond 32 bits, as times are.
  while (rest >= 0x80000000) {
    into[to++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  let low = rest | 0;
  while (low >= 128) {
    into[to++] = low | 128;
    low >>>= 7;
  }
  into[to++] = low;
  return to;
}

export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
