import { FIELDS_MAX, SCHEMAS } from '@cairn/event';
import { blockOf } from './block.ts';
import type { Dictionary } from './dictionary.ts';
import { HINTS } from './hints.ts';
import { Pages } from './pages.ts';
import { type PlannedField, planOf } from './plan.ts';
import type { Stream } from './stream.ts';
import { openColumns, type Transposition, transpose, transpositionOf } from './transpose.ts';

/** An event and the facts of the log about it. */
export interface EventRow {
  readonly offset: number;
  /** Broker's append time, milliseconds since 1970. */
  readonly receivedAtMs: number;
  /** 32 bytes, one character each (latin1): a string costs a third of a buffer. */
  readonly leafHash: string;
  /** True when prev_hash is the leaf hash of the event before in the stream, as it should be. */
  readonly linked: boolean;
  /** Our own id of the schema that the datum was written with. */
  readonly schemaId: number;
  /** Holds the datum in [start, end), and others beside it; it was walked. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

const FACTS: readonly PlannedField[] = [
  { name: 'topic', plan: { kind: 'dictionary' } },
  { name: 'partition', plan: { kind: 'int32' } },
  { name: 'offset', plan: { kind: 'int64', type: 'Int64' } },
  { name: 'received_at', plan: { kind: 'int64', type: "DateTime64(3, 'UTC')" } },
  { name: 'leaf_hash', plan: { kind: 'fixed', size: 32 } },
  // Empty where it is the leaf hash of the event before, as it should be.
  { name: 'prev_hash', plan: { kind: 'string' } },
];

/** Fields of the latest schema that become columns as they are. */
const FIELDS = (SCHEMAS.at(-1)?.schema.fields ?? []).filter(({ name }) => name !== 'prev_hash');

/** What the body of an insert of events holds: the facts of the log and then the fields of the latest schema. */
export const EVENT_COLUMNS: readonly PlannedField[] = [...FACTS, ...planOf(FIELDS, HINTS)];

/** How events of one schema are taken apart. */
interface Writer {
  readonly transposition: Transposition;
  /** Place of prev_hash among the fields. */
  readonly prevHash: number;
}

const writers = new Map<number, Writer>();

function writerOf(schemaId: number): Writer {
  const known = writers.get(schemaId);
  if (known) return known;
  const fields = SCHEMAS.find(({ id }) => id === schemaId)?.schema.fields;
  if (!fields) throw new Error(`schema ${schemaId} is not released`);
  const made = {
    transposition: transpositionOf(fields, FIELDS, HINTS),
    prevHash: fields.findIndex(({ name }) => name === 'prev_hash'),
  };
  writers.set(schemaId, made);
  return made;
}

/** Rows that are taken apart together: their bytes stay in the processor's cache while column after column is filled. */
const TOGETHER = 256;

/** Of all columns of all partitions. */
const pages = new Pages();

/**
 * Rows of one partition, of any released schemas, taken apart into columns while they come: their datums are needed no
 * longer than until `settle`, and an event takes three quarters of its datum's bytes and no object.
 */
export class EventColumns {
  /** Where the walk of the next row's datum is to note its fields, from `placesAt` on. */
  readonly places = new Uint16Array(TOGETHER * FIELDS_MAX);
  /** Rows so far. */
  count = 0;
  /** Bytes of memory that it holds, about, rows that were added since `settle` aside. */
  bytesHeld = 0;
  private readonly streams = openColumns(EVENT_COLUMNS, pages);
  private readonly fields = this.streams.slice(FACTS.length);
  private readonly topic: Uint8Array;
  private readonly partition: number;
  /** Rows that were added and not taken apart yet: all in the same bytes, of one schema. */
  private waiting = 0;
  private bytes: Uint8Array = NO_BYTES;
  private schemaId = 0;
  private readonly starts = new Int32Array(TOGETHER);

  constructor(topic: string, partition: number) {
    this.topic = new TextEncoder().encode(topic);
    this.partition = partition;
  }

  get placesAt(): number {
    return this.waiting * FIELDS_MAX;
  }

  /** The leaf hashes of all rows, one behind the other: views. */
  get leafHashes(): readonly Uint8Array[] {
    return (this.streams[LEAF_HASH] as Stream).written;
  }

  /** Adds a row, in order of offset. Its datum was walked, and the places of its fields noted in `places`. */
  add({ offset, receivedAtMs, leafHash, linked, schemaId, bytes, start }: EventRow): void {
    if (this.waiting > 0 && (bytes !== this.bytes || schemaId !== this.schemaId)) {
      const { placesAt } = this;
      this.settle();
      this.places.copyWithin(0, placesAt, placesAt + FIELDS_MAX);
    }
    const [topics, partitions, offsets, times, hashes, links] = this.streams as [Dictionary, ...Stream[]];
    topics.text(this.topic, 0, this.topic.length);
    partitions!.int32(this.partition);
    offsets!.int64(offset);
    times!.int64(receivedAtMs);
    hashes!.latin1(leafHash);
    if (linked) links!.text(NO_BYTES, 0, 0);
    else links!.text(bytes, start + this.places[this.placesAt + writerOf(schemaId).prevHash]!, 32);
    this.count += 1;
    this.bytes = bytes;
    this.schemaId = schemaId;
    this.starts[this.waiting++] = start;
    if (this.waiting === TOGETHER) this.settle();
  }

  /** The datums of all rows so far are needed no more. */
  settle(): void {
    if (this.waiting === 0) return;
    const { bytes, starts, places, waiting } = this;
    const datums = { bytes, starts, places, stride: FIELDS_MAX, rows: waiting };
    transpose(writerOf(this.schemaId).transposition, datums, this.fields);
    this.waiting = 0;
    this.bytes = NO_BYTES;
    this.bytesHeld = this.streams.reduce((held, stream) => held + stream.bytesHeld, 0);
  }

  /** All rows as one Native block, to be sent piece by piece: views. None is added afterwards. */
  block(): Uint8Array<ArrayBuffer>[] {
    this.settle();
    return blockOf(EVENT_COLUMNS, this.streams, this.count);
  }

  /** Nobody reads the block or the leaf hashes any more, and none is added: the memory is used again. */
  release(): void {
    for (const stream of this.streams) stream.release();
    this.bytesHeld = 0;
  }
}

const LEAF_HASH = FACTS.findIndex(({ name }) => name === 'leaf_hash');
const NO_BYTES = new Uint8Array();
