import {
  FRAME_HEAD_BYTES,
  framedIdAt,
  leafHashText,
  partitionOf,
  SCHEMAS,
  unframe,
  walkDatum,
} from '@cairn/event';
import { ByStream } from './by-stream.ts';
import { hashAt, isHashAt } from './hash-text.ts';
import type { Leaf } from './leaf.ts';
import { type Placement, placeInStream, type StreamPosition, type Verdict } from './place-in-stream.ts';

/** One record of a partition, its value told by its place. */
export interface PartitionRecord {
  readonly offset: number;
  /** Broker's append time, milliseconds since 1970. */
  readonly appendedAtMs: number;
  /** Holds the value in [start, end). */
  readonly bytes: Uint8Array;
  /** -1 when there is no value. */
  readonly start: number;
  readonly end: number;
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
  /** What is known of the names that were met. */
  readonly #met = new ByStream<Met>();

  /** @param positions where each stream stands before the first record; moved on. */
  constructor(partition: AcceptancePartition, positions: StreamPositions = new Map()) {
    this.#partition = partition;
    this.#positions = positions;
  }

  /**
   * The leaf of the answer is a view on the record, and as good as its bytes.
   *
   * @param places takes where the datum's fields begin, from `into` on: see `walkDatum`.
   */
  accept(
    { offset, appendedAtMs: receivedAtMs, bytes, start: frameAt, end }: PartitionRecord,
    places?: Uint16Array,
    into = 0,
  ): Accepted {
    const framedId = framedIdAt(bytes, frameAt, end);
    if (framedId < 0) {
      const unframed = unframe(frameAt < 0 ? null : bytes.subarray(frameAt, end));
      return noEvent(unframed.ok ? 'value.empty' : unframed.reason, '', '');
    }
    const { partition, releasedIdOf } = this.#partition;
    const schemaId = releasedIdOf === undefined ? framedId : releasedIdOf(framedId);
    if (schemaId === undefined || !RELEASED.has(schemaId)) {
      return noEvent('schema.unknown', '', `schema id ${framedId}`);
    }
    const start = frameAt + FRAME_HEAD_BYTES;
    const walked = walkDatum(bytes, schemaId, start, end, places, into);
    if (!walked.ok) return noEvent(walked.reason, walked.field, `byte ${walked.at - start} of the datum`);
    const { timestampMicros, orgId, gatewayId, epoch, seq } = walked;
    if (timestampMicros < TIMESTAMP_MIN || timestampMicros > TIMESTAMP_MAX) {
      return noEvent('timestamp.range', 'timestamp', String(timestampMicros));
    }
    const { key, isHere } = this.#met.get(orgId, gatewayId) ?? this.#meet(orgId, gatewayId);
    if (!isHere) {
      const belongs = partitionOf(orgId, gatewayId, this.#partition.partitions);
      return noEvent('partition.wrong', '', `its stream belongs to partition ${belongs}, not ${partition}`);
    }
    const hash = leafHashText(schemaId, bytes, start, end);
    const position = this.#positions.get(key);
    const head = position?.head;
    const prevHash =
      head !== undefined && isHashAt(head, bytes, walked.prevHashAt)
        ? head
        : hashAt(bytes, walked.prevHashAt);
    const placed = placeInStream(position, { epoch, seq, hash, prevHash });
    if (placed.position !== position) this.#positions.set(key, placed.position);
    const leaf = { offset, receivedAtMs, schemaId, bytes, start, end, walked, hash, prevHash };
    if (placed.verdict === 'duplicate') return { outcome: 'duplicate', leaf };
    return { outcome: 'leaf', leaf, verdict: placed.verdict, missing: placed.missing };
  }

  #meet(orgId: string, gatewayId: string): Met {
    const { partition, partitions } = this.#partition;
    const key = streamKey(orgId, gatewayId);
    // A stream that has a position has had a leaf here.
    const isHere = this.#positions.has(key) || partitionOf(orgId, gatewayId, partitions) === partition;
    const met = { key, isHere };
    // Records of other partitions may name what they like.
    if (this.#met.size >= MET_MAX) this.#met.clear();
    this.#met.set(orgId, gatewayId, met);
    return met;
  }
}

/** An organisation and a gateway: the name of their streams, and whether these belong to this partition. */
interface Met {
  readonly key: string;
  readonly isHere: boolean;
}

const MET_MAX = 65_536;

const noEvent = (reason: string, field: string, detail: string): Accepted => ({
  outcome: 'no-event',
  reason,
  field,
  detail,
});
