import { type History, HOUR, type Judgement, judgeVolume, WEEK } from './baseline.ts';
import type { BaselineTerms, Correlation, Micros } from './rule.ts';
import { type Cell, EVIDENCE_MAX, type Firing, windowKey } from './window.ts';

/** A window as it stands after an addition was merged. */
export interface WindowView {
  readonly window: string;
  readonly correlation: Correlation;
  readonly group: readonly string[];
  /** By tick, then label. */
  readonly cells: readonly Cell[];
}

/**
 * Every instant at which the condition holds, of those that an addition can have changed. A window ends at an event that it
 * counts and reaches back a timespan, both ends inside; so the addition of ticks `from` to `to` changes the windows that end
 * between `from` and `to + timespan`. Asked again about the same cells it answers the same.
 *
 * @param from first tick that was added, and `to` the last.
 */
export function judgeWindow(view: WindowView, from: Micros, to: Micros): Firing[] {
  const { correlation, cells } = view;
  if (correlation.judgedAt !== 'event' || correlation.type === 'baseline') return [];
  const measure = measureOf(correlation);
  const firings: Firing[] = [];
  let start = 0;
  for (let end = 0; end < cells.length; end += 1) {
    const tick = cells[end]?.tick ?? 0;
    measure.enter(cells[end] as Cell);
    if (cells[end + 1]?.tick === tick) continue;
    while ((cells[start] as Cell).tick < tick - correlation.timespan) {
      measure.leave(cells[start] as Cell);
      start += 1;
    }
    if (tick < from) continue;
    if (tick > to + correlation.timespan) break;
    const value = heldMeasure(correlation, measure, cells, start, end);
    if (value !== undefined)
      firings.push(firingOf(view, tick - correlation.timespan, tick, value, start, end + 1));
  }
  return firings;
}

/** What a window measures that ends with this cell, if the condition holds for it. */
function heldMeasure(
  correlation: Correlation,
  measure: Measure,
  cells: readonly Cell[],
  start: number,
  end: number,
): number | undefined {
  const { holds, holdsFor, type, cellWidth, cellCountMax } = correlation;
  const value = measure.value(cells, start, end + 1);
  if (holdsFor !== undefined) return holdsFor(measure.seen()) ? value : undefined;
  if (holds(value)) return value;
  if (type !== 'event_count' || cellWidth === 1 || cellCountMax === Number.POSITIVE_INFINITY)
    return undefined;
  // The events of a wide cell came one after the other, and what no longer holds for the last held for one before it.
  const before = value - (cells[end] as Cell).count;
  for (let passed = before + 1; passed < value && passed <= cellCountMax; passed += 1)
    if (holds(passed)) return passed;
  return undefined;
}

/**
 * Windows whose time is over and in which the condition holds: each begins at an event of an anchor. Each is judged once if
 * the calls' ranges meet.
 *
 * @param after windows that end at or before this were judged already; `upTo` is the event time that has passed, inclusive.
 */
export function judgeClosed(view: WindowView, after: Micros, upTo: Micros): Firing[] {
  const { correlation, cells } = view;
  const { timespan, anchors, holdsFor } = correlation;
  if (holdsFor === undefined || correlation.judgedAt !== 'close') return [];
  const firings: Firing[] = [];
  let anchored = Number.NEGATIVE_INFINITY;
  cells.forEach(({ tick, label }) => {
    const end = tick + timespan;
    if (tick === anchored || !anchors.has(Number(label)) || end <= after || end > upTo) return;
    anchored = tick;
    const [begin, behind] = spanOf(cells, tick, end);
    const seen = new Set(cells.slice(begin, behind).map((cell) => Number(cell.label)));
    if (holdsFor(seen)) firings.push(firingOf(view, tick, end, seen.size, begin, behind));
  });
  return firings;
}

/** The earliest end of a window that would fire if nothing more came, after this instant; undefined when none would. */
export function closesNext(view: WindowView, after: Micros): Micros | undefined {
  return judgeClosed(view, after, Number.POSITIVE_INFINITY)[0]?.end;
}

/**
 * What a baseline window knows of the same hour in the weeks before this one: a count for each week since the first in which the
 * group did anything in that hour.
 */
export function historyIn({ cells, correlation }: WindowView, hour: Micros): History {
  const { weeks } = correlation.baseline as BaselineTerms;
  const known = cells[0]?.tick ?? hour;
  const counts: number[] = [];
  for (let week = 1; week <= weeks && hour - week * WEEK >= known; week += 1) {
    const at = hour - week * WEEK;
    counts.push(cells.reduce((sum, { tick, count }) => (tick === at ? sum + count : sum), 0));
  }
  return { counts };
}

