import { KIND_SYMBOLS } from '@cairn/event';
import { businessHoursTest } from './business-hours.ts';
import { compileItem, compileKeywords, type Surroundings } from './compile-item.ts';
import { parseCondition } from './condition.ts';
import {
  allConditions,
  anyCondition,
  conditionOver,
  decidedBy,
  type EventCondition,
  undecided,
} from './event-condition.ts';
import { didYouMean, RuleError } from './mistake.ts';
import {
  checkKeys,
  type Entry,
  entriesOf,
  entry,
  isMap,
  isSeq,
  itemsOf,
  type Node,
  startOf,
  textOf,
  textStart,
} from './node.ts';
import type { Detection, FieldName, RuleHead } from './rule.ts';

/** Compiles the `detection` of a rule. @throws RuleError at its first mistake. */
export function readDetection(
  head: RuleHead,
  entries: readonly Entry[],
  offset: number,
  placeholders: ReadonlyMap<string, readonly string[]>,
): Omit<Detection, 'alerts'> {
  const fieldsRead = new Set<FieldName>();
  const around: Surroundings = { placeholders, reads: (column) => void fieldsRead.add(column) };
  const parts: EventCondition[] = [];

  const kind = kindOf(entry(entries, 'logsource'), offset);
  if (kind !== undefined) {
    fieldsRead.add('kind');
    parts.push(decidedBy((event) => event.kind === kind));
  }
  parts.push(detectionCondition(entry(entries, 'detection'), offset, around));
  const hours = entry(entries, 'business_hours');
  if (hours !== undefined) {
    fieldsRead.add('timestamp');
    const open = businessHoursTest(hours);
    parts.push(undecided((event) => event.timestamp !== undefined && open(event.timestamp)));
  }
  const { holds: matches, mayHold: mayMatch, isDecided } = allConditions(parts);
  return { ...head, kind: 'detection', fieldsRead, matches, mayMatch, isDecided };
}

/** The kind of event that `category` narrows the rule to. */
function kindOf(logsource: Entry | undefined, offset: number): string | undefined {
  if (logsource === undefined)
    throw new RuleError(
      offset,
      'logsource is missing; write logsource: {product: cairn, category: tool_call}',
    );
  const entries = entriesOf(logsource.value, 'logsource', logsource.offset);
  checkKeys(entries, ['product', 'category', 'service', 'definition'], 'logsource');
  const product = entry(entries, 'product');
  const named = product === undefined ? '' : textOf(product.value, 'product', product.offset);
  if (named !== 'cairn') {
    throw new RuleError(
      startOf(product?.value, logsource.offset),
      `events of ${named || 'no product'} do not come here; write product: cairn`,
    );
  }
  const service = entry(entries, 'service');
  if (service !== undefined)
    throw new RuleError(
      service.offset,
      'all events come from one service; leave it out, or select the field service',
    );
  const category = entry(entries, 'category');
  if (category === undefined) return undefined;
  const kind = textOf(category.value, 'category', category.offset);
  if ((KIND_SYMBOLS as readonly string[]).includes(kind)) return kind;
  throw new RuleError(
    startOf(category.value, category.offset),
    `there is no category ${kind}${didYouMean(kind, KIND_SYMBOLS)}`,
  );
}

function detectionCondition(found: Entry | undefined, offset: number, around: Surroundings): EventCondition {
  if (found === undefined) throw new RuleError(offset, 'detection is missing');
  const entries = entriesOf(found.value, 'detection', found.offset);
  const twice = entries.find(({ key }, index) => entries.findIndex((other) => other.key === key) !== index);
  if (twice !== undefined) throw new RuleError(twice.offset, `${twice.key} stands twice`);
  const timeframe = entry(entries, 'timeframe');
  if (timeframe !== undefined)
    throw new RuleError(
      timeframe.offset,
      'timeframe is no longer part of Sigma; write a correlation with timespan',
    );
  const condition = entry(entries, 'condition');
  if (condition === undefined) throw new RuleError(found.offset, 'detection must say its condition');
  const selections = new Map(
    entries
      .filter(({ key }) => key !== 'condition')
      .map(({ key, value, offset: at }) => [key, selectionCondition(value, at, around)]),
  );
  if (selections.size === 0) throw new RuleError(found.offset, 'detection has no selection');
  // Several conditions are alternatives.
  const alternatives = itemsOf(condition.value).map((item) => {
    const text = textOf(item, 'condition', condition.offset);
    const parsed = parseCondition(text, [...selections.keys()], textStart(item, condition.offset));
    return conditionOver(parsed, (name) => selections.get(name) as EventCondition);
  });
  return anyCondition(alternatives);
}

/**
 * A map: all of its lines hold. A list of maps: any of them. A value, or a list of values: keywords, any of them. A list may
 * hold both.
 */
function selectionCondition(node: Node | null, offset: number, around: Surroundings): EventCondition {
  if (isMap(node)) {
    const entries = entriesOf(node, 'a selection', offset);
    if (entries.length === 0)
      throw new RuleError(startOf(node, offset), 'an empty selection matches everything; write a field');
    return allConditions(entries.map((item) => compileItem(item, around)));
  }
  if (!isSeq(node)) return compileKeywords(node, offset, around);
  const items = itemsOf(node);
  if (items.length === 0)
    throw new RuleError(startOf(node, offset), 'an empty list matches nothing; write a value');
  return anyCondition(
    items.map((item) =>
      isMap(item) || isSeq(item)
        ? selectionCondition(item, startOf(item, offset), around)
        : compileKeywords(item, startOf(item, offset), around),
    ),
  );
}
