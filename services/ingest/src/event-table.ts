import type { StreamPositions } from '@cairn/ledger';
import type { StoredColumn } from '@cairn/native';

export interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** Who loads a partition: written into each insert, so that inserts can be found and fenced. */
export interface Owner extends Place {
  /** Unique to this process and this opening of the partition. */
  readonly name: string;
}

/** Consecutive offsets. */
export interface Range {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

/** Rows as ClickHouse reads them. */
export interface Body {
  /** ClickHouse's name of the format of the pieces. */
  readonly format: string;
  /** Columns of the body, as `input()` wants them: `topic String, partition Int32, …`. */
  readonly structure: string;
  /** Columns of the table that are filled. */
  readonly columns: readonly StoredColumn[];
  /** To be sent one after the other. */
  readonly pieces: readonly Uint8Array[];
  /** Offsets of the first row and the last. */
  readonly first: number;
  readonly last: number;
  /** Day on which the broker appended all of them, as YYYY-MM-DD. */
  readonly appendDay: string;
  /** Rows. */
  readonly count: number;
}

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

/** How an insert refuses offsets that the table has: above the highest one, or one by one when there are holes below. */
export type Refusal = 'above-highest' | 'one-by-one';

/** Rows of one partition on their way into the table. */
export interface Insertion {
  readonly owner: Owner;
  readonly refusal: Refusal;
  readonly body: Body;
}

/**
 * Whether two insertions can go by one insert: partitions of one topic, rows of one day in the same columns. An Avro
 * container has an end; blocks of columns follow each other.
 */
export const goTogether = (left: Insertion, right: Insertion): boolean =>
  left.owner.topic === right.owner.topic &&
  left.owner.partition !== right.owner.partition &&
  left.refusal === 'above-highest' &&
  right.refusal === 'above-highest' &&
  left.body.appendDay === right.body.appendDay &&
  left.body.format === right.body.format &&
  left.body.format !== 'Avro' &&
  left.body.structure === right.body.structure;

/** A record as the table has it. */
export interface Anchor {
  readonly offset: number;
  /** One character for each byte. */
  readonly leafHash: string;
}

/** What the table accounts for, of one partition. */
export interface Held {
  /** Highest offset that is a row or lies in a gap; -1 when there is none. */
  readonly highest: number;
  /** True when every offset from `first`, or from the lowest row below it, to `highest` is a row or lies in a gap. */
  readonly whole: boolean;
}

/**
 * What ingest needs of the database: a table that is its own ledger. table-in-clickhouse.ts is it in ClickHouse,
 * test/table-in-memory.ts in memory for the simulation; test/table-contract.ts holds both to these promises.
 *
 * A call that rejects may have had its effect.
 */
export interface EventTable {
  /** From now on inserts of earlier owners insert nothing, unless they run already. */
  becomeOwner(owner: Owner): Promise<void>;
  /** Ends the inserts into a partition that run, whoever's they are. */
  endInserts(place: Place): Promise<void>;
  /** @param first the log's first offset. */
  held(place: Place, first: number): Promise<Held>;
  /** Offsets from `from` on that are rows or lie in gaps, as ranges in order that do not touch. */
  covered(place: Place, from: number): Promise<Range[]>;
  /**
   * How far every stream of the partition has come, from the rows below `next`.
   *
   * @param whole true when there is no row at or above `next`.
   */
  streams(place: Place, next: number, whole: boolean): Promise<StreamPositions>;
  /** The row with the highest offset below this one; undefined when there is none. */
  rowBelow(place: Place, offset: number): Promise<Anchor | undefined>;
  /**
   * Inserts rows, each partition's in order of offset, by one insert: all or none of them, but for the rows of a partition
   * that has another owner since and the rows that are there already.
   *
   * @param insertions one, or several that go together.
   */
  insert(insertions: readonly Insertion[]): Promise<void>;
  /** Declares offsets that have no row. Repetition is harmless. */
  insertGaps(owner: Owner, gaps: readonly Gap[]): Promise<void>;
  /** Notes what is wrong with streams. Repetition is harmless. */
  insertFindings(owner: Owner, findings: readonly StreamFinding[]): Promise<void>;
}

/** Ranges sorted, with those that touch or overlap made one. */
export function joined(ranges: readonly Range[]): Range[] {
  const sorted = ranges.toSorted((left, right) => left.first - right.first);
  const result: Range[] = [];
  for (const range of sorted) {
    const before = result.at(-1);
    if (before && range.first <= before.last + 1) {
      result[result.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
    } else {
      result.push(range);
    }
  }
  return result;
}

/** True for offsets inside the ranges, which are in order and do not touch. Quick for offsets in rising order. */
export function membership(ranges: readonly Range[]): (offset: number) => boolean {
  let at = 0;
  return (offset) => {
    if (at > 0 && offset <= ranges[at - 1]!.last) at = 0;
    while (at < ranges.length && ranges[at]!.last < offset) at += 1;
    return at < ranges.length && ranges[at]!.first <= offset;
  };
}
