import { hash } from 'node:crypto';
import {
  type ContainerRow,
  hexOf,
  leafHash,
  partitionOf,
  unframe,
  type Walked,
  walkDatum,
} from '@cairn/event';
import { placeInStream, type StreamPosition } from '@cairn/ledger';
import type { AssignedPartition, Chunk, LogRecord } from '@cairn/runtime';

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
  /** By schema id, in order of offset. */
  readonly rows: ReadonlyMap<number, readonly ContainerRow[]>;
  readonly gaps: readonly Gap[];
  readonly parked: readonly Parked[];
  readonly findings: readonly StreamFinding[];
}

/** How far each stream of a partition has come, by `streamKey`. */
export type Streams = Map<string, StreamPosition>;

/** Our own id of the schema that a frame names; undefined when it is none of ours. */
export type SchemaIdOf = (framedId: number) => number | undefined;

/** No schema has this id. */
const NO_SCHEMA = 0;

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
 * @param isCovered true for an offset that the table has already, as a row or as a gap; its stream is moved on all the same.
 */
export function sortRecords(
  { topic, partition, partitions }: Pick<AssignedPartition, 'topic' | 'partition' | 'partitions'>,
  chunk: Chunk,
  streams: Streams,
  isCovered: (offset: number) => boolean,
  releasedIdOf: SchemaIdOf = (id) => id,
): Sorted {
  const rows = new Map<number, ContainerRow[]>();
  const gaps: Gap[] = chunk.holes
    .filter(({ first }) => !isCovered(first))
    .map(({ first, last }) => ({ ...NOTHING_KNOWN, first, last, reason: 'log.control' }));
  const parked: Parked[] = [];
  const findings: StreamFinding[] = [];

  for (const record of chunk.records) {
    const { offset, appendedAtMs: receivedAtMs } = record;
    const checked = checkRecord(record, partition, partitions, releasedIdOf);
    if (!checked.ok) {
      if (!isCovered(offset)) parked.push(park(record, checked));
      continue;
    }
    const { walked, schemaId, datum } = checked;
    const { orgId, gatewayId, epoch, seq } = walked;
    const leaf = leafHash(schemaId, datum);
    const key = streamKey(orgId, gatewayId);
    const placed = placeInStream(streams.get(key), {
      epoch,
      seq,
      hash: hexOf(leaf),
      prevHash: hexOf(datum.subarray(walked.prevHashAt, walked.prevHashAt + 32)),
    });
    streams.set(key, placed.position);
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
    const row = { topic, partition, offset, receivedAtMs, leafHash: leaf, datum };
    const sameSchema = rows.get(schemaId);
    if (sameSchema) sameSchema.push(row);
    else rows.set(schemaId, [row]);
  }
  return { rows, gaps, parked, findings };
}

type Checked =
  | { readonly ok: true; readonly schemaId: number; readonly datum: Uint8Array; readonly walked: Walked }
  | { readonly ok: false; readonly reason: string; readonly field: string; readonly detail: string };

function checkRecord(
  { value }: LogRecord,
  partition: number,
  partitions: number,
  releasedIdOf: SchemaIdOf,
): Checked {
  const unframed = unframe(value);
  if (!unframed.ok) return { ok: false, reason: unframed.reason, field: '', detail: '' };
  const { schemaId: framedId, datum } = unframed;
  const schemaId = releasedIdOf(framedId) ?? NO_SCHEMA;
  const walked = walkDatum(datum, schemaId);
  if (!walked.ok) {
    const detail =
      walked.reason === 'schema.unknown' ? `schema id ${framedId}` : `byte ${walked.at} of the datum`;
    return { ok: false, reason: walked.reason, field: walked.field, detail };
  }
  const { orgId, gatewayId, timestampMicros } = walked;
  const belongs = partitionOf(orgId, gatewayId, partitions);
  if (belongs !== partition) {
    return {
      ok: false,
      reason: 'partition.wrong',
      field: '',
      detail: `its stream belongs to partition ${belongs}`,
    };
  }
  if (timestampMicros < TIMESTAMP_MIN || timestampMicros > TIMESTAMP_MAX) {
    return { ok: false, reason: 'timestamp.range', field: 'timestamp', detail: String(timestampMicros) };
  }
  return { ok: true, schemaId, datum, walked };
}

const NOTHING_KNOWN = {
  field: '',
  detail: '',
  orgId: '',
  gatewayId: '',
  receivedAtMs: 0,
  valueSha256: undefined,
};

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
