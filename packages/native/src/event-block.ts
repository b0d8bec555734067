import { FIELDS_MAX, SCHEMAS } from '@cairn/event';
import { blockOf } from './block.ts';
import type { Dictionary } from './dictionary.ts';
import { HINTS } from './hints.ts';
import { type PlannedField, planOf } from './plan.ts';
import { Stream } from './stream.ts';
import {
  openColumns,
  positionsFor,
  TOGETHER,
  type Transposition,
  transpose,
  transpositionOf,
} from './transpose.ts';

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

/** Rows of one partition. */
export interface EventRows {
  readonly topic: string;
  readonly partition: number;
  readonly rows: readonly EventRow[];
  /** Where the fields of each row's datum begin, counted from its first byte, as the walk notes them: `FIELDS_MAX` a row. */
  readonly places: Uint16Array;
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

/** Bytes of a row in each stream, as the last blocks had them: a buffer that is too small is copied when it grows. */
const sizes: number[] = [];

function learnSizes(streams: readonly (Stream | Dictionary)[], rows: number): void {
  if (rows < LEARN_FROM) return;
  for (const [index, stream] of streams.entries()) {
    if ('at' in stream && typeof stream.at === 'number') sizes[index] = (stream.at / rows) * 1.05;
  }
}

/** Of fewer rows nothing is learned. */
const LEARN_FROM = 1_000;

/** The buffers of streams whose block was sent, by stream: new ones would be tens of megabytes of garbage a second. */
const spares: Uint8Array<ArrayBuffer>[][] = [];
/** Blocks that are on their way at the same time, as a rule. */
const SPARES_MAX = 2;

function putAside(streams: readonly (Stream | Dictionary)[]): void {
  for (const [index, stream] of streams.entries()) {
    const spare = (spares[index] ??= []);
    if (!(stream instanceof Stream) || spare.length === SPARES_MAX) continue;
    // What a stream leaves out must read as zeros.
    stream.bytes.fill(0, 0, stream.at);
    spare.push(stream.bytes);
  }
}

export interface EventBlock {
  /** To be sent one after the other. */
  readonly pieces: readonly Uint8Array<ArrayBuffer>[];
  /** To be called once, when nothing will read the pieces any more: the next block is written over them. */
  release(): void;
}

/** Events of any released schemas as one Native block. */
export function eventBlock({ topic, partition, rows, places }: EventRows): EventBlock {
  const streams = openColumns(EVENT_COLUMNS, rows.length, sizes, (stream) => spares[stream]?.pop());
  const [topics, partitions, offsets, times, hashes, links] = streams as [Dictionary, ...Stream[]];
  const name = new TextEncoder().encode(topic);
  for (const [index, row] of rows.entries()) {
    topics.text(name, 0, name.length);
    partitions!.int32(partition);
    offsets!.int64(row.offset);
    times!.int64(row.receivedAtMs);
    hashes!.latin1(row.leafHash);
    if (row.linked) links!.text(name, 0, 0);
    else {
      const place = places[index * FIELDS_MAX + writerOf(row.schemaId).prevHash]!;
      links!.text(row.bytes, row.start + place, 32);
    }
  }
  const fields = streams.slice(FACTS.length);
  for (let from = 0; from < rows.length; ) {
    const { schemaId, bytes } = rows[from]!;
    const { transposition } = writerOf(schemaId);
    const stride = transposition.fields;
    const positions = positionsFor(stride);
    let row = from;
    for (; row < rows.length && row - from < TOGETHER; row += 1) {
      const { schemaId: itsSchema, bytes: its, start } = rows[row]!;
      if (itsSchema !== schemaId || its !== bytes) break;
      const into = (row - from) * stride;
      const first = row * FIELDS_MAX;
      for (let field = 0; field < stride; field += 1)
        positions[into + field] = start + places[first + field]!;
    }
    transpose(transposition, bytes, positions, row - from, fields);
    from = row;
  }
  learnSizes(streams, rows.length);
  return { pieces: blockOf(EVENT_COLUMNS, streams, rows.length), release: () => putAside(streams) };
}
