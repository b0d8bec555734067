// A window is one group of one correlation. Its state is a list of cells:
//
//   cell = (tick, label) -> (count, eventId)
//
//   tick   event time, rounded down to the correlation's cell width, in microseconds
//   label  what the correlation tells apart inside a window:
//            event_count, baseline        ''
//            value_count                  the value
//            temporal, temporal_ordered   the index of the source, in decimal
//
// Whoever keeps windows outside (Redis) needs to do three things with a batch, in one step with the partition's high-water
// offset: merge cells (`mergeCells`), give back the merged cells where the counts reach the floor (`Correlation.floor`), and
// then forget what need not be kept (`keptSpan`, `trimCells`). Judging is done here, on the cells that came back.
import { HOUR, WEEK } from './baseline.ts';
import type { Correlation, Micros } from './rule.ts';

/** Events of one window that share a tick and a label. */
export interface Cell {
  readonly tick: Micros;
  readonly label: string;
  /** How many events. */
  readonly count: number;
  /** `event_id` of the first of them, for the alert. */
  readonly eventId: Uint8Array;
}

/** What a batch adds to one window. */
export interface WindowAddition {
  /** The window's key: the correlation's id and the group as one text (JSON), the same in every process. */
  readonly window: string;
  readonly correlation: Correlation;
  /** Values in the order of `Correlation.groupBy`, in lower case; the first is the organisation as it is written. */
  readonly group: readonly string[];
  /** By tick, then label; no two alike. */
  readonly cells: readonly Cell[];
  /**
   * `add`: counts of equal (tick, label) add up. `set`: they stay what they were; adding again changes nothing (the source
   * is a correlation, whose firing may be found again).
   */
  readonly merge: 'add' | 'set';
}

/** A window in which the condition holds. */
export interface Firing {
  readonly window: string;
  readonly correlation: Correlation;
  readonly group: readonly string[];
  /** First and last instant of the window, both inside. */
  readonly start: Micros;
  readonly end: Micros;
  /** What the correlation measures: events, distinct values, or distinct rules. */
  readonly measure: number;
  /** Ids of events in the window, earliest first, at most `EVIDENCE_MAX`; the last is the newest. */
  readonly eventIds: readonly Uint8Array[];
}

/** Firings of one window that belong together: each ends at most a timespan after the one before. One alert. */
export interface Episode {
  readonly window: string;
  /** End of its first firing: with the window's key, the alert's identity. */
  readonly since: Micros;
  /** End of its latest firing. */
  readonly until: Micros;
  /** The highest measure, and how many firings. */
  readonly peak: number;
  readonly firings: number;
}

export const EVIDENCE_MAX = 64;

/** The key of a window: equal for equal groups, whatever the process. @param part of a baseline, the hour of the week. */
export function windowKey({ id }: Correlation, group: readonly string[], part = ''): string {
  return JSON.stringify(part === '' ? [id, ...group] : [id, ...group, part]);
}

/** How long cells of a window matter, microseconds; for a baseline as long as it looks back. */
export function keptSpan({ timespan, baseline, judgedAt }: Correlation, lateness: Micros): Micros {
  if (baseline !== undefined) return baseline.weeks * WEEK + HOUR + lateness;
  // One that is judged at its close must still be there when its time is over.
  return (judgedAt === 'close' ? 2 * timespan : timespan) + lateness;
}

/** The window after an addition: cells by tick, then label. The one that was there first keeps its event id. */
export function mergeCells(
  before: readonly Cell[],
  { cells, merge }: Pick<WindowAddition, 'cells' | 'merge'>,
): Cell[] {
  const merged: Cell[] = [];
  let [left, right] = [0, 0];
  while (left < before.length || right < cells.length) {
    const [old, added] = [before[left], cells[right]];
    const order = old === undefined ? 1 : added === undefined ? -1 : compareCells(old, added);
    if (old !== undefined && order < 0) merged.push(old);
    else if (added !== undefined && order > 0) merged.push(added);
    else if (old !== undefined && added !== undefined)
      merged.push(merge === 'set' ? old : { ...old, count: old.count + added.count });
    if (order <= 0) left += 1;
    if (order >= 0) right += 1;
  }
  return merged;
}

/** What is kept of a window: `cellsMax` cells at most, none before `from`. */
export function trimCells(correlation: Correlation, cells: readonly Cell[], from: Micros): readonly Cell[] {
  const old = cells.findIndex(({ tick }) => tick >= from);
  const first = Math.max(old < 0 ? cells.length : old, cells.length - correlation.cellsMax);
  return first === 0 ? cells : cells.slice(first);
}

export function compareCells(a: Cell, b: Cell): number {
  return a.tick - b.tick || (a.label < b.label ? -1 : a.label > b.label ? 1 : 0);
}
