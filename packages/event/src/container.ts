/**
 * A container is an Avro object container file (Avro 1.11, "Object Container Files") built around datums that are never
 * decoded. ClickHouse reads it.
 *
 *     'Obj' 01 | metadata map: avro.schema, avro.codec = null | 0 | sync marker, 16 bytes
 *     then for every datum one block:
 *     count = 1 | size of prefix and datum | prefix | datum | sync marker
 *
 * One block for each datum: a reader cannot run past it into the neighbour's, whatever the datum claims. The prefix holds
 * the facts of the log that the datum cannot know; the container's schema is the prefix fields followed by the event's.
 *
 * The header's schema keeps its logical types. Without them a reader takes microseconds for something else and stores the
 * year 9999 without an error.
 */
import { hash } from 'node:crypto';
import { concat, utf8 } from './bytes.ts';
import type { RecordSchema } from './event.gen.ts';
import { releasedSchema } from './schemas.ts';

/** What stands before the event's own fields in every row. */
export const PREFIX_FIELDS = [
  { name: 'topic', type: 'string' },
  { name: 'partition', type: 'int' },
  { name: 'offset', type: 'long' },
  { name: 'received_at', type: { type: 'long', logicalType: 'timestamp-millis' } },
  { name: 'leaf_hash', type: { type: 'fixed', name: 'LeafHash32', size: 32 } },
  { name: 'linked', type: 'boolean' },
] as const;

export interface ContainerRow {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Broker's append time, milliseconds since the epoch. */
  readonly receivedAtMs: number;
  /** 32 bytes. */
  readonly leafHash: Uint8Array;
  /** True when prev_hash is the leaf hash of the event before in the stream; default false. */
  readonly linked?: boolean;
  /** A datum that was walked. */
  readonly datum: Uint8Array;
}

/** The schema of a container's rows for events of this schema. @throws Failure `schema.unknown` */
export function ingestedSchema(schemaId: number): RecordSchema {
  const { schema } = releasedSchema(schemaId);
  return {
    type: 'record',
    name: 'IngestedEvent',
    namespace: 'cairn',
    fields: [...PREFIX_FIELDS, ...schema.fields],
  };
}

/**
 * The container of rows that were all written with one schema.
 *
 * @throws Failure `schema.unknown`
 */
export function containerOf(schemaId: number, rows: readonly ContainerRow[]): Uint8Array<ArrayBuffer> {
  const { header, sync } = headOf(schemaId);
  const size = rows.reduce(
    (sum, row) => sum + BLOCK_OVERHEAD_MAX + row.topic.length * 3 + row.datum.length,
    0,
  );
  const out: Sink = { bytes: new Uint8Array(header.length + size), at: 0 };
  put(out, header);
  let topic = '';
  let topicBytes = utf8('');
  for (const row of rows) {
    if (row.topic !== topic) topicBytes = utf8((topic = row.topic));
    const prefix =
      lengthOfLong(topicBytes.length) +
      topicBytes.length +
      lengthOfLong(row.partition) +
      lengthOfLong(row.offset) +
      lengthOfLong(row.receivedAtMs) +
      33;
    putLong(out, 1);
    putLong(out, prefix + row.datum.length);
    putLong(out, topicBytes.length);
    put(out, topicBytes);
    putLong(out, row.partition);
    putLong(out, row.offset);
    putLong(out, row.receivedAtMs);
    put(out, row.leafHash);
    out.bytes[out.at++] = row.linked === true ? 1 : 0;
    put(out, row.datum);
    put(out, sync);
  }
  return out.bytes.subarray(0, out.at);
}

/** Count, size, topic's length, partition, offset, time: at most 10 bytes each; leaf hash, link and sync marker. */
const BLOCK_OVERHEAD_MAX = 6 * 10 + 32 + 1 + 16;

const heads = new Map<number, { header: Uint8Array; sync: Uint8Array }>();

function headOf(schemaId: number): { header: Uint8Array; sync: Uint8Array } {
  const known = heads.get(schemaId);
  if (known !== undefined) return known;
  const schema = utf8(JSON.stringify(ingestedSchema(schemaId)));
  // Derived from the schema, so that the same rows always give the same bytes.
  const sync = hash('sha256', schema, 'buffer').subarray(0, 16);
  const header: Sink = { bytes: new Uint8Array(schema.length + 128), at: 0 };
  put(header, concat(utf8('Obj'), new Uint8Array([1])));
  putLong(header, 2);
  putText(header, utf8('avro.schema'));
  putText(header, schema);
  putText(header, utf8('avro.codec'));
  putText(header, utf8('null'));
  putLong(header, 0);
  put(header, sync);
  const head = { header: header.bytes.slice(0, header.at), sync };
  heads.set(schemaId, head);
  return head;
}

interface Sink {
  readonly bytes: Uint8Array<ArrayBuffer>;
  at: number;
}

function put(sink: Sink, bytes: Uint8Array): void {
  sink.bytes.set(bytes, sink.at);
  sink.at += bytes.length;
}

function putText(sink: Sink, bytes: Uint8Array): void {
  putLong(sink, bytes.length);
  put(sink, bytes);
}

/** A long as a zigzag varint. Arithmetic and not bit operations: offsets and times go beyond 32 bits. */
function putLong(sink: Sink, value: number): void {
  let rest = value < 0 ? -value * 2 - 1 : value * 2;
  while (rest >= 128) {
    sink.bytes[sink.at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  sink.bytes[sink.at++] = rest;
}

function lengthOfLong(value: number): number {
  let rest = value < 0 ? -value * 2 - 1 : value * 2;
  let length = 1;
  while (rest >= 128) {
    rest = Math.floor(rest / 128);
    length += 1;
  }
  return length;
}
