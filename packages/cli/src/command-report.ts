import { visible } from '@cairn/session';
import { type Command, Option } from 'commander';
import { spanOf, timeOf } from './arguments.ts';
import { type ApiAccess, type ApiChoice, apiAccessOf, apiOption, askApi } from './ask-api.ts';
import { type Does, examples } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { type Output, tableOf } from './output.ts';

/** As the API answers (docs/api.md). Names that end in `_at` are microseconds since 1970. */
interface Report {
  readonly report: string;
  readonly says: string;
  readonly from: number;
  readonly to: number;
  readonly population: number;
  readonly rows: readonly Readonly<Record<string, string | number>>[];
  /** There are more than these. */
  readonly more: boolean;
  /** First day that ClickHouse holds, which alone is asked. */
  readonly hot_from: string | null;
}

interface Options {
  /** Microseconds. */
  readonly since: number;
  /** Milliseconds since 1970; exclusive. */
  readonly to?: number;
  readonly api?: ApiChoice;
}

const DAY = 86_400e6;

/** `cairn report`: who was denied what, what is allowed and not used, which tools are slow, fail or are new, from the query API. */
export function addReportCommand(program: Command, does: Does): void {
  program
    .command('report')
    .summary('say what was denied, what is allowed and not used, and which tools are slow, fail or are new')
    .description(
      'Reports over the calls of an organisation: permission-gaps, denial-clusters, unused-grants, unused-rules, unused-keys, slow-tools, failing-tools, new-tools. From the query API, ' +
        'with the key in CAIRN_API_KEY or the file that CAIRN_API_KEY_FILE names; each is an event of the trail.',
    )
    .argument('<name>', 'which of them')
    .option('--since <span>', 'how far back, such as 12h or 7d', spanOf, 30 * DAY)
    .addOption(new Option('--to <time>', 'until then; default now').argParser(timeOf))
    .addOption(apiOption())
    .addHelpText(
      'after',
      examples('cairn report permission-gaps', 'cairn report slow-tools --since 7d --json'),
    )
    .action(
      does(({ output, config }, name: string, options: Options) =>
        runReport(output, apiAccessOf(config, options.api), name, options),
      ),
    );
}

async function runReport(
  output: Output,
  api: ApiAccess,
  name: string,
  { since, to: toMs = Date.now() }: Options,
): Promise<number> {
  const to = toMs * 1_000;
  const asked = new URLSearchParams({ from: String(Math.max(0, to - since)), to: String(to) });
  const answer = await askApi(api, `/v1/reports/${encodeURIComponent(name)}?${asked}`);
  const report = (await answer.json()) as Report;
  output.value(report);
  output.line(report.says);
  output.line(`${timeText(report.from)} to ${timeText(report.to)}, ${report.population} calls`);
  output.line();
  const columns = Object.keys(report.rows[0] ?? {});
  if (columns.length === 0) output.line('Nothing.');
  else
    for (const line of tableOf(
      headingsOf(columns),
      report.rows.map((row) => cellsOf(columns, row)),
    ))
      output.line(line);
  if (report.more) output.note(`There are more than these ${report.rows.length}: ask for less time.`);
  if (report.hot_from !== null && Date.parse(report.hot_from) > report.from / 1_000)
    output.note(
      `ClickHouse holds what was received from ${visible(report.hot_from)} on: nothing older is in this report.`,
    );
  return EXIT.ok;
}

const headingsOf = (columns: readonly string[]): string[] =>
  columns.map((name) => name.replace(/_at$/, '').replaceAll('_', ' ').toUpperCase());

const cellsOf = (columns: readonly string[], row: Report['rows'][number]): string[] =>
  columns.map((name) => {
    const value = row[name] ?? '';
    return name.endsWith('_at') && typeof value === 'number' ? timeText(value) : String(value);
  });

/** Microseconds since 1970, to the second, in UTC. */
const timeText = (micros: number): string => `${new Date(micros / 1_000).toISOString().slice(0, 19)}Z`;
