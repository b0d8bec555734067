import { hash } from 'node:crypto';
import { FIELDS_MAX } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { Acceptance, type StreamPositions } from '@cairn/ledger';
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
  streams: StreamPositions,
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
  const acceptance = new Acceptance({ partition, partitions, releasedIdOf }, streams);

  for (const record of chunk.records) {
    const { offset } = record;
    const accepted = acceptance.accept(record, places, rows.length * FIELDS_MAX);
    if (offset === anchor?.offset) {
      if (accepted.outcome === 'no-event' || accepted.leaf.hash !== anchor.leafHash)
        throw diverged(topic, partition, offset);
      continue;
    }
    if (isCovered(offset)) continue;
    if (accepted.outcome === 'no-event') {
      parked.push(park(record, accepted));
      continue;
    }
    const { receivedAtMs, schemaId, bytes, start, end, walked, hash: leafHash } = accepted.leaf;
    const { orgId, gatewayId, epoch, seq } = walked;
    if (accepted.outcome === 'duplicate') {
      const detail = `epoch ${epoch} seq ${seq}`;
      const facts = { orgId, gatewayId, receivedAtMs, reason: 'duplicate', detail };
      gaps.push({ ...NOTHING_KNOWN, ...facts, first: offset, last: offset });
      continue;
    }
    const { verdict, missing } = accepted;
    const finding = verdict === 'next' || verdict === 'new-epoch' ? missing && 'gap' : verdict;
    if (finding) findings.push({ orgId, gatewayId, receivedAtMs, finding, offset, epoch, seq, missing });
    rows.push({ offset, receivedAtMs, leafHash, linked: verdict === 'next', schemaId, bytes, start, end });
  }
  return { rows: { topic, partition, rows, places }, gaps, parked, findings };
}

/** Where the fields of a chunk's datums begin; the next chunk's are written over them. */
let places = new Uint16Array();

function placesFor(records: number): Uint16Array {
  if (places.length < records * FIELDS_MAX) places = new Uint16Array(records * FIELDS_MAX);
  return places;
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
  { reason, field, detail }: { readonly reason: string; readonly field: string; readonly detail: string },
): Parked {
  const { offset, appendedAtMs: receivedAtMs } = record;
  const held = recordValue(record);
  // A Buffer's own slice would be a view.
  const value = held && new Uint8Array(held);
  const valueSha256 = hash('sha256', value ?? new Uint8Array(), 'hex');
  return {
    value,
    gap: { ...NOTHING_KNOWN, reason, field, detail, first: offset, last: offset, receivedAtMs, valueSha256 },
  };
}
