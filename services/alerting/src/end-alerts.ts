import { judgeClosed, type Micros, type RuleSet, type WindowView } from '@cairn/rules';
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
    const over = closing.flatMap(({ view, endedAt }) => judgeClosed(view, endedAt - 1, passedTo));
    const judged = await withChained(
      windows,
      rules,
      over.map((firing) => ({ firing })),
    );
    const firings = judged
      .filter(({ firing }) => firing.correlation.alerts)
      .map(({ firing }) => firingOf(firing, isTold));
    await tellOpened(options, windows, firings);
    // All at once: of live traffic nearly every call comes here, ten minutes after it ended as it should.
    await windows.closed(
      closing.map(({ view }) => ({ window: view.window, next: nextOf(view, passedTo) })),
      passedTo,
    );
    if (closing.length < AT_ONCE) break;
  }
  const ending = await windows.ending(passedTo, ENDED_MAX);
  if (!isTold) await tellEnded(options, ending);
  return ending;
}

/** When the next part of a window ends, after this instant. */
function nextOf(
  { cells, correlation: { timespan, anchors } }: WindowView,
  after: Micros,
): Micros | undefined {
  const next = cells.find(({ tick, label }) => anchors.has(Number(label)) && tick + timespan > after);
  return next && next.tick + timespan;
}
