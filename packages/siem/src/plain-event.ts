import { visible } from '@cairn/session';
import { type AlertFacts, alertFactsOf } from './alert-facts.ts';
import type { StoredEvent } from './stored-event.ts';

/** Longest text that a record carries, in UTF-16 units: a keyword of Elasticsearch is searchable to this length. */
export const TEXT_MAX = 1_024;
/** Longest `detail`, which holds the facts of an alert or of the recorder as JSON and is only read. */
export const DETAIL_MAX = 8_192;
/** Most items of a list, and the longest text in one. */
export const ITEMS_MAX = 64;
const ITEM_MAX = 256;

/** An event whose texts are harmless and short, and the names of the fields that lost something by it. */
export interface PlainEvent {
  readonly event: StoredEvent;
  /** Of an alert event, what its `detail` says, as harmless; undefined of any other. */
  readonly alert: AlertFacts | undefined;
  /** Fields of which the record holds less than the event does; who wants the rest finds the event by its id. */
  readonly cut: readonly string[];
}

/**
 * Names, claims and errors come from agents, tools and servers. In no format may they move a cursor, hide or reorder text, end a
 * line or fill a disk: what could is shown as its code point, and long texts and lists are cut, which is said.
 */
export function plainEvent(stored: StoredEvent): PlainEvent {
  const cut: string[] = [];
  let isCut = false;
  const onCut = (): void => void (isCut = true);
  const event: Record<string, unknown> = {};
  for (const name in stored) {
    isCut = false;
    event[name] = plainValue(
      stored[name as keyof StoredEvent],
      name === 'detail' ? DETAIL_MAX : TEXT_MAX,
      onCut,
    );
    if (isCut) cut.push(name);
  }
  // Read before the texts are changed: what a code point is shown as is no escape of JSON.
  const facts = alertFactsOf(stored);
  const alert = facts && (plainValue(facts, TEXT_MAX, () => {}) as AlertFacts);
  return { event: event as unknown as StoredEvent, alert, cut };
}

function plainValue(value: unknown, most: number, onCut: () => void): unknown {
  if (typeof value === 'string') {
    const text = visible(value);
    if (text.length <= most) return text;
    onCut();
    return shortened(text, most);
  }
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    if (value.length === 0) return value;
    if (value.length > ITEMS_MAX) onCut();
    return value.slice(0, ITEMS_MAX).map((item) => plainValue(item, ITEM_MAX, onCut));
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, plainValue(inner, most, onCut)] as const),
  );
}

/** At most so many UTF-16 units with an ellipsis at the end, and no half of a character. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  return `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
