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
  const fed = feedsOf(correlations);
  const matches: Match[] = [];
  const windows = new Map<string, GrowingWindow>();
  events.forEach((event, index) => {
    for (const detection of detections) {
      if (!detection.matches(event)) continue;
      if (detection.alerts) matches.push({ detection, event, index });
      for (const { correlation, source, slot } of fed.get(detection.id) ?? []) {
        const values = source.groupOf(event);
        if (values === undefined) continue;
        const label = labelOf(correlation, source, slot, event);
        if (label === undefined) continue;
        const tick = Math.floor(timeOf(event, index) / correlation.cellWidth) * correlation.cellWidth;
        const window = growing(windows, correlation, [event.org_id ?? '', ...values]);
        window.count(tick, label, event.event_id ?? NO_ID, index);
      }
    }
  });
  const additions = [...windows.values()].map((window) => window.addition('add')).filter(isUnsettled);
  return { matches, additions };
}

/** What firings mean to the correlations that count them. Of each correlation that fired, to those of the next depth up. */
export function foldFirings(
  { correlations }: RuleSet,
  firings: readonly Firing[],
): readonly WindowAddition[] {
  const fed = feedsOf(correlations);
  const windows = new Map<string, GrowingWindow>();
  firings.forEach((firing, index) => {
    for (const { correlation, source, slot } of fed.get(firing.correlation.id) ?? []) {
      const tick = Math.floor(firing.end / correlation.cellWidth) * correlation.cellWidth;
      const group = [firing.group[0] ?? '', ...(source.groupFrom ?? []).map((at) => firing.group[at] ?? '')];
      const label = correlation.type === 'event_count' ? '' : String(slot);
      growing(windows, correlation, group).count(tick, label, firing.eventIds.at(-1) ?? NO_ID, index);
    }
  });
  return [...windows.values()].map((window) => window.addition('set'));
}

const NO_ID = new Uint8Array(16);

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

/** A window as a batch fills it. */
interface GrowingWindow {
  /** An event counts once in a cell, though several rules of the correlation may hold for it. */
  count(tick: Micros, label: string, eventId: Uint8Array, index: number): void;
  addition(merge: WindowAddition['merge']): WindowAddition;
}

function growing(
  windows: Map<string, GrowingWindow>,
  correlation: Correlation,
  group: readonly string[],
): GrowingWindow {
  const key = windowKey(correlation, group);
  const known = windows.get(key);
  if (known !== undefined) return known;
  const cells = new Map<string, { cell: Cell; lastIndex: number }>();
  const made: GrowingWindow = {
    count(tick, label, eventId, index) {
      const at = `${tick}\n${label}`;
      const filled = cells.get(at);
      if (filled === undefined) {
        cells.set(at, { cell: { tick, label, count: 1, eventId }, lastIndex: index });
      } else if (filled.lastIndex !== index) {
        filled.cell = { ...filled.cell, count: filled.cell.count + 1 };
        filled.lastIndex = index;
      }
    },
    addition(merge) {
      const sorted = [...cells.values()].map(({ cell }) => cell).sort(compareCells);
      const counted = merge === 'set' ? sorted.map((cell) => ({ ...cell, count: 1 })) : sorted;
      return { window: key, correlation, group, cells: counted, merge };
    },
  };
  windows.set(key, made);
  return made;
}

/** The key of a window: equal for equal groups, whatever the process. */
export function windowKey({ id }: Correlation, group: readonly string[]): string {
  return JSON.stringify([id, ...group]);
}

/**
 * A call that was decided and ended inside one batch needs no window: `call_id` is given once, so nothing else can come to
 * its group. Almost all calls are like that.
 */
function isUnsettled(addition: WindowAddition): boolean {
  const { correlation, cells } = addition;
  if (correlation.judgedAt !== 'close' || !correlation.groupBy.includes('call_id')) return true;
  const begins = cells.some(({ label }) => correlation.anchors.has(Number(label)));
  return !begins || closesNext(addition, Number.NEGATIVE_INFINITY) !== undefined;
}
