import { closesNext } from './judge-window.ts';
import type { Correlation, Micros, RuleEvent } from './rule.ts';
import { type Cell, compareCells, type WindowAddition, windowKey } from './window.ts';

/** A window as a batch fills it. Every call touches several, so what is done for each event is little. */
export interface GrowingWindow {
  readonly correlation: Correlation;
  readonly group: readonly string[];
  /** Of the correlation's windows with this group: for a baseline the hour of the week, else empty. */
  readonly part: string;
  /** As they came: mostly by tick, and equal ones mostly beside each other. */
  cells: GrowingCell[];
}

export interface GrowingCell {
  readonly tick: Micros;
  readonly label: string;
  count: number;
  readonly eventId: Uint8Array;
  /** Place in the batch of the event that was counted last. */
  lastIndex: number;
}

const NO_ID = new Uint8Array(16);

/** An event counts once in a cell, though several rules of the correlation may hold for it. */
export function countIn(
  cells: GrowingCell[],
  tick: Micros,
  label: string,
  event: Pick<RuleEvent, 'event_id'>,
  index: number,
): void {
  const last = cells[cells.length - 1];
  if (last === undefined || last.tick !== tick || last.label !== label) {
    cells.push({ tick, label, count: 1, eventId: event.event_id?.slice() ?? NO_ID, lastIndex: index });
  } else if (last.lastIndex !== index) {
    last.count += 1;
    last.lastIndex = index;
  }
}

export function additionOf(
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

/** `call_id` is given once: nothing comes to such a group but the decision and the outcome of its call. */
export function settlesAlone({ judgedAt, groupBy }: Correlation): boolean {
  return judgedAt === 'close' && groupBy.includes('call_id');
}

/** A call that was decided and ended inside one batch needs no window. Almost all calls are like that. */
export function isUnsettled(addition: WindowAddition): boolean {
  const { correlation, cells } = addition;
  if (!settlesAlone(correlation)) return true;
  const begins = cells.some(({ label }) => correlation.anchors.has(Number(label)));
  return !begins || closesNext(addition, Number.NEGATIVE_INFINITY) !== undefined;
}
