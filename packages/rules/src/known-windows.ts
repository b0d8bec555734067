import { hourOfWeek } from './baseline.ts';
import type { GrowingCell, GrowingWindow } from './growing-window.ts';
import type { Correlation, CorrelationSource, Micros, RuleEvent } from './rule.ts';

/** The latest cell of a label that the store is known to have. */
interface LatestCell {
  readonly tick: Micros;
  readonly count: number;
}

/** A window that batches come back to. */
export interface KnownWindow extends GrowingWindow {
  /** The batch that its cells are of. */
  batch: number;
  /** The store has these cells, by label; undefined where that is not kept because every event counts. */
  readonly latest: Map<string, LatestCell> | undefined;
}

/** Windows by the values of their group, one Map in another: a text whose hash is known is looked up faster than one is joined. */
interface Branch {
  /** Most branches are leaves. */
  next: Map<string, Branch> | undefined;
  window: KnownWindow | undefined;
}

/** Windows, cells and ways to them that are remembered of one generation; there are two. */
const REMEMBERED_MAX = 200_000;
/** Labels of one window that are taken into the next generation. */
const LABELS_MAX = 1_000;

/**
 * The windows that batches of one log touched: their names, not their counts, which the store has. Agents that work come again
 * with each batch, and so the group of a window is put together once.
 *
 * Of windows of which a cell can be full (`Correlation.cellCountMax`) it is also known which cells were counted: an agent that
 * uses its tools all day is not new again at each call. That is true for as long as nobody else counts this log and the store
 * forgets nothing; whoever finds that it did begins anew, with nothing known.
 */
export class KnownWindows {
  /** What was touched lately, and what was touched before that. */
  #young = new Map<Correlation, Branch>();
  #old = new Map<Correlation, Branch>();
  #size = 0;
  #batch = 0;
  #touched: KnownWindow[] = [];
  /** Rises when windows are forgotten: who holds one asks for it again. */
  generation = 0;

  /** Begins a batch. What an earlier one that was not counted touched is not remembered as counted. */
  begin(): void {
    this.#batch += 1;
    this.#touched = [];
    if (this.#size <= REMEMBERED_MAX) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#size = 0;
    this.generation += 1;
  }

  /** Something else is remembered for as long as this generation. */
  grow(): void {
    this.#size += 1;
  }

  /** Windows that this batch has cells of. */
  get touched(): readonly KnownWindow[] {
    return this.#touched;
  }

  /** The window that an event belongs to; undefined when a value of its group is absent. */
  of(
    correlation: Correlation,
    { groupFields }: CorrelationSource,
    event: RuleEvent,
    tick: Micros,
  ): KnownWindow | undefined {
    const group = [event.org_id ?? ''];
    for (const field of groupFields) {
      const value = field(event);
      if (value === undefined) return undefined;
      group.push(value);
    }
    return this.named(correlation, group, partOf(correlation, tick));
  }

  named(correlation: Correlation, group: readonly string[], part: string): KnownWindow {
    const path = part === '' ? group : [...group, part];
    const branch = path.reduce(branchAt, rootOf(this.#young, correlation));
    if (branch.window !== undefined) return branch.window;
    const old = this.#old.get(correlation);
    branch.window = (old && found(old, path)) ?? windowOf(correlation, group, part);
    const { latest } = branch.window;
    if (latest !== undefined && latest.size > LABELS_MAX) latest.clear();
    this.#size += 1 + (latest?.size ?? 0);
    return branch.window;
  }

  /** The cells of this batch; undefined when the store has this one as full as a rule can tell. */
  cellsFor(window: KnownWindow, tick: Micros, label: string): GrowingCell[] | undefined {
    const latest = window.latest?.get(label);
    if (latest !== undefined && latest.tick === tick && latest.count >= window.correlation.cellCountMax)
      return undefined;
    if (window.batch !== this.#batch) {
      window.batch = this.#batch;
      window.cells = [];
      this.#touched.push(window);
    }
    return window.cells;
  }

  /** The batch is in the store. */
  counted(): void {
    for (const { latest, cells } of this.#touched) {
      if (latest === undefined) continue;
      for (const { tick, label, count } of cells) {
        const before = latest.get(label);
        if (before === undefined) this.#size += 1;
        else if (before.tick > tick) continue;
        latest.set(label, { tick, count: count + (before?.tick === tick ? before.count : 0) });
      }
    }
    this.#touched = [];
  }
}

/** The hours of a baseline are held against those a week apart, so each hour of the week is a window of its own. */
export const partOf = ({ baseline }: Correlation, tick: Micros): string =>
  baseline === undefined ? '' : HOURS[hourOfWeek(tick)]!;

const HOURS = Array.from({ length: 168 }, (_, hour) => String(hour));

function windowOf(correlation: Correlation, group: readonly string[], part: string): KnownWindow {
  const isKept = correlation.cellWidth !== 1 && correlation.cellCountMax !== Number.POSITIVE_INFINITY;
  return { correlation, group, part, cells: [], batch: 0, latest: isKept ? new Map() : undefined };
}

function rootOf(roots: Map<Correlation, Branch>, correlation: Correlation): Branch {
  let root = roots.get(correlation);
  if (root === undefined) {
    root = { next: undefined, window: undefined };
    roots.set(correlation, root);
  }
  return root;
}

function branchAt(from: Branch, value: string): Branch {
  from.next ??= new Map();
  let branch = from.next.get(value);
  if (branch === undefined) {
    branch = { next: undefined, window: undefined };
    from.next.set(value, branch);
  }
  return branch;
}

function found(root: Branch, path: readonly string[]): KnownWindow | undefined {
  let branch: Branch | undefined = root;
  for (const value of path) branch = branch?.next?.get(value);
  return branch?.window;
}
