import { CallsOfBatch } from './calls-of-batch.ts';
import { ENUM_COLUMNS } from './field.ts';
import {
  additionOf,
  countIn,
  type GrowingCell,
  type GrowingWindow,
  isUnsettled,
  settlesAlone,
} from './growing-window.ts';
import { type KnownWindow, KnownWindows, partOf } from './known-windows.ts';
import type {
  Correlation,
  CorrelationSource,
  Detection,
  FieldName,
  Micros,
  RuleEvent,
  RuleSet,
} from './rule.ts';
import { candidateFinder } from './select-detections.ts';
import type { Firing, WindowAddition } from './window.ts';

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
  /** Cells and matches so far. */
  readonly size: number;
  /** Once, at the end. */
  folded(): FoldedBatch;
}

/** Folds the batches of one log, one after the other, and remembers between them what makes the next one cheaper. */
export interface BatchFolder {
  /** Begins a batch; the one before is over. */
  begin(): Folding;
  /**
   * What the batch before added is in the store, or will be before any that comes later: cells that are full then are left out
   * of those.
   */
  counted(): void;
}

/** Evaluates every detection over each event and counts, for each window, what a batch adds to it. */
export function createFolder({ detections, correlations }: RuleSet): BatchFolder {
  const feeds = feedsOf(correlations);
  const steps = detections.map((detection) => stepOf(detection, feeds.get(detection.id) ?? []));
  const candidatesFor = candidateFinder(detections);
  const windows = new KnownWindows();
  const calls = new Map<Correlation, CallsOfBatch>();
  for (const correlation of correlations)
    if (isOfCalls(correlation)) calls.set(correlation, new CallsOfBatch());

  /** @returns whether it is counted: a call has its place in the table, or a window like any other. */
  const countCall = (
    { correlation, source, place }: Feed,
    event: RuleEvent,
    tick: Micros,
    index: number,
  ): boolean => {
    const { call_id: callId, org_id: org = '', event_id: eventId = NO_ID } = event;
    if (callId === null || callId === undefined) return true;
    const table = calls.get(correlation)!;
    if (table.take(org, callId, tick, place, eventId, index)) return true;
    const window = windows.of(correlation, source, event, tick);
    for (const cell of table.handOver(org, callId))
      if (window) windows.cellsFor(window, cell.tick, cell.label)?.push(cell);
    return false;
  };

  return {
    begin() {
      windows.begin();
      for (const table of calls.values()) table.clear();
      const matches: Match[] = [];
      let cellCount = 0;
      let index = 0;
      const count = (cells: GrowingCell[], tick: Micros, label: string, event: RuleEvent): void => {
        const before = cells.length;
        countIn(cells, tick, label, event, index);
        cellCount += cells.length - before;
      };
      const take = (event: RuleEvent, time: Micros): void => {
        const { places, isSure } = candidatesFor(event);
        for (let at = 0; at < places.length; at += 1) {
          const step = steps[places[at] as number] as Step;
          const { detection, routed, others } = step;
          if (isSure[at] !== true && !detection.matches(event)) continue;
          if (detection.alerts) matches.push({ detection, event: keptOf(event), time });
          if (routed.length > 0) {
            const route = routeOf(step, windows, event);
            for (let to = 0; to < routed.length; to += 1) {
              const feed = routed[to] as Feed;
              const label = labelOf(feed, event);
              if (label === undefined) continue;
              const tick = tickOf(time, feed.correlation);
              if (route.fullTicks[to] === tick && route.fullLabels[to] === label) continue;
              const window = windowOn(route, to, windows, feed, event, tick);
              if (window === undefined) continue;
              const cells = windows.cellsFor(window, tick, label);
              if (cells !== undefined) count(cells, tick, label, event);
              else {
                route.fullTicks[to] = tick;
                route.fullLabels[to] = label;
              }
            }
          }
          for (const feed of others) {
            const label = labelOf(feed, event);
            if (label === undefined) continue;
            const tick = tickOf(time, feed.correlation);
            if (feed.isOfCalls && countCall(feed, event, tick, index)) continue;
            const window = windows.of(feed.correlation, feed.source, event, tick);
            const cells = window && windows.cellsFor(window, tick, label);
            if (cells !== undefined) count(cells, tick, label, event);
          }
        }
        index += 1;
      };
      const folded = (): FoldedBatch => {
        const open: GrowingWindow[] = [...windows.touched];
        for (const [correlation, table] of calls) {
          const [source] = correlation.sources as [CorrelationSource];
          for (const { org, callId, cells } of table.open(correlation.anchors, correlation.timespan)) {
            const values = source.groupFields.map((field) => field({ call_id: callId }) ?? '');
            open.push({ correlation, group: [org, ...values], part: '', cells });
          }
        }
        return { matches, additions: open.map((window) => additionOf(window, 'add')).filter(isUnsettled) };
      };
      return {
        take,
        get size() {
          return matches.length + cellCount;
        },
        folded,
      };
    },
    counted: () => windows.counted(),
  };
}

