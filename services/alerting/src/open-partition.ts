import { Failure } from '@cairn/failure';
import type { AssignedPartition } from '@cairn/runtime';
import { StreamMarks } from './stream-marks.ts';
import type { PartitionWindows, Windows } from './windows.ts';

/** A partition that this process may count, as windows and log have it. */
export interface OpenPartition {
  readonly windows: PartitionWindows;
  /** First offset to read. */
  readonly start: number;
  /** The last offset that is in the windows; undefined for none. */
  counted: number | undefined;
  /** Alerts of what lies below this offset are on disk. */
  readonly told: number;
  /** First offset that is not committed now. */
  committed: number;
  /** The earliest time of an event that was read and is not committed, microseconds. */
  oldest: number;
  readonly streams: StreamMarks;
  /** Episodes are known of everything that is committed. */
  isWhole: boolean;
  /** Where the log ended: from there on everything is news. */
  readonly end: number;
  /** The windows were lost, and are made again from the log. */
  readonly rebuilds: boolean;
  /**
   * When the last record whose alerts are on disk was appended, milliseconds since 1970: whatever had ended by then was told. Only
   * while windows that were lost are made again to there.
   */
  toldToMs: number | undefined;
}

export interface OpenOptions {
  readonly windows: Windows;
  /** First offset that was appended at or after this time. */
  readonly offsetAt: (topic: string, partition: number, timeMs: number) => Promise<number>;
  /** How far back the windows reach: what must be read again when they are empty. */
  readonly spanMs: () => number;
  /** How far back the very first start reads. */
  readonly backlogMsMax: number;
  readonly nowMs: () => number;
}

/**
 * Takes a partition over; whoever had it before is heard no more. The windows say what was counted; Kafka's committed offset says whose alerts are on disk.
 *
 * - Counted further than committed: read again from there, looking and not counting, since its alerts may not be on disk.
 * - Committed further than counted, because Redis lost its last second or everything: read again from as far back as the
 *   windows reach, and not told again. What is counted by then is looked at: a crash may have come before its firings were
 *   taken into their episodes.
 *
 * @throws Failure `windows.ahead` when more was counted than the log has.
 */
export async function openPartition(
  { windows: store, offsetAt, spanMs, backlogMsMax, nowMs }: OpenOptions,
  { topic, partition, committed, bounds }: AssignedPartition,
): Promise<OpenPartition> {
  const name = `${topic}/${partition}`;
  const windows = await store.take(name);
  const { offset: counted, streams } = windows;
  const [{ offset: committedTo, metadata }, { first, end }] = await Promise.all([committed(), bounds()]);
  if (counted !== undefined && counted >= end) throw ahead(name, counted, end);
  const told = Math.max(first, committedTo ?? (await offsetAt(topic, partition, nowMs() - backlogMsMax)));
  const rebuilds = committedTo !== undefined && (!windows.isWhole || (counted ?? -1) < told - 1);
  const from = rebuilds
    ? await offsetAt(topic, partition, (appendedMsOf(metadata) ?? nowMs()) - spanMs())
    : (counted ?? told - 1) + 1;
  const start = Math.max(first, Math.min(from, told, (counted ?? told) + 1));
  const marks = new StreamMarks(streams, rebuilds ? undefined : told);
  return {
    windows,
    start,
    counted,
    told,
    committed: told,
    isWhole: !rebuilds && windows.isWhole,
    oldest: Number.MAX_SAFE_INTEGER,
    streams: marks,
    end,
    rebuilds,
    toldToMs: rebuilds ? appendedMsOf(metadata) : undefined,
  };
}

/** Metadata of a commit: when the last record below it was appended. */
export const commitMetadata = (appendedAtMs: number): string => `v1 ${appendedAtMs}`;

function appendedMsOf(metadata: string): number | undefined {
  const [, text] = /^v1 (\d+)$/.exec(metadata) ?? [];
  return text === undefined ? undefined : Number(text);
}

function ahead(name: string, counted: number, end: number): Failure {
  return new Failure({
    code: 'windows.ahead',
    retry: 'later',
    message: `offset ${counted} of ${name} was counted, and the log ends at ${end}`,
    mend: 'The topic was created again or lost its tail. Give the new one another name, or empty Redis.',
  });
}
