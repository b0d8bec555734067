import { hash } from 'node:crypto';
import {
  LEAF_HEAD_BYTES,
  leafHashText,
  partitionOf,
  putLeafHead,
  SCHEMAS,
  unframe,
  type Walked,
  walkDatum,
} from '@cairn/event';
import { Failure } from '@cairn/failure';
import { type Placement, placeInStream, type StreamPosition } from '@cairn/ledger';
import type { EventRow, EventRows } from '@cairn/native';
import type { AssignedPartition, Chunk, LogRecord } from '@cairn/runtime';
import type { Anchor } from './open-partition.ts';

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
  readonly record: LogRecord;
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

export const streamKey = (orgId: string, gatewayId: string): string => `${orgId}\u0000${gatewayId}`;

/** Times beyond these are no times: 2000-01-01 and 2200-01-01, microseconds. */
const TIMESTAMP_MIN = 946_684_800_000_000;
const TIMESTAMP_MAX = 7_258_118_400_000_000;

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
  const leaves = new Leaves(chunk.records);
  const streamAt = streamsIn(streams, partitions);

  for (const record of chunk.records) {
    const { offset, appendedAtMs: receivedAtMs } = record;
    const checked = checkRecord(record, leaves, releasedIdOf);
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
    const leafHash = leafHashText(leaves.bytes.subarray(start - LEAF_HEAD_BYTES, end));
    if (offset === anchor?.offset) {
      if (leafHash !== anchor.leafHash) throw diverged(topic, partition, offset);
      continue;
    }
    const prevHash = leaves.bytes.toString('latin1', walked.prevHashAt, walked.prevHashAt + 32);
    const placed = stream.place({ epoch, seq, hash: leafHash, prevHash });
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
    leaves.keep(end);
    const linked = placed.verdict === 'next';
    rows.push({ offset, receivedAtMs, leafHash, linked, schemaId, start, end });
  }
  return { rows: { topic, partition, bytes: leaves.bytes, rows }, gaps, parked, findings };
}

/**
 * The datums of a chunk in one buffer, each behind the head that its leaf hash covers: so it is walked, hashed and taken
 * apart in one place, and the bytes that were fetched can go.
 */
class Leaves {
  readonly bytes: Buffer;
  private at = 0;

  constructor(records: readonly LogRecord[]) {
    const size = records.reduce((sum, { value }) => sum + (value?.length ?? 0) + LEAF_HEAD_BYTES, 0);
    const at = spare.findIndex(({ length }) => length >= size);
    this.bytes = spare.splice(at, at < 0 ? 0 : 1)[0] ?? Buffer.allocUnsafeSlow(size);
  }

  /** Copies the datum of a frame in, over what was not kept. @returns where the datum begins. */
  put(value: Uint8Array, schemaId: number): number {
    // The last bytes of the frame's head come along and are written over.
    this.bytes.set(value, this.at + LEAF_HEAD_BYTES - FRAME_HEAD_BYTES);
    putLeafHead(schemaId, this.bytes, this.at);
    return this.at + LEAF_HEAD_BYTES;
  }

  keep(end: number): void {
    this.at = end;
  }
}

const FRAME_HEAD_BYTES = 5;

/** Buffers of chunks that are loaded, for the next ones: new ones would pile up until the collector comes. */
const spare: Buffer[] = [];
const SPARE_MAX = 2;

/** Gives the buffer of rows back. Nothing may look at the rows any more. */
export function releaseRows({ bytes }: Sorted['rows']): void {
  spare.push(bytes as Buffer);
  spare.sort((left, right) => right.length - left.length);
  spare.length = Math.min(spare.length, SPARE_MAX);
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

function checkRecord({ value }: LogRecord, leaves: Leaves, releasedIdOf: SchemaIdOf): Checked {
  const unframed = unframe(value);
  if (!unframed.ok || !value) {
    return { ok: false, reason: unframed.ok ? 'value.empty' : unframed.reason, field: '', detail: '' };
  }
  const { schemaId: framedId } = unframed;
  const schemaId = releasedIdOf(framedId);
  if (schemaId === undefined || !RELEASED.has(schemaId)) {
    return { ok: false, reason: 'schema.unknown', field: '', detail: `schema id ${framedId}` };
  }
  const start = leaves.put(value, schemaId);
  const end = start + value.length - FRAME_HEAD_BYTES;
  const walked = walkDatum(leaves.bytes, schemaId, start, end);
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
  const { offset, appendedAtMs: receivedAtMs, value } = record;
  const valueSha256 = hash('sha256', value ?? new Uint8Array(), 'hex');
  return {
    record,
    gap: { ...NOTHING_KNOWN, ...why, first: offset, last: offset, receivedAtMs, valueSha256 },
  };
}
