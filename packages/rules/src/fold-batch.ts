import { closesNext } from './judge-window.ts';
import type { Correlation, CorrelationSource, Detection, Micros, RuleEvent, RuleSet } from './rule.ts';
import { type Cell, compareCells, type Firing, type WindowAddition } from './window.ts';

/** An event for which a detection that alerts by itself holds. */
export interface Match {
  readonly detection: Detection;
  readonly event: RuleEvent;
  /** Its place in the batch. */
  readonly index: number;
}

/** A batch, reduced to what it means to the rules. */
export interface FoldedBatch {
  readonly matches: readonly Match[];
  /** For correlations of depth 0. One for each window that the batch touches. */
  readonly additions: readonly WindowAddition[];
}

/**
 * Evaluates every detection over a batch and counts, for each window, what the batch adds to it.
 *
 * @param timeOf event time, microseconds; where the caller does not trust an event's own, it says another.
 */
export function foldBatch(
  { detections, correlations }: RuleSet,
  events: readonly RuleEvent[],
  timeOf: (event: RuleEvent, index: number) => Micros = (event) => event.timestamp ?? 0,
): FoldedBatch {
  const fed = detections.map(({ id }) => feedsOf(correlations).get(id) ?? NO_FEEDS);
  const matches: Match[] = [];
  const windows = new GrowingWindows();
  events.forEach((event, index) => {
    const time = timeOf(event, index);
    for (let at = 0; at < detections.length; at += 1) {
      const detection = detections[at] as Detection;
      if (!detection.matches(event)) continue;
      if (detection.alerts) matches.push({ detection, event, index });
      for (const { correlation, source, slot } of fed[at] as readonly Feed[]) {
        const values = source.groupOf(event);
        if (values === undefined) continue;
        const label = labelOf(correlation, source, slot, event);
        if (label === undefined) continue;
        const window = windows.of(correlation, event.org_id ?? '', values);
        count(window, tickOf(time, correlation), label, event.event_id ?? NO_ID, index);
      }
    }
  });
  const additions = windows
    .all()
    .filter((window) => mayBeOpen(window))
    .map((window) => additionOf(window, 'add'))
    .filter(isUnsettled);
  return { matches, additions };
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
      const window = windows.of(correlation, firing.group[0] ?? '', group);
      const label = correlation.type === 'event_count' ? '' : String(slot);
      count(window, tickOf(firing.end, correlation), label, firing.eventIds.at(-1) ?? NO_ID, index);
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

/** A window as a batch fills it. Every call touches several, so what is done for each event is little. */
interface GrowingWindow {
  readonly correlation: Correlation;
  readonly group: readonly string[];
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

class GrowingWindows {
  readonly #byCorrelation = new Map<Correlation, Map<string, GrowingWindow>>();

  of(correlation: Correlation, orgId: string, values: readonly string[]): GrowingWindow {
    let windows = this.#byCorrelation.get(correlation);
    if (windows === undefined) {
      windows = new Map();
      this.#byCorrelation.set(correlation, windows);
    }
    // With the lengths before them, no two lists of values are one text.
    let key = orgId;
    for (const value of values) key = `${key.length}:${key}${value}`;
    const known = windows.get(key);
    if (known !== undefined) return known;
    const made: GrowingWindow = { correlation, group: [orgId, ...values], cells: [] };
    windows.set(key, made);
    return made;
  }

  all(): GrowingWindow[] {
    return [...this.#byCorrelation.values()].flatMap((windows) => [...windows.values()]);
  }
}

/** An event counts once in a cell, though several rules of the correlation may hold for it. */
function count(
  { cells }: GrowingWindow,
  tick: Micros,
  label: string,
  eventId: Uint8Array,
  index: number,
): void {
  const last = cells.at(-1);
  if (last === undefined || last.tick !== tick || last.label !== label) {
    cells.push({ tick, label, count: 1, eventId, lastIndex: index });
  } else if (last.lastIndex !== index) {
    last.count += 1;
    last.lastIndex = index;
  }
}

function additionOf(
  { correlation, group, cells }: GrowingWindow,
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
  return { window: windowKey(correlation, group), correlation, group, cells: merged, merge };
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

/** The key of a window: equal for equal groups, whatever the process. */
export function windowKey({ id }: Correlation, group: readonly string[]): string {
  return JSON.stringify([id, ...group]);
}

/** A call that was decided and ended inside one batch needs no window. Almost all calls are like that. */
function isUnsettled(addition: WindowAddition): boolean {
  const { correlation, cells } = addition;
  if (!settlesAlone(correlation)) return true;
  const begins = cells.some(({ label }) => correlation.anchors.has(Number(label)));
  return !begins || closesNext(addition, Number.NEGATIVE_INFINITY) !== undefined;
}
