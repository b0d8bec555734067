import { hash } from 'node:crypto';
import { Failure } from '@cairn/failure';
import type { Acceptance } from '@cairn/ledger';
import { type Chunk, type Gathering, type LogRecord, recordValue } from '@cairn/runtime';
import type { OpenRows } from './encoder.ts';
import type { Anchor, Gap, Place, StreamFinding } from './event-table.ts';

/** A record that cannot become a row; it keeps its bytes and says why. */
export interface Parked {
  /** A copy, so that the bytes it came with can go. */
  readonly value: Uint8Array | null;
  readonly gap: Gap;
}

/** Our own id of the schema that a frame names; undefined when it is none of ours. */
export type SchemaIdOf = (framedId: number) => number | undefined;

/** What decides over the records of a partition from its opening on. */
export interface Sorting extends Place {
  /** Moved on by every record, whatever becomes of it. */
  readonly acceptance: Acceptance;
  /** True for an offset that the table has already, as a row or as a gap. */
  readonly isCovered: (offset: number) => boolean;
  /** A record that must be as the table has it. */
  readonly anchor: Anchor | undefined;
}

/** Every record of a chunk in its named outcome, while the records come. */
export interface Sorted extends Gathering {
  /** In order of offset. */
  readonly rows: OpenRows;
  readonly gaps: readonly Gap[];
  readonly parked: readonly Parked[];
  readonly findings: readonly StreamFinding[];
  /** The only row's record, as it is parked should the table refuse it. Of several nobody knows which one it refuses. */
  readonly single: Parked | undefined;
}

/**
 * Begins a chunk of a partition. Each record is brought to its outcome as it comes: a row, a duplicate that is dropped and
 * declared, or parked with its reason. No datum is decoded; each is walked, hashed, placed in its stream and taken apart
 * where it lies, and nothing keeps its bytes.
 *
 * What it adds throws Failure `ledger.diverged` when the record of the anchor is another one.
 */
export function openSorted(sorting: Sorting, rows: OpenRows): Sorted {
  const gaps: Gap[] = [];
  const parked: Parked[] = [];
  const findings: StreamFinding[] = [];
  let single: Parked | undefined;
  let bytesBeside = 0;
  return {
    rows,
    gaps,
    parked,
    findings,
    get single() {
      return single;
    },
    get bytesHeld() {
      return rows.bytesHeld + bytesBeside;
    },
    add(records) {
      const { topic, partition, acceptance, anchor, isCovered } = sorting;
      for (const record of records) {
        const { offset } = record;
        const accepted = acceptance.accept(record, rows.places, rows.placesAt);
        if (offset === anchor?.offset) {
          if (accepted.outcome === 'no-event' || accepted.leaf.hash !== anchor.leafHash)
            throw diverged(topic, partition, offset);
          continue;
        }
        if (isCovered(offset)) continue;
        if (accepted.outcome === 'no-event') {
          parked.push(park(record, accepted));
          bytesBeside += record.end - record.start + GAP_BYTES;
          continue;
        }
        const { receivedAtMs, schemaId, bytes, start, end, walked, hash: leafHash } = accepted.leaf;
        const { orgId, gatewayId, epoch, seq } = walked;
        if (accepted.outcome === 'duplicate') {
          const detail = `epoch ${epoch} seq ${seq}`;
          const facts = { orgId, gatewayId, receivedAtMs, reason: 'duplicate', detail };
          gaps.push({ ...NOTHING_KNOWN, ...facts, first: offset, last: offset });
          bytesBeside += GAP_BYTES;
          continue;
        }
        const { verdict, missing } = accepted;
        const finding = verdict === 'next' || verdict === 'new-epoch' ? missing && 'gap' : verdict;
        if (finding) {
          findings.push({ orgId, gatewayId, receivedAtMs, finding, offset, epoch, seq, missing });
          bytesBeside += GAP_BYTES;
        }
        const linked = verdict === 'next';
        rows.add({ offset, receivedAtMs, leafHash, linked, schemaId, bytes, start, end });
        single = rows.count === 1 ? park(record, REFUSED) : undefined;
      }
      rows.settle();
    },
    release: () => rows.release(),
  };
}

/** What a gap or a finding holds of memory, about. */
const GAP_BYTES = 256;
const REFUSED = { reason: 'table.refused', field: '', detail: '' };

/** The gaps of offsets for which the log holds no record, as far as the table does not account for them. */
export function gapsOfHoles(
  { holes }: Pick<Chunk, 'holes'>,
  { isCovered, anchor }: Pick<Sorting, 'isCovered' | 'anchor'>,
): Gap[] {
  return holes
    .filter(({ first }) => !isCovered(first) && first !== anchor?.offset)
    .map(({ first, last }) => ({ ...NOTHING_KNOWN, first, last, reason: 'log.control' }));
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
function park(
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