function keptOf({ event_id, org_id, agent_id }: RuleEvent): Match['event'] {
  return {
    ...(event_id === undefined ? {} : { event_id: event_id.slice() }),
    ...(org_id === undefined ? {} : { org_id }),
    ...(agent_id === undefined ? {} : { agent_id }),
  };
}

/** The same for events that are there, of one batch alone. @param timeOf when each counts as having happened; default its own time. */
export function foldBatch(
  rules: RuleSet,
  events: readonly RuleEvent[],
  timeOf: (event: RuleEvent, index: number) => Micros = ({ timestamp }) => timestamp ?? 0,
): FoldedBatch {
  const folding = createFolder(rules).begin();
  for (const [index, event] of events.entries()) folding.take(event, timeOf(event, index));
  return folding.folded();
}

/** What firings mean to the correlations that count them. Of each correlation that fired, to those of the next depth up. */
export function foldFirings(
  { correlations }: RuleSet,
  firings: readonly Firing[],
): readonly WindowAddition[] {
  const fed = feedsOf(correlations);
  const windows = new KnownWindows();
  windows.begin();
  firings.forEach((firing, index) => {
    for (const { correlation, source, slot } of fed.get(firing.correlation.id) ?? NO_FEEDS) {
      const group = (source.groupFrom ?? []).map((at) => firing.group[at] ?? '');
      const window = windows.named(correlation, [firing.group[0] ?? '', ...group], '');
      const label = correlation.type === 'event_count' ? '' : slot;
      const tick = tickOf(firing.end, correlation);
      const cells = windows.cellsFor(window, tick, label);
      if (cells !== undefined)
        countIn(cells, tick, label, { event_id: firing.eventIds.at(-1) ?? NO_ID }, index);
    }
  });
  return windows.touched.map((window) => additionOf(window, 'set'));
}

const NO_ID = new Uint8Array(16);
const NO_FEEDS: readonly Feed[] = [];

/** A correlation that counts a rule. */
interface Feed {
  readonly correlation: Correlation;
  readonly source: CorrelationSource;
  /** Place of the source, and the same in decimal. */
  readonly place: number;
  readonly slot: string;
  readonly isOfCalls: boolean;
}

/** Which correlations count a rule, by the rule's id. Made once for each list of correlations. */
function feedsOf(correlations: readonly Correlation[]): ReadonlyMap<string, readonly Feed[]> {
  const known = feeds.get(correlations);
  if (known !== undefined) return known;
  const made = new Map<string, Feed[]>();
  for (const correlation of correlations) {
    correlation.sources.forEach((source, place) => {
      const feed = { correlation, source, place, slot: String(place), isOfCalls: isOfCalls(correlation) };
      const list = made.get(source.rule);
      if (list === undefined) made.set(source.rule, [feed]);
      else list.push(feed);
    });
  }
  feeds.set(correlations, made);
  return made;
}
const feeds = new WeakMap<readonly Correlation[], ReadonlyMap<string, readonly Feed[]>>();

