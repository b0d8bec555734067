import {
  type Cell,
  keptFrom,
  type Micros,
  mergeCells,
  trimCells,
  type WindowAddition,
  type WindowView,
} from '@cairn/rules';
import type { EpisodeState, Windows } from '../src/windows.ts';
import { moved } from '../src/windows-in-redis.ts';

/** Windows in this process, by the rules' own reference: what Redis is held to. `lose` empties them as a new Redis is. */
export interface WindowsInMemory extends Windows {
  lose(): void;
}

export function windowsInMemory(lateness: Micros): WindowsInMemory {
  let offsets = new Map<string, number>();
  let streams = new Map<string, Map<string, string>>();
  let windows = new Map<string, WindowView>();
  let closing = new Map<string, Map<string, number>>();
  let episodes = new Map<string, EpisodeState & { readonly endsAt: Micros }>();

  const view = ({ window, correlation, group }: WindowAddition, cells: readonly Cell[]): WindowView => ({
    window,
    correlation,
    group,
    cells,
  });
  const isEnough = ({ cells, correlation }: WindowView): boolean =>
    cells.reduce((sum, { count }) => sum + count, 0) >= correlation.floor;
  const merge = (partition: string, additions: readonly WindowAddition[]): WindowView[] =>
    additions
      .map((addition) => {
        const { window, correlation } = addition;
        const merged = mergeCells(windows.get(window)?.cells ?? [], addition);
        const from = keptFrom(correlation, merged.at(-1)?.tick ?? 0, lateness);
        windows.set(window, view(addition, trimCells(correlation, merged, from)));
        const anchor = addition.cells.find(({ label }) => correlation.anchors.has(Number(label)));
        if (correlation.judgedAt === 'close' && anchor !== undefined) {
          const due = closing.get(partition) ?? new Map<string, number>();
          const end = anchor.tick + correlation.timespan;
          closing.set(partition, due.set(window, Math.min(end, due.get(window) ?? end)));
        }
        return view(addition, merged);
      })
      .filter(isEnough);
  const placeOf = (window: string, since: Micros): string =>
    episodes.get(window)?.since === since ? window : `${window}\n${since}`;
  const plain = ({ endsAt: _, ...state }: EpisodeState & { readonly endsAt: Micros }): EpisodeState => state;

  return {
    lose() {
      offsets = new Map();
      streams = new Map();
      windows = new Map();
      closing = new Map();
      episodes = new Map();
    },
    async position(partition) {
      return { offset: offsets.get(partition), streams: new Map(streams.get(partition)) };
    },
    async add({ partition, expected, last, streams: gone, additions }) {
      if (offsets.get(partition) !== expected)
        throw moved(String(offsets.get(partition) ?? ''), String(expected ?? ''));
      streams.set(partition, new Map([...(streams.get(partition) ?? []), ...gone]));
      const views = merge(partition, additions);
      offsets.set(partition, last);
      return views;
    },
    async look(additions) {
      return additions.map((one) => view(one, windows.get(one.window)?.cells ?? [])).filter(isEnough);
    },
    async set(partition, additions) {
      return merge(partition, additions);
    },
    async continueEpisodes(firings) {
      return firings.map(({ window, end, timespan, measure, facts, told }) => {
        const before = episodes.get(window);
        const goesOn = before && end >= before.since - timespan && end <= before.until + timespan;
        if (before && !goesOn) episodes.set(`${window}\n${before.since}`, before);
        const episode = goesOn
          ? {
              ...before,
              until: Math.max(before.until, end),
              peak: Math.max(before.peak, measure),
              firings: before.firings + (end > before.until ? 1 : 0),
            }
          : { window, since: end, until: end, peak: measure, firings: 1, told, facts };
        const state = { ...episode, endsAt: episode.until + timespan + lateness };
        episodes.set(window, state);
        return plain(state);
      });
    },
    async markTold(told) {
      for (const { window, since } of told) {
        const place = placeOf(window, since);
        const episode = episodes.get(place);
        if (episode) episodes.set(place, { ...episode, told: true });
      }
    },
    async ending(upTo, most) {
      return [...episodes.values()]
        .filter(({ endsAt }) => endsAt <= upTo)
        .sort((a, b) => a.endsAt - b.endsAt)
        .slice(0, most)
        .map(plain);
    },
    async forget({ window, since, until }) {
      const place = placeOf(window, since);
      if (episodes.get(place)?.until === until) episodes.delete(place);
    },
    async closing(partition, upTo, most) {
      return [...(closing.get(partition) ?? [])]
        .filter(([, end]) => end <= upTo)
        .sort(([, a], [, b]) => a - b)
        .slice(0, most)
        .map(([window, endedAt]) => ({ view: windows.get(window)!, endedAt }));
    },
    async closed(partition, window, upTo, next) {
      const due = closing.get(partition);
      if ((due?.get(window) ?? Number.POSITIVE_INFINITY) > upTo) return;
      if (next === undefined) due?.delete(window);
      else due?.set(window, next);
    },
  };
}