/**
 * Whether this hour's count of a `baseline` window is unusual for its group, and why.
 *
 * @param hour first instant of an hour; the history is of the same hour in the weeks before it.
 */
export function judgeBaseline(
  view: WindowView,
  hour: Micros,
  history: History,
): { readonly judgement: Judgement; readonly firing: Firing | undefined } {
  const [begin, behind] = spanOf(view.cells, hour, hour);
  const count = view.cells.slice(begin, behind).reduce((sum, cell) => sum + cell.count, 0);
  const judgement = judgeVolume(view.correlation.baseline as BaselineTerms, count, history);
  // An alert goes on from one hour of the week into the next.
  const whole = { ...view, window: windowKey(view.correlation, view.group) };
  const firing = judgement.unusual ? firingOf(whole, hour, hour + HOUR - 1, count, begin, behind) : undefined;
  return { judgement, firing };
}

/** What a sliding window measures, kept up to date as cells come in at one end and go out at the other. */
interface Measure {
  enter(cell: Cell): void;
  leave(cell: Cell): void;
  /** Of the cells from `start` until before `end`, which are those that entered and did not leave. */
  value(cells: readonly Cell[], start: number, end: number): number;
  seen(): ReadonlySet<number>;
}

function measureOf({ type, sources }: Correlation): Measure {
  if (type === 'event_count') {
    let sum = 0;
    return {
      enter: ({ count }) => void (sum += count),
      leave: ({ count }) => void (sum -= count),
      value: () => sum,
      seen: () => new Set(),
    };
  }
  const labels = new Map<string, number>();
  return {
    enter: ({ label }) => void labels.set(label, (labels.get(label) ?? 0) + 1),
    leave({ label }) {
      const left = (labels.get(label) ?? 0) - 1;
      if (left > 0) labels.set(label, left);
      else labels.delete(label);
    },
    value: (cells, start, end) =>
      type === 'temporal_ordered' ? chainLength(cells, start, end, sources.length) : labels.size,
    seen: () => new Set([...labels.keys()].map(Number)),
  };
}

/**
 * Length of the longest chain of sources that follow each other in the order of the rule, each strictly later than the one
 * before: of several at one instant at most one counts.
 */
function chainLength(cells: readonly Cell[], start: number, end: number, sources: number): number {
  /** Longest chain that ends with this source, at ticks before the current one. */
  const before: number[] = new Array(sources).fill(0);
  let now = [...before];
  let tick = Number.NEGATIVE_INFINITY;
  for (let at = start; at < end; at += 1) {
    const cell = cells[at] as Cell;
    if (cell.tick !== tick) {
      now.forEach((length, source) => {
        before[source] = length;
      });
      now = [...before];
      tick = cell.tick;
    }
    const source = Number(cell.label);
    let longest = 0;
    for (let earlier = 0; earlier < source; earlier += 1) longest = Math.max(longest, before[earlier] ?? 0);
    now[source] = Math.max(now[source] ?? 0, longest + 1);
  }
  return Math.max(0, ...now);
}

/** Indexes of the cells with ticks from `start` to `end`: the first, and the one behind the last. */
function spanOf(cells: readonly Cell[], start: Micros, end: Micros): [number, number] {
  const begin = cells.findIndex(({ tick }) => tick >= start);
  if (begin < 0) return [0, 0];
  const behind = cells.findIndex(({ tick }) => tick > end);
  return [begin, behind < 0 ? cells.length : behind];
}

function firingOf(
  { window, correlation, group, cells }: WindowView,
  start: Micros,
  end: Micros,
  measure: number,
  begin: number,
  behind: number,
): Firing {
  return { window, correlation, group, start, end, measure, eventIds: evidenceOf(cells, begin, behind) };
}

/** Of every label the newest event first, so that none is missing; then the newest of the others. By time. */
function evidenceOf(cells: readonly Cell[], begin: number, behind: number): Uint8Array[] {
  const taken = new Set<number>();
  const labels = new Set<string>();
  for (let at = behind - 1; at >= begin && taken.size < EVIDENCE_MAX; at -= 1) {
    const { label } = cells[at] as Cell;
    if (labels.has(label)) continue;
    labels.add(label);
    taken.add(at);
  }
  for (let at = behind - 1; at >= begin && taken.size < EVIDENCE_MAX; at -= 1) taken.add(at);
  return [...taken].sort((a, b) => a - b).map((at) => (cells[at] as Cell).eventId);
}
