import type { RecordDraft } from '@cairn/recorder';
import type { Micros } from '@cairn/rules';
import type { Alert } from '@cairn/webhook';
import { alertEventOf } from './alert-event.ts';
import type { EpisodeFirings, EpisodeState, PartitionWindows } from './windows.ts';

/** What telling asks of the recorder. */
export interface EventRecorder {
  /** Resolves when the event is on disk. */
  record(draft: RecordDraft): Promise<unknown>;
}

export interface TellOptions {
  readonly recorder: EventRecorder;
  /** Promises alerts to endpoints; when it returns the promises are on disk. */
  readonly promise: (alerts: readonly Alert[]) => void;
  readonly onAlert: (alert: Alert) => void;
}

/**
 * Takes firings into their episodes and tells of those that opened.
 *
 * 1. The episodes, which several instances share.
 * 2. The alert events, on the recorder's disk. COMMIT POINT: from here on the alert is part of the trail.
 * 3. The promises to endpoints, on disk.
 * 4. The episodes are marked as told.
 *
 * A crash between any of these leaves episodes that are not told. Their firings are found again, and are told again under the
 * same ids.
 */
export async function tellOpened(
  options: TellOptions,
  windows: PartitionWindows,
  firings: readonly EpisodeFirings[],
): Promise<void> {
  if (firings.length === 0) return;
  const states = await windows.continueEpisodes(runsOf(firings));
  const untold = new Map(
    states.filter(({ told }) => !told).map((state) => [`${state.window}\n${state.since}`, state]),
  );
  if (untold.size === 0) return;
  await tell(options, [...untold.values()], 'opened');
  await windows.markTold([...untold.values()]);
}

/**
 * In the order of their ends, and those of one window that follow each other as one: a rule that holds for every event of an
 * agent is then one step for each chunk, not one for each event.
 */
function runsOf(firings: readonly EpisodeFirings[]): EpisodeFirings[] {
  const runs: EpisodeFirings[] = [];
  /** The latest run of each window, by its place. */
  const latest = new Map<string, number>();
  for (const firing of firings.toSorted((a, b) => (a.ends[0] ?? 0) - (b.ends[0] ?? 0))) {
    const { window, ends, timespan, measure, told } = firing;
    const place = latest.get(window);
    const run = place === undefined ? undefined : runs[place];
    if (
      place === undefined ||
      run === undefined ||
      (ends[0] ?? 0) > (run.ends.at(-1) ?? 0) + timespan ||
      told !== run.told
    ) {
      latest.set(window, runs.length);
      runs.push({ ...firing, ends: [...ends] });
      continue;
    }
    (run.ends as Micros[]).push(...ends);
    if (measure > run.measure) runs[place] = { ...run, measure };
  }
  return runs;
}

/**
 * Tells of episodes that can no longer go on. One whose opening nobody told, because a crash came between, is told of first.
 */
export async function tellEnded(options: TellOptions, episodes: readonly EpisodeState[]): Promise<void> {
  await tell(
    options,
    episodes.filter(({ told }) => !told),
    'opened',
  );
  await tell(options, episodes, 'ended');
}

async function tell(
  { recorder, promise, onAlert }: TellOptions,
  episodes: readonly EpisodeState[],
  what: 'opened' | 'ended',
): Promise<void> {
  if (episodes.length === 0) return;
  const told = episodes.map((episode) => alertEventOf(episode, what));
  await Promise.all(told.map(({ draft }) => recorder.record(draft)));
  promise(told.map(({ alert }) => alert));
  for (const { alert } of told) onAlert(alert);
}
