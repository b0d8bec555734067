import { hash } from 'node:crypto';
import {
  FIELDS_MAX,
  FRAME_HEAD_BYTES,
  framedIdAt,
  leafHashText,
  partitionOf,
  SCHEMAS,
  unframe,
  type Walked,
  walkDatum,
} from '@cairn/event';
import { Failure } from '@cairn/failure';
import {
  type Placement,
  placeInStream,
  type StreamPosition,
  streamKey,
  TIMESTAMP_MAX,
  TIMESTAMP_MIN,
} from '@cairn/ledger';
import type { EventRow, EventRows } from '@cairn/native';
import { type AssignedPartition, type Chunk, type LogRecord, recordValue } from '@cairn/runtime';
import type { Anchor } from './event-table.ts';

/** Offsets that will have no row, and why. */
export interface Gap {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  /** `duplicate`, `log.control`, or why the record is parked. */
  readonly reason: string;
  readonly field: string;
  readonly detail: string;
  readonly orgId: string;
  readonly gatewayId: string;
  readonly receivedAtMs: number;
  /** SHA-256 of the record's value, hex; for parked ones. */
  readonly valueSha256: string | undefined;
}

/** A record that cannot become a row; it keeps its bytes and says why. */
export interface Parked {
  /** A copy, so that the bytes it came with can go. */
  readonly value: Uint8Array | null;
  readonly gap: Gap;
}

export interface StreamFinding {
  readonly finding: 'gap' | 'fork' | 'stale-epoch';
  readonly offset: number;
  readonly orgId: string;
  readonly gatewayId: string;
  readonly epoch: number;
  readonly seq: number;
  readonly missing: { readonly from: number; readonly to: number } | undefined;
  readonly receivedAtMs: number;
}

/** Every record of a chunk in its named outcome. */
export interface Sorted {
  /** In order of offset. */
  readonly rows: EventRows;
  readonly gaps: readonly Gap[];
  readonly parked: readonly Parked[];
  readonly findings: readonly StreamFinding[];
}

/** How far each stream of a partition has come, by `streamKey`. */
export type Streams = Map<string, StreamPosition>;

/** Our own id of the schema that a frame names; undefined when it is none of ours. */
export type SchemaIdOf = (framedId: number) => number | undefined;

/**
 * Decides what becomes of each record: a row, a duplicate that is dropped and declared, or parked with its reason. No
 * datum is decoded; each is walked, hashed and placed in its stream.
 *
 * @param streams is moved on.
 * @param releasedIdOf for topics whose frames carry the ids of a registry outside.
 * @param anchor a record that must be as the table has it.
 * @param isCovered true for an offset that the table has already, as a row or as a gap; its stream is moved on all the same.
 */
export function sortRecords(
  { topic, partition, partitions }: Pick<AssignedPartition, 'topic' | 'partition' | 'partitions'>,
  chunk: Chunk,
  streams: Streams,
  isCovered: (offset: number) => boolean,
  releasedIdOf: SchemaIdOf = (id) => id,
  anchor?: Anchor,
): Sorted {
  const rows: EventRow[] = [];
  const gaps: Gap[] = chunk.holes
    .filter(({ first }) => !isCovered(first) && first !== anchor?.offset)
    .map(({ first, last }) => ({ ...NOTHING_KNOWN, first, last, reason: 'log.control' }));
  const parked: Parked[] = [];
  const findings: StreamFinding[] = [];
  const places = placesFor(chunk.records.length);
  const streamAt = streamsIn(streams, partitions);

  for (const record of chunk.records) {
    const { offset, appendedAtMs: receivedAtMs, bytes } = record;
    const checked = checkRecord(record, releasedIdOf, places, rows.length * FIELDS_MAX);
    if (!checked.ok) {
      if (offset === anchor?.offset) throw diverged(topic, partition, offset);
      if (!isCovered(offset)) parked.push(park(record, checked));
      continue;
    }
    const { walked, schemaId, start, end } = checked;
    const { orgId, gatewayId, epoch, seq } = walked;
    const stream = streamAt(orgId, gatewayId);
    if (stream.partition !== partition) {
      if (offset === anchor?.offset) throw diverged(topic, partition, offset);
      const detail = `its stream belongs to partition ${stream.partition}`;
      if (!isCovered(offset)) parked.push(park(record, { reason: 'partition.wrong', field: '', detail }));
      continue;
    }
    const leafHash = leafHashText(schemaId, bytes, start, end);
    if (offset === anchor?.offset) {
      if (leafHash !== anchor.leafHash) throw diverged(topic, partition, offset);
      continue;
    }
    const placed = stream.place({ epoch, seq, hash: leafHash, prevHash: text32(bytes, walked.prevHashAt) });
    if (isCovered(offset)) continue;
    const facts = { orgId, gatewayId, receivedAtMs };
    if (placed.verdict === 'duplicate') {
      const detail = `epoch ${epoch} seq ${seq}`;
      gaps.push({ ...NOTHING_KNOWN, ...facts, first: offset, last: offset, reason: 'duplicate', detail });
      continue;
    }
    if (
      placed.verdict === 'gap' ||
      placed.verdict === 'fork' ||
      placed.verdict === 'stale-epoch' ||
      placed.missing
    ) {
      const finding = placed.verdict === 'fork' || placed.verdict === 'stale-epoch' ? placed.verdict : 'gap';
      findings.push({ ...facts, finding, offset, epoch, seq, missing: placed.missing });
    }
    const linked = placed.verdict === 'next';
    rows.push({ offset, receivedAtMs, leafHash, linked, schemaId, bytes, start, end });
  }
  return { rows: { topic, partition, rows, places }, gaps, parked, findings };
}

