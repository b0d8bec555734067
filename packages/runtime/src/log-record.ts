/** One record of the log. Its value is told by its place: a view for each record would be the most of the work on it. */
export interface LogRecord {
  readonly offset: number;
  /** The broker's append time, milliseconds since 1970. */
  readonly appendedAtMs: number;
  /** Holds the value in [start, end), and other records beside it. */
  readonly bytes: Uint8Array;
  /** -1 when there is no value, which is a tombstone; it counts as a record all the same. */
  readonly start: number;
  readonly end: number;
}

/** A record of its own bytes. */
export function recordOf(offset: number, value: Uint8Array | null, appendedAtMs: number): LogRecord {
  if (value === null) return { offset, appendedAtMs, bytes: NO_BYTES, start: -1, end: -1 };
  return { offset, appendedAtMs, bytes: value, start: 0, end: value.length };
}

/** A view on the record's value; null when it has none. */
export function recordValue({ bytes, start, end }: LogRecord): Uint8Array | null {
  return start < 0 ? null : bytes.subarray(start, end);
}

const NO_BYTES = new Uint8Array();

/** What one fetch brought of one partition. */
export interface LogBatch {
  /** Offset that was asked for. Offsets from here to `last` without a record hold none: control records, compaction. */
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  readonly records: readonly LogRecord[];
  /** Offset that the next appended record will get. */
  readonly highWatermark: number;
}
