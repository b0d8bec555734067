import type { History } from './baseline.ts';
import { foldBatch, foldFirings, type Match } from './fold-batch.ts';
import { historyIn, judgeBaseline, judgeClosed, judgeWindow, type WindowView } from './judge-window.ts';
import type { Micros, RuleEvent, RuleSet } from './rule.ts';
import { type Cell, type Firing, keptSpan, mergeCells, trimCells, type WindowAddition } from './window.ts';

/** Windows in memory: the reference that other stores are held to, and what replays use. */
export interface MemoryWindows {
  /**
   * Merges each addition and gives back its window as it then stands, of those where the counts reach the floor.
   *
   * @param judgedTo what ended by this instant was judged at its close; the rest is kept, however old it is. Default: nothing was.
   */
  add(additions: readonly WindowAddition[], judgedTo?: Micros): WindowView[];
  /** All windows of the correlations that are judged at their close. */
  open(): WindowView[];
  /** Forgets the windows that nothing which is on time by this instant can change. */
  forget(upTo: Micros): void;
}

/** @param lateness how far behind the newest event of its window an event may come and still be counted as on time. */
export function createMemoryWindows(lateness: Micros): MemoryWindows {
  const windows = new Map<string, WindowView>();
  return {
    add: (additions, judgedTo = Number.NEGATIVE_INFINITY) =>
      additions.flatMap((addition) => {
        const { window, correlation, group } = addition;
        const merged = mergeCells(windows.get(window)?.cells ?? [], addition);
        const needed = (merged.at(-1)?.tick ?? 0) - keptSpan(correlation, lateness);
        const unjudged = judgedTo - correlation.timespan;
        const from = correlation.judgedAt === 'close' ? Math.min(needed, unjudged) : needed;
        const view = { window, correlation, group, cells: trimCells(correlation, merged, from) };
        windows.set(window, view);
        return totalOf(merged) >= correlation.floor ? [{ ...view, cells: merged }] : [];
      }),
    open: () => [...windows.values()].filter(({ correlation }) => correlation.judgedAt === 'close'),
    forget(upTo) {
      for (const [window, { correlation, cells }] of windows)
        if ((cells.at(-1)?.tick ?? 0) + keptSpan(correlation, lateness) < upTo) windows.delete(window);
    },
  };
}

function totalOf(cells: readonly Cell[]): number {
  return cells.reduce((total, { count }) => total + count, 0);
}

/** What a batch brought about. */
export interface Outcome {
  readonly matches: readonly Match[];
  readonly firings: readonly Firing[];
}

/** Rules evaluated from beginning to end in memory. */
export interface Evaluator {
  /** Events in the order of their log. @param timeOf when each counts as having happened; default its own time. */
  take(events: readonly RuleEvent[], timeOf?: (event: RuleEvent, index: number) => Micros): Outcome;
  /** What groups did before: cells of whole hours for `baseline` windows. Nothing fires. */
  learn(additions: readonly WindowAddition[]): void;
  /** Event time has passed this instant: windows that ended by then are judged. */
  close(upTo: Micros): Firing[];
  /** Forgets the windows that nothing which is on time by this instant can change. */
  forget(upTo: Micros): void;
}

/** What a group did in the same hour of the weeks before. Asked for `baseline` correlations only. */
export type HistoryOf = (view: WindowView, hour: Micros) => History;

/** @param historyOf default: what its window knows. */
export function createEvaluator(
  rules: RuleSet,
  lateness: Micros,
  historyOf: HistoryOf = historyIn,
): Evaluator {
  const windows = createMemoryWindows(lateness);
  let closed = Number.NEGATIVE_INFINITY;

  const judge = (additions: readonly WindowAddition[]): Firing[] => {
    const added = new Map(additions.map((addition) => [addition.window, addition.cells]));
    return windows.add(additions, closed).flatMap((view) => {
      const ticks = (added.get(view.window) ?? []).map(({ tick }) => tick);
      if (view.correlation.type !== 'baseline') return judgeWindow(view, ticks[0] ?? 0, ticks.at(-1) ?? 0);
      return [...new Set(ticks)].flatMap((hour) => {
        const { firing } = judgeBaseline(view, hour, historyOf(view, hour));
        return firing ?? [];
      });
    });
  };
  /** With what the firings set off in turn. */
  const withChained = (firings: readonly Firing[]): Firing[] =>
    firings.length === 0 ? [] : [...firings, ...withChained(judge(foldFirings(rules, firings)))];

  /** A window that two of its sources set off is judged twice; the later judgement has seen both. */
  const eachOnce = (firings: readonly Firing[]): Firing[] => [
    ...new Map(firings.map((firing) => [`${firing.end} ${firing.window}`, firing])).values(),
  ];

  return {
    take(events, timeOf) {
      const { matches, additions } = foldBatch(rules, events, timeOf);
      return { matches, firings: eachOnce(withChained(judge(additions))) };
    },
    learn: (additions) => void windows.add(additions),
    forget: (upTo) => windows.forget(upTo),
    close(upTo) {
      const firings = windows.open().flatMap((view) => judgeClosed(view, closed, upTo));
      closed = Math.max(closed, upTo);
      return eachOnce(withChained(firings));
    },
  };
}