/** Where the fields of a chunk's datums begin; the next chunk's are written over them. */
let places = new Uint16Array();

function placesFor(records: number): Uint16Array {
  if (places.length < records * FIELDS_MAX) places = new Uint16Array(records * FIELDS_MAX);
  return places;
}

/** 32 bytes as a leaf hash is told: one character each. */
function text32(bytes: Uint8Array, from: number): string {
  return Buffer.prototype.toString.call(bytes, 'latin1', from, from + 32);
}

const RELEASED = new Set(SCHEMAS.map(({ id }) => id));

interface StreamHere {
  /** Where its events belong. */
  readonly partition: number;
  place(item: Parameters<typeof placeInStream>[1]): Placement;
}

/** Finds streams. Events of one gateway come together, so the last one is kept at hand. */
function streamsIn(streams: Streams, partitions: number): (orgId: string, gatewayId: string) => StreamHere {
  const found = new Map<string, StreamHere>();
  let lastOrg = '';
  let lastGateway = '';
  let last: StreamHere | undefined;
  return (orgId, gatewayId) => {
    if (last && orgId === lastOrg && gatewayId === lastGateway) return last;
    const key = streamKey(orgId, gatewayId);
    let here = found.get(key);
    if (!here) {
      here = {
        partition: partitionOf(orgId, gatewayId, partitions),
        place(item) {
          const placed = placeInStream(streams.get(key), item);
          streams.set(key, placed.position);
          return placed;
        },
      };
      found.set(key, here);
    }
    lastOrg = orgId;
    lastGateway = gatewayId;
    last = here;
    return here;
  };
}

type Checked =
  | {
      readonly ok: true;
      readonly schemaId: number;
      readonly walked: Walked;
      readonly start: number;
      readonly end: number;
    }
  | { readonly ok: false; readonly reason: string; readonly field: string; readonly detail: string };

/** @param places takes where the datum's fields begin, from `into` on. */
function checkRecord(
  record: LogRecord,
  releasedIdOf: SchemaIdOf,
  places: Uint16Array,
  into: number,
): Checked {
  const { bytes, start: frameAt, end } = record;
  const framedId = framedIdAt(bytes, frameAt, end);
  if (framedId < 0) {
    const unframed = unframe(recordValue(record));
    return { ok: false, reason: unframed.ok ? '' : unframed.reason, field: '', detail: '' };
  }
  const schemaId = releasedIdOf(framedId);
  if (schemaId === undefined || !RELEASED.has(schemaId)) {
    return { ok: false, reason: 'schema.unknown', field: '', detail: `schema id ${framedId}` };
  }
  const start = frameAt + FRAME_HEAD_BYTES;
  const walked = walkDatum(bytes, schemaId, start, end, places, into);
  if (!walked.ok) {
    const detail = `byte ${walked.at - start} of the datum`;
    return { ok: false, reason: walked.reason, field: walked.field, detail };
  }
  const { timestampMicros } = walked;
  if (timestampMicros < TIMESTAMP_MIN || timestampMicros > TIMESTAMP_MAX) {
    return { ok: false, reason: 'timestamp.range', field: 'timestamp', detail: String(timestampMicros) };
  }
  return { ok: true, schemaId, walked, start, end };
}

const NOTHING_KNOWN = {
  field: '',
  detail: '',
  orgId: '',
  gatewayId: '',
  receivedAtMs: 0,
  valueSha256: undefined,
};

function diverged(topic: string, partition: number, offset: number): Failure {
  return new Failure({
    code: 'ledger.diverged',
    retry: 'later',
    message: `the record at offset ${offset} of partition ${partition} of ${topic} is not the one that the table has`,
    mend: 'The topic was created again or its tail was lost and written anew: give the new one another name.',
  });
}

/** A record with the reason for which it has no row. */
export function park(
  record: LogRecord,
  why: { readonly reason: string; readonly field: string; readonly detail: string },
): Parked {
  const { offset, appendedAtMs: receivedAtMs } = record;
  const held = recordValue(record);
  // A Buffer's own slice would be a view.
  const value = held && new Uint8Array(held);
  const valueSha256 = hash('sha256', value ?? new Uint8Array(), 'hex');
  return {
    value,
    gap: { ...NOTHING_KNOWN, ...why, first: offset, last: offset, receivedAtMs, valueSha256 },
  };
}
