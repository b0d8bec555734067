import { hourOfWeek } from './baseline.ts';
import { closesNext } from './judge-window.ts';
import type { Correlation, CorrelationSource, Detection, Micros, RuleEvent, RuleSet } from './rule.ts';
import { type Cell, compareCells, type Firing, type WindowAddition, windowKey } from './window.ts';

/** What is kept of an event for which a detection that alerts by itself holds. */
export interface Match {
  readonly detection: Detection;
  readonly event: Pick<RuleEvent, 'event_id' | 'org_id' | 'agent_id'>;
  /** When it counts as having happened. */
  readonly time: Micros;
}

/** A batch, reduced to what it means to the rules. */
export interface FoldedBatch {
  readonly matches: readonly Match[];
  /** For correlations of depth 0. One for each window that the batch touches. */
  readonly additions: readonly WindowAddition[];
}

/** A batch that is being folded. */
export interface Folding {
  /** Nothing of the event is held when it returns, so it may be the same object each time. */
  take(event: RuleEvent, time: Micros): void;
  /** Once, at the end. */
  folded(): FoldedBatch;
}

/** Evaluates every detection over each event and counts, for each window, what the batch adds to it. */
export function startFolding({ detections, correlations }: RuleSet): Folding {
  const fed = detections.map(({ id }) => feedsOf(correlations).get(id) ?? NO_FEEDS);
  const matches: Match[] = [];
  const windows = new GrowingWindows();
  let index = 0;
  return {
    take(event, time) {
      for (let at = 0; at < detections.length; at += 1) {
        const detection = detections[at] as Detection;
        if (!detection.matches(event)) continue;
        if (detection.alerts) matches.push({ detection, event: keptOf(event), time });
        for (const { correlation, source, slot } of fed[at] as readonly Feed[]) {
          const label = labelOf(correlation, source, slot, event);
          if (label === undefined) continue;
          const tick = tickOf(time, correlation);
          const window = windows.of(correlation, source, event, tick);
          if (window !== undefined) count(window, tick, label, event, index);
        }
      }
      index += 1;
    },
    folded() {
      const additions = windows
        .all()
        .filter((window) => mayBeOpen(window))
        .map((window) => additionOf(window, 'add'))
        .filter(isUnsettled);
      return { matches, additions };
    },
  };
}

function keptOf({ event_id, org_id, agent_id }: RuleEvent): Match['event'] {
  return {
    ...(event_id === undefined ? {} : { event_id }),
    ...(org_id === undefined ? {} : { org_id }),
    ...(agent_id === undefined ? {} : { agent_id }),
  };
}

/** The same for events that are there. @param timeOf when each counts as having happened; default its own time. */
export function foldBatch(
  rules: RuleSet,
  events: readonly RuleEvent[],
  timeOf: (event: RuleEvent, index: number) => Micros = ({ timestamp }) => timestamp ?? 0,
): FoldedBatch {
  const folding = startFolding(rules);
  for (const [index, event] of events.entries()) folding.take(event, timeOf(event, index));
  return folding.folded();
}

/** What firings mean to the correlations that count them. Of each correlation that fired, to those of the next depth up. */
export function foldFirings(
  { correlations }: RuleSet,
  firings: readonly Firing[],
): readonly WindowAddition[] {
  const fed = feedsOf(correlations);
  const windows = new GrowingWindows();
  firings.forEach((firing, index) => {
    for (const { correlation, source, slot } of fed.get(firing.correlation.id) ?? NO_FEEDS) {
      const group = (source.groupFrom ?? []).map((at) => firing.group[at] ?? '');
      const window = windows.named(correlation, [firing.group[0] ?? '', ...group]);
      const label = correlation.type === 'event_count' ? '' : String(slot);
      const event = { event_id: firing.eventIds.at(-1) ?? NO_ID };
      count(window, tickOf(firing.end, correlation), label, event, index);
    }
  });
  return windows.all().map((window) => additionOf(window, 'set'));
}

const NO_ID = new Uint8Array(16);
const NO_FEEDS: readonly Feed[] = [];

interface Feed {
  readonly correlation: Correlation;
  readonly source: CorrelationSource;
  readonly slot: number;
}

/** Which correlations count a rule, by the rule's id. Made once for each list of correlations. */
function feedsOf(correlations: readonly Correlation[]): ReadonlyMap<string, readonly Feed[]> {
  const known = feeds.get(correlations);
  if (known !== undefined) return known;
  const made = new Map<string, Feed[]>();
  for (const correlation of correlations) {
    correlation.sources.forEach((source, slot) => {
      const list = made.get(source.rule);
      if (list === undefined) made.set(source.rule, [{ correlation, source, slot }]);
      else list.push({ correlation, source, slot });
    });
  }
  feeds.set(correlations, made);
  return made;
}
const feeds = new WeakMap<readonly Correlation[], ReadonlyMap<string, readonly Feed[]>>();

function labelOf(
  { type }: Correlation,
  source: CorrelationSource,
  slot: number,
  event: RuleEvent,
): string | undefined {
  if (type === 'event_count' || type === 'baseline') return '';
  return type === 'value_count' ? source.valueOf?.(event) : String(slot);
}

