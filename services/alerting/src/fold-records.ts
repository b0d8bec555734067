import {
  type BatchFolder,
  type BelievedTimes,
  createFolder,
  type FoldedBatch,
  type Folding,
  type RuleSet,
} from '@cairn/rules';
import type { Gathering, LogRecord } from '@cairn/runtime';
import type { OpenPartition } from './open-partition.ts';
import { nothingRead, type ReadRecords, type RecordReader } from './read-records.ts';
import type { Position } from './stream-marks.ts';

export interface FoldOptions {
  readonly bounds: BelievedTimes;
  readonly releasedIdOf: (framedId: number) => number | undefined;
}

/** The rules in force, and what reads records for them. */
export interface RulesInForce {
  readonly rules: RuleSet;
  readonly reader: RecordReader;
}

/** The part of a chunk that lies on one side of where counting ended, and of where telling did, when its partition was opened. */
export interface FoldedPart {
  /** Inclusive. */
  readonly last: number;
  /** Is in the windows already. */
  readonly isCounted: boolean;
  /** Its alerts are on disk. */
  readonly isTold: boolean;
  readonly read: ReadRecords;
  readonly batch: FoldedBatch;
}

/** The records of a chunk, reduced while they come to what they mean to the rules. */
export interface FoldedRecords extends Gathering {
  /** Those that were in force when the chunk began. */
  readonly rules: RuleSet;
  /** When its last record was appended, milliseconds since 1970; undefined when none came. */
  readonly appendedAtMs: number | undefined;
  /** The chunk, in order, once it is over. */
  parts(first: number, last: number): FoldedPart[];
}

/** What a record, and what a cell or a match of it holds of memory, about. */
const RECORD_BYTES = 96;
const CELL_BYTES = 400;

/**
 * Folds the chunks of one partition, from one opening of it to the next. While one chunk is on its way to the windows the next
 * is folded as if it were there: its streams stand where that one leaves them, and what that one fills is full. Should it not
 * get there, the partition is opened again, and all that was folded behind it is thrown away.
 */
export class PartitionFolder {
  readonly #options: FoldOptions;
  readonly #open: OpenPartition;
  /** First offset that was not counted, and that was not told, when the partition was opened. */
  readonly #uncounted: number;
  readonly #untold: number;
  /** Where parts end: first offset behind each. */
  readonly #cuts: readonly number[];
  /** Made anew for other rules. */
  #folding: { readonly rules: RuleSet; readonly folder: BatchFolder } | undefined;
  #latest: GrowingPart | undefined;

  constructor(options: FoldOptions, open: OpenPartition) {
    this.#options = options;
    this.#open = open;
    this.#uncounted = (open.counted ?? -1) + 1;
    this.#untold = open.told;
    const cuts = new Set([this.#uncounted, this.#untold, Number.POSITIVE_INFINITY]);
    this.#cuts = [...cuts].sort((a, b) => a - b);
  }

  /** Begins a chunk; the one before is over. */
  gather({ rules, reader }: RulesInForce): FoldedRecords {
    const { bounds, releasedIdOf } = this.#options;
    /** By the cut behind them. */
    const growing = new Map<number, GrowingPart>();
    let part: GrowingPart | undefined;
    let end = 0;
    let appendedAtMs: number | undefined;
    let count = 0;
    const add = (records: readonly LogRecord[]): void => {
      for (let from = 0; from < records.length; ) {
        const { offset } = records[from]!;
        if (part === undefined || offset >= end) {
          end = this.#cuts.find((cut) => offset < cut)!;
          part = this.#begin(rules, end);
          growing.set(end, part);
        }
        let to = from + 1;
        while (to < records.length && records[to]!.offset < end) to += 1;
        const those = from === 0 && to === records.length ? records : records.slice(from, to);
        reader.read(those, part.read, part.known, releasedIdOf, bounds, part.take);
        from = to;
      }
      count += records.length;
      appendedAtMs = records.at(-1)?.appendedAtMs ?? appendedAtMs;
    };
    return {
      rules,
      get appendedAtMs() {
        return appendedAtMs;
      },
      get bytesHeld() {
        let held = count * RECORD_BYTES;
        for (const { size } of growing.values()) held += size * CELL_BYTES;
        return held;
      },
      add,
      parts: (first, last) => {
        const parts: FoldedPart[] = [];
        let from = first;
        for (const cut of this.#cuts) {
          if (cut <= from || from > last) continue;
          const partLast = Math.min(cut - 1, last);
          const { read, batch } = growing.get(cut)?.end() ?? { read: nothingRead(), batch: NOTHING };
          parts.push({ last: partLast, ...this.#placeOf(cut), read, batch });
          from = partLast + 1;
        }
        return parts;
      },
      release: () => growing.clear(),
    };
  }

  #begin(rules: RuleSet, cut: number): GrowingPart {
    this.#latest?.end();
    const { isCounted } = this.#placeOf(cut);
    // What is looked at again was counted by whoever came before, so nothing of it is left out.
    const folder = isCounted ? createFolder(rules) : this.#folderOf(rules);
    this.#latest = new GrowingPart(folder, this.#open, isCounted);
    return this.#latest;
  }

  #folderOf(rules: RuleSet): BatchFolder {
    if (this.#folding?.rules !== rules) this.#folding = { rules, folder: createFolder(rules) };
    return this.#folding.folder;
  }

  #placeOf(cut: number): { readonly isCounted: boolean; readonly isTold: boolean } {
    return { isCounted: cut <= this.#uncounted, isTold: cut <= this.#untold };
  }
}

const NOTHING: FoldedBatch = { matches: [], additions: [] };

class GrowingPart {
  readonly read: ReadRecords = nothingRead();
  readonly take: Folding['take'];
  /** Where a stream stood before this part. */
  readonly known: (stream: string) => Position | undefined;
  readonly #folding: Folding;
  readonly #whenOver: () => void;
  #batch: FoldedBatch | undefined;

  constructor(folder: BatchFolder, { streams }: OpenPartition, isCounted: boolean) {
    this.#folding = folder.begin();
    this.take = this.#folding.take;
    this.known = (stream) => streams.known(stream, isCounted);
    this.#whenOver = () => {
      streams.folded(this.read.streams, isCounted);
      if (!isCounted) folder.counted();
    };
  }

  /** Cells and matches. */
  get size(): number {
    return this.#folding.size;
  }

  /** Nothing more comes. */
  end(): { readonly read: ReadRecords; readonly batch: FoldedBatch } {
    if (this.#batch === undefined) {
      this.#batch = this.#folding.folded();
      this.#whenOver();
    }
    return { read: this.read, batch: this.#batch };
  }
}
