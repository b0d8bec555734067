import { baselineAdditions, baselineQuestions, hourBegun, type Micros, type RuleSet } from '@cairn/rules';
import type { PartitionWindows } from './windows.ts';

/** What learning asks of the table of events. ClickHouse fits. */
export interface EventTable {
  query<Row>(
    sql: string,
    parameters: Readonly<Record<string, unknown>>,
    settings: Readonly<Record<string, number>>,
  ): Promise<Row[]>;
}

/**
 * Fills the windows of baselines with the weeks before an instant, so that who starts anew knows what agents do. One bounded
 * answer for each baseline and week. An hour that the windows know already stays what it is, so it may be done again, and by
 * several at once; an hour that is filled here and read from the log as well is counted twice, in one of its weeks.
 *
 * @param before what came from its hour on is read from the log.
 * @returns how many hours of groups were told of.
 */
export async function learnBaselines(
  table: EventTable,
  windows: Pick<PartitionWindows, 'set'>,
  rules: RuleSet,
  before: Micros,
): Promise<number> {
  let hours = 0;
  for (const { correlation, sql } of baselineQuestions(rules, hourBegun(before))) {
    const rows = await table.query<Readonly<Record<string, unknown>>>(sql, {}, NUMBERS);
    const additions = baselineAdditions(rules, correlation, rows);
    await windows.set(additions);
    hours += additions.reduce((sum, { cells }) => sum + cells.length, 0);
  }
  return hours;
}

/** Rows as packages/rules reads them. */
const NUMBERS = { output_format_json_quote_64bit_integers: 0, output_format_json_named_tuples_as_objects: 1 };