const tickOf = (time: Micros, { cellWidth }: Correlation): Micros =>
  cellWidth === 1 ? time : Math.floor(time / cellWidth) * cellWidth;

/** The hours of a baseline are held against those a week apart, so each hour of the week is a window of its own. */
const partOf = ({ baseline }: Correlation, tick: Micros): string =>
  baseline === undefined ? '' : String(hourOfWeek(tick));

/** A window as a batch fills it. Every call touches several, so what is done for each event is little. */
interface GrowingWindow {
  readonly correlation: Correlation;
  readonly group: readonly string[];
  /** Of the correlation's windows with this group; see `partOf`. */
  readonly part: string;
  /** As they came: mostly by tick, and equal ones mostly beside each other. */
  readonly cells: GrowingCell[];
}

interface GrowingCell {
  readonly tick: Micros;
  readonly label: string;
  count: number;
  readonly eventId: Uint8Array;
  /** Place in the batch of the event that was counted last. */
  lastIndex: number;
}

/** Windows by the values of their group, one Map in another: a text whose hash is known is looked up faster than one is joined. */
interface Branch {
  /** Most branches are leaves. */
  next: Map<string, Branch> | undefined;
  window: GrowingWindow | undefined;
}

class GrowingWindows {
  readonly #roots = new Map<Correlation, Branch>();
  readonly #all: GrowingWindow[] = [];

  /** The window that an event belongs to; undefined when a value of its group is absent. */
  of(
    correlation: Correlation,
    { groupFields }: CorrelationSource,
    event: RuleEvent,
    tick: Micros,
  ): GrowingWindow | undefined {
    let branch = branchAt(this.#root(correlation), event.org_id ?? '');
    for (const field of groupFields) {
      const value = field(event);
      if (value === undefined) return undefined;
      branch = branchAt(branch, value);
    }
    const part = partOf(correlation, tick);
    if (part !== '') branch = branchAt(branch, part);
    if (branch.window !== undefined) return branch.window;
    const values = groupFields.map((field) => field(event) ?? '');
    return this.#made(branch, correlation, [event.org_id ?? '', ...values], part);
  }

  named(correlation: Correlation, group: readonly string[]): GrowingWindow {
    const branch = group.reduce(branchAt, this.#root(correlation));
    return branch.window ?? this.#made(branch, correlation, group, '');
  }

  all(): readonly GrowingWindow[] {
    return this.#all;
  }

  #root(correlation: Correlation): Branch {
    let root = this.#roots.get(correlation);
    if (root === undefined) {
      root = { next: undefined, window: undefined };
      this.#roots.set(correlation, root);
    }
    return root;
  }

  #made(branch: Branch, correlation: Correlation, group: readonly string[], part: string): GrowingWindow {
    const window: GrowingWindow = { correlation, group, part, cells: [] };
    branch.window = window;
    this.#all.push(window);
    return window;
  }
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

/** An event counts once in a cell, though several rules of the correlation may hold for it. */
function count({ cells }: GrowingWindow, tick: Micros, label: string, event: RuleEvent, index: number): void {
  const last = cells.at(-1);
  if (last === undefined || last.tick !== tick || last.label !== label) {
    cells.push({ tick, label, count: 1, eventId: event.event_id ?? NO_ID, lastIndex: index });
  } else if (last.lastIndex !== index) {
    last.count += 1;
    last.lastIndex = index;
  }
}

function additionOf(
  { correlation, group, part, cells }: GrowingWindow,
  merge: WindowAddition['merge'],
): WindowAddition {
  const merged: Cell[] = [];
  for (const { tick, label, count: counted, eventId } of cells.sort(compareCells)) {
    const last = merged.at(-1);
    const isSame = last !== undefined && last.tick === tick && last.label === label;
    const together = merge === 'set' ? 1 : counted + (isSame ? last.count : 0);
    if (isSame) merged[merged.length - 1] = { ...last, count: together };
    else merged.push({ tick, label, count: together, eventId });
  }
  return { window: windowKey(correlation, group, part), correlation, group, cells: merged, merge };
}

/** Whether a window may need to be told of: false only for the plainest of those that `isUnsettled` finds settled. */
function mayBeOpen({ correlation, cells }: GrowingWindow): boolean {
  const [begun, ended] = cells;
  if (cells.length !== 2 || begun === undefined || ended === undefined || !settlesAlone(correlation))
    return true;
  const { anchors, timespan, sources } = correlation;
  return !(
    sources.length === 2 &&
    anchors.has(Number(begun.label)) &&
    !anchors.has(Number(ended.label)) &&
    ended.tick >= begun.tick &&
    ended.tick <= begun.tick + timespan
  );
}

/** `call_id` is given once: nothing comes to such a group but the decision and the outcome of its call. */
function settlesAlone({ judgedAt, groupBy }: Correlation): boolean {
  return judgedAt === 'close' && groupBy.includes('call_id');
}

/** A call that was decided and ended inside one batch needs no window. Almost all calls are like that. */
function isUnsettled(addition: WindowAddition): boolean {
  const { correlation, cells } = addition;
  if (!settlesAlone(correlation)) return true;
  const begins = cells.some(({ label }) => correlation.anchors.has(Number(label)));
  return !begins || closesNext(addition, Number.NEGATIVE_INFINITY) !== undefined;
}