/** Its groups are calls, which `CallsOfBatch` finds by the bytes of their ids. */
const isOfCalls = (correlation: Correlation): boolean =>
  settlesAlone(correlation) &&
  correlation.sources.length === 2 &&
  correlation.sources.every(({ groupColumns }) => groupColumns.length === 1 && groupColumns[0] === 'call_id');

/** What a match of one detection leads to. */
interface Step {
  readonly detection: Detection;
  /** Those whose groups are put together of `columns`, which come again and again. */
  readonly routed: readonly Feed[];
  readonly columns: readonly FieldName[];
  readonly others: readonly Feed[];
  /** Where each combination of the columns leads. */
  routes: Branch;
  /** Of the windows that the routes hold. */
  generation: number;
}

/** Where the routed feeds count, each at its place. */
interface Route {
  /** Absent until looked for, null where a value of the group is absent. */
  readonly windows: (KnownWindow | null | undefined)[];
  /** A cell that the store has in full: by its tick and its label. */
  readonly fullTicks: Micros[];
  readonly fullLabels: string[];
}

interface Branch {
  readonly next: Map<unknown, Branch>;
  route: Route | undefined;
}

const branch = (): Branch => ({ next: new Map(), route: undefined });

/** Names of what acts and what is acted upon: fewer than events by far. Those come first of which there are least. */
const RECURRING: readonly FieldName[] = [
  ...ENUM_COLUMNS,
  ...(['environment', 'gateway_version', 'protocol_version', 'method', 'gateway_id', 'service'] as const),
  ...(['tool_name', 'client_name', 'client_version', 'agent_version', 'agent_id', 'user_id'] as const),
];

function stepOf(detection: Detection, fed: readonly Feed[]): Step {
  const routed = fed.filter(({ source }) =>
    source.groupColumns.every((column) => RECURRING.includes(column)),
  );
  const columns = new Set(routed.flatMap(({ source }) => [...source.groupColumns]));
  return {
    detection,
    routed,
    columns: RECURRING.filter((column) => columns.has(column)),
    others: fed.filter((feed) => !routed.includes(feed)),
    routes: branch(),
    generation: 0,
  };
}

/** Where an event with these values leads: one look-up for all correlations that count the detection. */
function routeOf(step: Step, windows: KnownWindows, event: RuleEvent): Route {
  if (step.generation !== windows.generation) {
    step.routes = branch();
    step.generation = windows.generation;
  }
  let at = next(step.routes, event.org_id);
  for (const column of step.columns) at = next(at, event[column]);
  if (at.route === undefined) {
    at.route = {
      windows: step.routed.map(() => undefined),
      fullTicks: step.routed.map(() => Number.NaN),
      fullLabels: step.routed.map(() => ''),
    };
    windows.grow();
  }
  return at.route;
}

function next(from: Branch, value: unknown): Branch {
  let to = from.next.get(value);
  if (to === undefined) {
    to = branch();
    from.next.set(value, to);
  }
  return to;
}

function windowOn(
  route: Route,
  place: number,
  windows: KnownWindows,
  { correlation, source }: Feed,
  event: RuleEvent,
  tick: Micros,
): KnownWindow | undefined {
  const known = route.windows[place];
  if (known === null) return undefined;
  if (known !== undefined && known.part === partOf(correlation, tick)) return known;
  const window = windows.of(correlation, source, event, tick);
  route.windows[place] = window ?? null;
  return window;
}

function labelOf({ correlation: { type }, source, slot }: Feed, event: RuleEvent): string | undefined {
  if (type === 'event_count' || type === 'baseline') return '';
  return type === 'value_count' ? source.valueOf?.(event) : slot;
}

const tickOf = (time: Micros, { cellWidth }: Correlation): Micros =>
  cellWidth === 1 ? time : Math.floor(time / cellWidth) * cellWidth;
