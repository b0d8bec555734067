import { judgeClosed, type Micros, type RuleSet } from '@cairn/rules';
import { firingOf } from './alert-event.ts';
import { withChained } from './judge-additions.ts';
import { type TellOptions, tellEnded, tellOpened } from './tell-episodes.ts';
import type { EpisodeState, PartitionWindows } from './windows.ts';

/** Most windows that are looked at together. */
const AT_ONCE = 200;
/** Most alerts that end together. */
const ENDED_MAX = 10_000;

/**
 * Ends what a partition's time has passed: windows that waited for something are judged, and alerts that can go on no more are
 * told to have ended.
 *
 * @param windows of the partition.
 * @param passedTo up to this instant all events of the partition are known.
 * @param isTold it was told before, and the windows are being made again from the log.
 * @returns the alerts that ended. They are to be forgotten once nobody can find their firings again: after the offset up to
 *   which their events were read is committed.
 */
export async function endAlerts(
  options: TellOptions,
  rules: RuleSet,
  windows: PartitionWindows,
  passedTo: Micros,
  isTold: boolean,
): Promise<EpisodeState[]> {
  for (;;) {
    const closing = await windows.closing(passedTo, AT_ONCE);
    for (const { view, endedAt } of closing) {
      const closed = judgeClosed(view, endedAt - 1, passedTo).map((firing) => ({ firing }));
      const judged = await withChained(windows, rules, closed);
      const firings = judged
        .filter(({ firing }) => firing.correlation.alerts)
        .map(({ firing }) => firingOf(firing, isTold));
      await tellOpened(options, windows, firings);
      const { timespan, anchors } = view.correlation;
      const next = view.cells.find(
        ({ tick, label }) => anchors.has(Number(label)) && tick + timespan > passedTo,
      );
      await windows.closed(view.window, passedTo, next && next.tick + timespan);
    }
    if (closing.length < AT_ONCE) break;
  }
  const ending = await windows.ending(passedTo, ENDED_MAX);
  if (!isTold) await tellEnded(options, ending);
  return ending;
}
