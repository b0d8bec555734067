import {
  type FrameReason,
  LEAF_HEAD_BYTES,
  leafHashText,
  partitionOf,
  putLeafHead,
  SCHEMAS,
  unframe,
  walkDatum,
} from '@cairn/event';
import { hashAt, isHashAt } from './hash-text.ts';
import type { Leaf } from './leaf.ts';
import { type Placement, placeInStream, type StreamPosition, type Verdict } from './place-in-stream.ts';

/** One record of a partition. */
export interface PartitionRecord {
  readonly offset: number;
  readonly value: Uint8Array | null;
  /** Broker's append time, milliseconds since 1970. */
  readonly appendedAtMs: number;
}

/** What becomes of a record in its partition's log. */
export type Accepted =
  | {
      readonly outcome: 'leaf';
      readonly leaf: Leaf;
      /** Anything but `next` and `new-epoch` is a finding. */
      readonly verdict: Exclude<Verdict, 'duplicate'>;
      /** Numbers that are missing before it, both ends included. */
      readonly missing: Placement['missing'];
    }
  | { readonly outcome: 'duplicate'; readonly leaf: Leaf }
  | {
      readonly outcome: 'no-event';
      /** Why, as ingest parks it. */
      readonly reason: string;
      readonly field: string;
      readonly detail: string;
    };

export interface AcceptancePartition {
  readonly partition: number;
  /** Partitions of the topic. */
  readonly partitions: number;
  /** Our own id of the schema that a frame names; for topics whose frames carry the ids of a registry outside. */
  readonly releasedIdOf?: (framedId: number) => number | undefined;
}

/** Times beyond these are no times: 2000-01-01 and 2200-01-01, microseconds. */
const TIMESTAMP_MIN = 946_684_800_000_000;
const TIMESTAMP_MAX = 7_258_118_400_000_000;

const FRAME_HEAD_BYTES = 5;
const RELEASED = new Set(SCHEMAS.map(({ id }) => id));

/** How far each stream has come, by `streamKey`. */
export type StreamPositions = Map<string, StreamPosition>;

/** Names the streams of one organisation on one gateway. */
export const streamKey = (orgId: string, gatewayId: string): string => `${orgId}\u0000${gatewayId}`;

/**
 * Decides which records of a partition are leaves of its log: a function of the records alone, in order of offset
 * (schemas/ledger.md, "Leaves"), the same by which ingest decides which become rows.
 */
export class Acceptance {
  readonly #partition: AcceptancePartition;
  readonly #positions: StreamPositions;
  #scratch = new Uint8Array(4_096);
  // Events of one gateway come together, so the last stream is kept at hand.
  #orgId = '';
  #gatewayId = '';
  #key = '';
  #isHere = false;

  /** @param positions where each stream stands before the first record; moved on. */
  constructor(partition: AcceptancePartition, positions: StreamPositions = new Map()) {
    this.#partition = partition;
    this.#positions = positions;
  }

  /** The leaf of the answer is good until the next call. */
  accept({ offset, value, appendedAtMs: receivedAtMs }: PartitionRecord): Accepted {
    const framedId = schemaIdOf(value);
    if (typeof framedId === 'string' || value === null) return noEvent(String(framedId), '', '');
    const { partition, releasedIdOf } = this.#partition;
    const schemaId = releasedIdOf === undefined ? framedId : releasedIdOf(framedId);
    if (schemaId === undefined || !RELEASED.has(schemaId)) {
      return noEvent('schema.unknown', '', `schema id ${framedId}`);
    }
    const start = LEAF_HEAD_BYTES;
    const end = start + value.length - FRAME_HEAD_BYTES;
    if (this.#scratch.length < end) this.#scratch = new Uint8Array(end * 2);
    const bytes = this.#scratch;
    // The last bytes of the frame's head come along and are written over.
    bytes.set(value, start - FRAME_HEAD_BYTES);
    putLeafHead(schemaId, bytes, 0);
    const walked = walkDatum(bytes, schemaId, start, end);
    if (!walked.ok) return noEvent(walked.reason, walked.field, `byte ${walked.at - start} of the datum`);
    const { timestampMicros, orgId, gatewayId, epoch, seq } = walked;
    if (timestampMicros < TIMESTAMP_MIN || timestampMicros > TIMESTAMP_MAX) {
      return noEvent('timestamp.range', 'timestamp', String(timestampMicros));
    }
    if (orgId !== this.#orgId || gatewayId !== this.#gatewayId || this.#key === '')
      this.#turnTo(orgId, gatewayId);
    if (!this.#isHere) {
      const belongs = partitionOf(orgId, gatewayId, this.#partition.partitions);
      return noEvent('partition.wrong', '', `its stream belongs to partition ${belongs}, not ${partition}`);
    }
    const hash = leafHashText(bytes.subarray(0, end));
    const position = this.#positions.get(this.#key);
    const head = position?.head;
    const prevHash =
      head !== undefined && isHashAt(head, bytes, walked.prevHashAt)
        ? head
        : hashAt(bytes, walked.prevHashAt);
    const placed = placeInStream(position, { epoch, seq, hash, prevHash });
    this.#positions.set(this.#key, placed.position);
    const leaf = { offset, receivedAtMs, schemaId, bytes, start, end, walked, hash };
    if (placed.verdict === 'duplicate') return { outcome: 'duplicate', leaf };
    return { outcome: 'leaf', leaf, verdict: placed.verdict, missing: placed.missing };
  }

  #turnTo(orgId: string, gatewayId: string): void {
    this.#orgId = orgId;
    this.#gatewayId = gatewayId;
    this.#key = streamKey(orgId, gatewayId);
    this.#isHere = partitionOf(orgId, gatewayId, this.#partition.partitions) === this.#partition.partition;
  }
}

/** The schema's id in a frame's head, or why the value is no frame. */
function schemaIdOf(value: Uint8Array | null): number | FrameReason {
  // The first test is true of every frame and spares the view on the datum.
  if (value !== null && value.length > FRAME_HEAD_BYTES && value[0] === 0) {
    return ((value[1]! << 24) | (value[2]! << 16) | (value[3]! << 8) | value[4]!) >>> 0;
  }
  const unframed = unframe(value);
  return unframed.ok ? unframed.schemaId : unframed.reason;
}

const noEvent = (reason: string, field: string, detail: string): Accepted => ({
  outcome: 'no-event',
  reason,
  field,
  detail,
});
