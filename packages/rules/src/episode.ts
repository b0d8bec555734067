import { HOUR } from './baseline.ts';
import type { Correlation, Micros } from './rule.ts';
import type { Episode, Firing } from './window.ts';

/** How far apart two firings of one alert may end. An hour that is unusual goes on in the next one. */
export const episodeSpan = ({ timespan, baseline }: Correlation): Micros =>
  baseline === undefined ? timespan : HOUR + timespan;

/**
 * Takes a firing, in the order of their ends, into the alert that it belongs to.
 *
 * A firing that ends at most a timespan after the last one of the episode goes on with it; a later one opens the next, and
 * a new alert. A firing that the episode has already (it was found again) changes nothing but the peak.
 */
export function continueEpisode(
  episode: Episode | undefined,
  { window, correlation, end, measure }: Firing,
): { readonly episode: Episode; readonly opened: boolean } {
  const goesOn =
    episode !== undefined && end >= episode.since && end <= episode.until + episodeSpan(correlation);
  if (!goesOn) {
    return { episode: { window, since: end, until: end, peak: measure, firings: 1 }, opened: true };
  }
  return {
    episode: {
      window,
      since: episode.since,
      until: Math.max(episode.until, end),
      peak: Math.max(episode.peak, measure),
      firings: episode.firings + (end > episode.until ? 1 : 0),
    },
    opened: false,
  };
}

/** The alerts of one window, from all its firings in the order of their ends. */
export function episodesOf(firings: readonly Firing[]): Episode[] {
  const episodes: Episode[] = [];
  for (const firing of firings) {
    const { episode, opened } = continueEpisode(episodes.at(-1), firing);
    if (!opened) episodes.pop();
    episodes.push(episode);
  }
  return episodes;
}
