import { randomUUID } from 'node:crypto';
import type { Redis, RedisScript } from '@cairn/adapters';
import { bytesOfHex, hexOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import {
  type Cell,
  type Correlation,
  keptSpan,
  type Micros,
  type WindowAddition,
  type WindowView,
} from '@cairn/rules';
import {
  ADD,
  CLOSE,
  CLOSED,
  CLOSING,
  ENDING,
  EPISODES,
  GRACE_MS,
  TAKE,
  TOLD,
  WHOLE,
} from './window-scripts.ts';
import type { ClosedWindow, ClosingWindow, EpisodeState, PartitionWindows, Windows } from './windows.ts';

export interface WindowsInRedisOptions {
  readonly redis: Pick<Redis, 'run'>;
  readonly deployment: string;
  /** How far behind the newest event of its window an event may come and still be counted as on time. */
  readonly lateness: Micros;
  /** The correlation of this id, among the rules that run now. */
  readonly correlationOf: (id: string) => Correlation | undefined;
}

/** Windows in one call at most; more go in several, of which the last moves the offset. */
const CELLS_AT_ONCE = 20_000;
/** Firings in one call at most. */
const FIRINGS_AT_ONCE = 2_000;

/** Fits Redis to what alerting asks of a store of windows; window-scripts.ts draws the keys. */
export function windowsInRedis(options: WindowsInRedisOptions): Windows {
  const { redis } = options;
  const prefix = `{cairn:${options.deployment}}:`;
  return {
    async take(partition) {
      const owner = randomUUID();
      const head = [prefix, partition, owner];
      const taken = (await redis.run(TAKE, [`${prefix}owner`], head)) as [string, string[], string];
      const [offset, streams, whole] = taken;
      return {
        offset: offset === '' ? undefined : Number(offset),
        streams: mapOf(streams),
        isWhole: whole === '1',
        ...ownedWindows(options, async (script, args) => {
          const [outcome, answer] = (await redis.run(script, [`${prefix}owner`], [...head, ...args])) as [
            string,
            unknown,
          ];
          if (outcome === 'fenced') throw fenced(partition);
          if (outcome === 'moved') throw moved(String(answer), String(args[1]));
          return answer;
        }),
      };
    },
  };
}

type Run = (script: RedisScript, args: readonly (string | number)[]) => Promise<unknown>;

function ownedWindows(
  { lateness, correlationOf }: WindowsInRedisOptions,
  run: Run,
): Omit<PartitionWindows, 'offset' | 'streams' | 'isWhole'> {
  const merge = async (
    additions: readonly WindowAddition[],
    head: readonly (string | number)[],
    streams: ReadonlyMap<string, string> = new Map(),
  ): Promise<WindowView[]> => {
    const [ordered, text] = additionsAsText(additions, lateness);
    const args = [...head, JSON.stringify([...streams].flat()), text];
    return viewsOf(ordered, (await run(ADD, args)) as readonly (number | readonly string[])[]);
  };
  /** Parts of a batch that may be large; each is one step. */
  const inParts = async (
    mode: 'set' | 'look',
    additions: readonly WindowAddition[],
  ): Promise<WindowView[]> => {
    const views: WindowView[] = [];
    for (const part of partsOf(additions)) {
      const oldest = Math.min(...part.map(({ cells }) => cells[0]?.tick ?? 0));
      views.push(...(await merge(part, [mode, '', '', oldest])));
    }
    return views;
  };
  const closed = async (windows: readonly ClosedWindow[], upTo: Micros): Promise<void> => {
    if (windows.length === 0) return;
    const args = windows.flatMap(({ window, next }) => {
      const [id = ''] = JSON.parse(window) as string[];
      const correlation = correlationOf(id);
      return [window, next ?? '', correlation === undefined ? GRACE_MS : liveMsOf(correlation, lateness)];
    });
    await run(CLOSED, [upTo, ...args]);
  };
  return {
    async markWhole() {
      await run(WHOLE, []);
    },
    // However large, a batch is one step: its offset and all of its counts.
    add: ({ expected, last, oldest, streams, additions }) =>
      merge(additions, ['add', expected ?? '', last, oldest], streams),
    look: (additions) => inParts('look', additions),
    set: (additions) => inParts('set', additions),
    async continueEpisodes(firings) {
      const states: EpisodeState[] = [];
      for (let at = 0; at < firings.length; at += FIRINGS_AT_ONCE) {
        const args = firings
          .slice(at, at + FIRINGS_AT_ONCE)
          .flatMap(({ window, ends, timespan, measure, facts, told }) => [
            window,
            ends.join(' '),
            timespan,
            measure,
            facts(),
            told ? '1' : '0',
          ]);
        for (const state of (await run(EPISODES, [lateness, ...args])) as string[][])
          states.push(episodeOf(state));
      }
      return states;
    },
    async markTold(episodes) {
      if (episodes.length === 0) return;
      await run(
        TOLD,
        episodes.flatMap(({ window, since }) => [window, since]),
      );
    },
    ending: async (upTo, most) => ((await run(ENDING, [upTo, most])) as string[][]).map(episodeOf),
    async close(episodes) {
      if (episodes.length === 0) return;
      await run(
        CLOSE,
        episodes.flatMap(({ window, since, until }) => [window, since, until]),
      );
    },
    async closing(upTo, most) {
      const windows: ClosingWindow[] = [];
      for (const found of (await run(CLOSING, [upTo, most])) as [string, string, string[]][]) {
        const [window, endedAt, fields] = found;
        const [id = '', ...group] = JSON.parse(window) as string[];
        const correlation = correlationOf(id);
        // Its rule was taken out meanwhile.
        if (correlation === undefined) await closed([{ window, next: undefined }], upTo);
        else
          windows.push({
            view: { window, correlation, group, cells: cellsOf(fields) },
            endedAt: Number(endedAt),
          });
      }
      return windows;
    },
    closed,
  };
}

/** The additions by correlation, in the order in which they come, and as the script reads them. */
function additionsAsText(
  additions: readonly WindowAddition[],
  lateness: Micros,
): [ordered: WindowAddition[], text: string] {
  const groups = Map.groupBy(additions, ({ correlation, merge }) => `${merge} ${correlation.id}`);
  const ordered: WindowAddition[] = [];
  const lists = [...groups.values()].map((group) => {
    const [{ correlation, merge }] = group as [WindowAddition];
    const keep = keptSpan(correlation, lateness);
    const liveMs = liveMsOf(correlation, lateness);
    const closingSpan = correlation.judgedAt === 'close' ? correlation.timespan : 0;
    const windows = group.map((addition) => {
      ordered.push(addition);
      return windowAsList(addition);
    });
    return [merge, correlation.floor, keep, correlation.cellsMax, liveMs, closingSpan, windows];
  });
  return [ordered, JSON.stringify(lists)];
}

/** A window that is full is not told of again until its cell is over. */
const liveMsOf = (correlation: Correlation, lateness: Micros): number =>
  Math.ceil((keptSpan(correlation, lateness) + correlation.cellWidth) / 1_000) + GRACE_MS;

function windowAsList({ window, correlation, cells }: WindowAddition): (string | number)[] {
  const anchor = cells.find(({ label }) => correlation.anchors.has(Number(label)));
  const isClosing = correlation.judgedAt === 'close' && anchor !== undefined;
  const list: (string | number)[] = [
    window,
    isClosing ? String(anchor.tick + correlation.timespan) : '',
    String(cells.at(-1)?.tick ?? 0),
  ];
  for (const { tick, label, count, eventId } of cells)
    list.push(`${tick}:${label}`, `${count}:${hexOf(eventId)}`, count);
  return list;
}

function* partsOf(additions: readonly WindowAddition[]): Generator<WindowAddition[]> {
  let part: WindowAddition[] = [];
  let cells = 0;
  for (const addition of additions) {
    part.push(addition);
    cells += addition.cells.length;
    if (cells < CELLS_AT_ONCE) continue;
    yield part;
    part = [];
    cells = 0;
  }
  if (part.length > 0) yield part;
}

function viewsOf(
  additions: readonly WindowAddition[],
  found: readonly (number | readonly string[])[],
): WindowView[] {
  const views: WindowView[] = [];
  for (let at = 0; at < found.length; at += 2) {
    const { window, correlation, group } = additions[found[at] as number]!;
    views.push({ window, correlation, group, cells: cellsOf(found[at + 1] as readonly string[]) });
  }
  return views;
}

function cellsOf(fields: readonly string[]): Cell[] {
  const cells: Cell[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const [, tick, label] = /^(-?\d+):(.*)$/s.exec(fields[at]!) ?? [];
    if (tick === undefined || label === undefined) continue;
    const [count = '', id = ''] = fields[at + 1]!.split(':');
    cells.push({ tick: Number(tick), label, count: Number(count), eventId: bytesOfHex(id) });
  }
  return cells.sort((a, b) => a.tick - b.tick || (a.label < b.label ? -1 : 1));
}

function mapOf(pairs: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (let at = 0; at < pairs.length; at += 2) map.set(pairs[at]!, pairs[at + 1]!);
  return map;
}

function episodeOf([window, since, until, peak, firings, told, facts]: readonly string[]): EpisodeState {
  return {
    window: window!,
    since: Number(since),
    until: Number(until),
    peak: Number(peak),
    firings: Number(firings),
    told: told === '1',
    facts: facts!,
  };
}

/** Another process owns the partition, or the store has lost what it knew. */
export function fenced(partition: string): Failure {
  return new Failure({
    code: 'windows.fenced',
    retry: 'yes',
    message: `the windows of ${partition} belong to another owner, or were lost`,
    mend: 'They are taken over again from where they stand.',
  });
}

/** Another offset was counted last than the one that was counted here. */
export function moved(found: string, expected: string): Failure {
  return new Failure({
    code: 'windows.moved',
    retry: 'yes',
    message: `the windows stand at offset ${found || 'none'}, and ${expected || 'none'} was expected`,
    mend: 'They are taken up from where they stand.',
  });
}
