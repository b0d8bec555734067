import {
  type Cell,
  keptSpan,
  type Micros,
  mergeCells,
  trimCells,
  type WindowAddition,
  type WindowView,
} from '@cairn/rules';
import type { EpisodeFirings, EpisodeState, PartitionWindows, Windows } from '../src/windows.ts';
import { fenced, moved } from '../src/windows-in-redis.ts';

/** Windows in this process, by the rules' own reference: what Redis is held to. `lose` empties them as a new Redis is. */
export interface WindowsInMemory extends Windows {
  lose(): void;
  /** How many alerts of a partition have not ended, and how many of its windows are to be judged at their close. */
  unfinished(partition: string): number;
}

interface KeptEpisode extends EpisodeState {
  readonly endsAt: Micros;
  readonly partition: string;
  readonly isOver: boolean;
}

export function windowsInMemory(lateness: Micros): WindowsInMemory {
  let offsets = new Map<string, number>();
  let streams = new Map<string, Map<string, string>>();
  let windows = new Map<string, WindowView>();
  let closing = new Map<string, Map<string, number>>();
  let episodes = new Map<string, KeptEpisode>();
  let owners = new Map<string, number>();
  let owner = 0;
  let whole = new Set<string>();

  const view = ({ window, correlation, group }: WindowAddition, cells: readonly Cell[]): WindowView => ({
    window,
    correlation,
    group,
    cells,
  });
  const isEnough = ({ cells, correlation }: WindowView): boolean =>
    cells.reduce((sum, { count }) => sum + count, 0) >= correlation.floor;
  const merge = (partition: string, additions: readonly WindowAddition[], oldest: Micros): WindowView[] =>
    additions
      .map((addition) => {
        const { window, correlation } = addition;
        const merged = mergeCells(windows.get(window)?.cells ?? [], addition);
        const anchor = addition.cells.find(({ label }) => correlation.anchors.has(Number(label)));
        if (correlation.judgedAt === 'close' && anchor !== undefined) {
          const due = closing.get(partition) ?? new Map<string, number>();
          const end = anchor.tick + correlation.timespan;
          closing.set(partition, due.set(window, Math.min(end, due.get(window) ?? end)));
        }
        const unjudged = (closing.get(partition)?.get(window) ?? Infinity) - correlation.timespan;
        const needed = Math.min(oldest, merged.at(-1)?.tick ?? 0) - keptSpan(correlation, lateness);
        const earlier = merged.filter(({ tick }) => tick < oldest);
        const kept = [
          ...trimCells(correlation, earlier, Math.min(needed, unjudged)),
          ...merged.slice(earlier.length),
        ];
        windows.set(window, view(addition, kept));
        return view(addition, merged);
      })
      .filter(isEnough);
  const placeOf = (window: string, since: Micros): string => `${window}\n${since}`;
  const plain = ({ endsAt: _, partition: __, isOver: ___, ...state }: KeptEpisode): EpisodeState => state;

  const goOn = (partition: string, run: EpisodeFirings): EpisodeState => {
    const { window, ends, timespan, measure, facts, told } = run;
    const end = ends[0]!;
    const later = (after: Micros): number => new Set(ends.filter((one) => one > after)).size;
    const latest = [...episodes.values()]
      .filter((one) => one.window === window && one.since <= end + timespan)
      .sort((a, b) => b.since - a.since)[0];
    const before =
      latest && end >= latest.since - timespan && end <= latest.until + timespan ? latest : undefined;
    const episode = before
      ? {
          ...before,
          until: Math.max(before.until, ends.at(-1)!),
          peak: Math.max(before.peak, measure),
          firings: before.firings + later(before.until),
        }
      : {
          window,
          since: end,
          until: ends.at(-1)!,
          peak: measure,
          firings: 1 + later(end),
          told,
          facts: facts(),
          isOver: false,
        };
    const state = { ...episode, partition, endsAt: episode.until + timespan + lateness };
    episodes.set(placeOf(window, state.since), state);
    return plain(state);
  };

  return {
    lose() {
      offsets = new Map();
      streams = new Map();
      windows = new Map();
      closing = new Map();
      episodes = new Map();
      owners = new Map();
      whole = new Set();
    },
    unfinished: (name) =>
      [...episodes.values()].filter((one) => one.partition === name && !one.isOver).length +
      (closing.get(name)?.size ?? 0),
    async take(partition) {
      owner += 1;
      owners.set(partition, owner);
      const mine = owner;
      const offset = offsets.get(partition);
      const own = async <T>(act: () => T): Promise<T> => {
        if (owners.get(partition) !== mine) throw fenced(partition);
        return act();
      };
      const owned: PartitionWindows = {
        offset,
        streams: new Map(streams.get(partition)),
        isWhole: whole.has(partition),
        markWhole: () => own(() => void whole.add(partition)),
        add: ({ expected, last, oldest, streams: gone, additions }) =>
          own(() => {
            if (offsets.get(partition) !== expected)
              throw moved(String(offsets.get(partition) ?? ''), String(expected ?? ''));
            streams.set(partition, new Map([...(streams.get(partition) ?? []), ...gone]));
            const views = merge(partition, additions, oldest);
            offsets.set(partition, last);
            return views;
          }),
        look: (additions) =>
          own(() => additions.map((one) => view(one, windows.get(one.window)?.cells ?? [])).filter(isEnough)),
        set: (additions) => own(() => merge(partition, additions, oldestOf(additions))),
        continueEpisodes: (firings) => own(() => firings.map((firing) => goOn(partition, firing))),
        markTold: (told) =>
          own(() => {
            for (const { window, since } of told) {
              const place = placeOf(window, since);
              const episode = episodes.get(place);
              if (episode) episodes.set(place, { ...episode, told: true });
            }
          }),
        ending: (upTo, most) =>
          own(() =>
            [...episodes.values()]
              .filter((one) => one.endsAt <= upTo && one.partition === partition && !one.isOver)
              .sort((a, b) => a.endsAt - b.endsAt)
              .slice(0, most)
              .map(plain),
          ),
        close: (ended) =>
          own(() => {
            for (const { window, since, until } of ended) {
              const place = placeOf(window, since);
              const episode = episodes.get(place);
              if (episode?.until === until) episodes.set(place, { ...episode, isOver: true });
            }
          }),
        closing: (upTo, most) =>
          own(() =>
            [...(closing.get(partition) ?? [])]
              .filter(([, end]) => end <= upTo)
              .sort(([, a], [, b]) => a - b)
              .slice(0, most)
              .map(([window, endedAt]) => ({ view: windows.get(window)!, endedAt })),
          ),
        closed: (closed, upTo) =>
          own(() => {
            const due = closing.get(partition);
            for (const { window, next } of closed) {
              if ((due?.get(window) ?? Number.POSITIVE_INFINITY) > upTo) continue;
              if (next === undefined) due?.delete(window);
              else due?.set(window, next);
            }
          }),
      };
      return owned;
    },
  };
}

const oldestOf = (additions: readonly WindowAddition[]): Micros =>
  Math.min(...additions.map(({ cells }) => cells[0]?.tick ?? 0));
