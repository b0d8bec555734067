import {
  type Firing,
  foldFirings,
  historyIn,
  judgeBaseline,
  judgeWindow,
  type RuleSet,
  type WindowAddition,
  type WindowView,
} from '@cairn/rules';
import type { PartitionWindows } from './windows.ts';

/** A firing, and why when that is more than its condition. */
export interface Judged {
  readonly firing: Firing;
  readonly reason?: string;
}

/** Judges the windows that additions touched, and what their firings set off in turn. The same additions give the same. */
export async function judgeAdditions(
  windows: Pick<PartitionWindows, 'set'>,
  rules: RuleSet,
  additions: readonly WindowAddition[],
  views: readonly WindowView[],
): Promise<Judged[]> {
  return withChained(windows, rules, judgeViews(additions, views));
}

/** Firings, with those of the correlations that count them. */
export async function withChained(
  windows: Pick<PartitionWindows, 'set'>,
  rules: RuleSet,
  judged: readonly Judged[],
): Promise<Judged[]> {
  const all = [...judged];
  for (let last = judged; last.length > 0; ) {
    const additions = foldFirings(
      rules,
      last.map(({ firing }) => firing),
    );
    if (additions.length === 0) break;
    last = judgeViews(additions, await windows.set(additions));
    all.push(...last);
  }
  return all;
}

function judgeViews(additions: readonly WindowAddition[], views: readonly WindowView[]): Judged[] {
  const added = new Map(additions.map(({ window, cells }) => [window, cells]));
  return views.flatMap((view) => {
    const ticks = (added.get(view.window) ?? []).map(({ tick }) => tick);
    if (view.correlation.baseline === undefined)
      return judgeWindow(view, ticks[0] ?? 0, ticks.at(-1) ?? 0).map((firing) => ({ firing }));
    return [...new Set(ticks)].flatMap((hour) => {
      const { judgement, firing } = judgeBaseline(view, hour, historyIn(view, hour));
      return firing === undefined ? [] : [{ firing, reason: judgement.reason }];
    });
  });
}
