import { HOUR, hourOfWeek, WEEK } from './baseline.ts';
import type { Correlation, FieldName, Micros, RuleSet } from './rule.ts';
import { eventOfRow, NOT_IN_TABLE, tableColumns } from './table-events.ts';
import { type Cell, type WindowAddition, windowKey } from './window.ts';

/** How much of a week is read at most: a row is one group, one hour, and one way to be counted or not. */
export const BASELINE_ROWS_MAX = 1_000_000;

/** What the table knows of the groups of one baseline in one week. */
export interface BaselineQuestion {
  readonly correlation: Correlation;
  /** One row for each different event, as far as the rule looks, and hour; answered in JSONEachRow, numbers unquoted. */
  readonly sql: string;
}

/**
 * Asks the table for the weeks before an hour, one after the other, for each baseline whose rules look at nothing that makes every event another one.
 * ClickHouse counts, and whether an event counts is decided here, by the rule's own condition.
 *
 * @param before first instant of an hour: what came before it is asked for.
 */
export function baselineQuestions(rules: RuleSet, before: Micros): BaselineQuestion[] {
  return rules.correlations.flatMap((correlation) => {
    if (correlation.baseline === undefined) return [];
    const fields = fieldsOf(rules, correlation);
    if ([...fields].some((field) => EACH_ITS_OWN.has(field) || NOT_IN_TABLE.has(field))) return [];
    const names = [...fields].map((field) => `e_${field}`).join(', ');
    return Array.from({ length: correlation.baseline.weeks }, (_, week) => {
      const [from, to] = [instant(before - (week + 1) * WEEK), instant(before - week * WEEK)];
      const sql = `SELECT ${tableColumns(fields)}, toUnixTimestamp(toStartOfHour(timestamp)) AS hour_s, count() AS events
        FROM cairn.events
        WHERE timestamp >= ${from} AND timestamp < ${to} AND append_day >= toDate(${from})
        GROUP BY ${names}, hour_s LIMIT ${BASELINE_ROWS_MAX}`;
      return { correlation, sql };
    });
  });
}

/** With these nothing would be counted together. */
const EACH_ITS_OWN: ReadonlySet<FieldName> = new Set<FieldName>([
  'event_id',
  'call_id',
  'timestamp',
  'seq',
  'span_id',
  'trace_id',
  'parent_event_id',
  'signature',
]);

const instant = (micros: Micros): string => `fromUnixTimestamp64Micro(${micros}, 'UTC')`;

function fieldsOf({ detections }: RuleSet, { sources, fieldsRead }: Correlation): Set<FieldName> {
  const counted = new Set(sources.map(({ rule }) => rule));
  const fields = new Set<FieldName>(['org_id', ...fieldsRead]);
  for (const detection of detections)
    if (counted.has(detection.id)) for (const field of detection.fieldsRead) fields.add(field);
  return fields;
}

/**
 * The answer as what its windows are to hold. They are added as `set`: an hour that is known already stays what it is, so it may
 * be done again, by several at once.
 */
export function baselineAdditions(
  { detections }: RuleSet,
  correlation: Correlation,
  rows: Iterable<Readonly<Record<string, unknown>>>,
): WindowAddition[] {
  const windows = new Map<
    string,
    { readonly group: readonly string[]; readonly counts: Map<Micros, number> }
  >();
  const counting = correlation.sources.flatMap(({ rule, groupFields }) => {
    const detection = detections.find(({ id }) => id === rule);
    return detection === undefined ? [] : [{ detection, groupFields }];
  });
  for (const row of rows) {
    const event = eventOfRow(row);
    const hour = Number(row['hour_s']) * 1_000_000;
    const fed = counting.find(({ detection }) => detection.matches(event));
    const values = fed?.groupFields.map((field) => field(event));
    if (values === undefined || values.includes(undefined)) continue;
    const group = [event.org_id ?? '', ...(values as string[])];
    const window = windowKey(correlation, group, String(hourOfWeek(hour)));
    let found = windows.get(window);
    if (found === undefined) {
      found = { group, counts: new Map() };
      windows.set(window, found);
    }
    found.counts.set(hour, (found.counts.get(hour) ?? 0) + Number(row['events']));
  }
  return [...windows].map(([window, { group, counts }]) => ({
    window,
    correlation,
    group,
    cells: [...counts]
      .map(([tick, count]): Cell => ({ tick, label: '', count, eventId: NO_ID }))
      .sort((a, b) => a.tick - b.tick),
    merge: 'set',
  }));
}

/** Of events that were only counted. */
const NO_ID = new Uint8Array(16);

/** First instant of the hour. */
export const hourBegun = (time: Micros): Micros => Math.floor(time / HOUR) * HOUR;
