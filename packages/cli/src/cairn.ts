import { explain, isFailure, messageOf } from '@cairn/failure';
import { VERSION } from '@cairn/runtime';
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { doctor } from './command-doctor.ts';
import { migrate } from './command-migrate.ts';
import { down, status, up } from './command-parts.ts';
import { query } from './command-query.ts';
import { checkPolicy, explainKept } from './command-retention.ts';
import { showSession, showSessions } from './command-session.ts';
import { tail } from './command-tail.ts';
import { type CliConfig, type Environment, MIGRATIONS, readCliConfig, wantsColor } from './config.ts';
import { examine, type Patient } from './examine.ts';
import { EXIT } from './exit-codes.ts';
import { createOutput, type Output, type Streams } from './output.ts';
import { patientOf } from './patient.ts';
import { type OpenTrail, trailOf } from './trail.ts';

/** What surrounds one run of the command. */
export interface Surroundings extends Streams {
  readonly env: Environment;
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Called by a command that goes on until the person ends it. */
  readonly interruption: () => AbortSignal;
  /** What tests put in the place of the real systems. */
  readonly parts?: { readonly openTrail?: OpenTrail; readonly patient?: Patient };
}

/** What every command gets. */
interface Run {
  readonly output: Output;
  readonly config: CliConfig;
  readonly open: OpenTrail;
}

/**
 * Runs one command line.
 *
 * @param args without the program's own name.
 * @returns the exit code, one of `EXIT`. Never rejects: what went wrong is one line on standard error.
 */
export async function runCairn(args: readonly string[], around: Surroundings): Promise<number> {
  let code: number = EXIT.ok;
  const program = programOf(around, (result) => (code = result));
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    around.stderr.write(`cairn: ${explain(error)}\n`);
    if (!isFailure(error) && around.env['CAIRN_DEBUG']) around.stderr.write(`${stackOf(error)}\n`);
    return exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (isFailure(error, 'config.invalid')) return EXIT.usage;
  return isFailure(error) && error.retry === 'later' ? EXIT.unreachable : EXIT.failed;
}

function programOf(around: Surroundings, end: (code: number) => void): Command {
  const program = new Command('cairn')
    .description('The audit trail for AI agents: find what happened, and keep the parts running.')
    .version(VERSION, '--version', 'say the version')
    .helpOption('-h, --help', 'say what there is')
    .helpCommand('help [command]', 'say what a command does')
    .option('--json', 'one JSON value a line, for programs')
    .option('--no-color', 'no colours; NO_COLOR=1 does the same')
    .option('--clickhouse <url>', 'address of ClickHouse; default CLICKHOUSE_URL or the local one')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => around.stdout.write(text),
      writeErr: (text) => around.stderr.write(text),
      outputError: (text, write) => write(`${text.replace(/^error: /, 'cairn: ').trimEnd()}\n`),
    })
    .showHelpAfterError('Add --help to see what there is.')
    .exitOverride()
    .addHelpText('after', HELP);

  /** The work of a command, given its own arguments. */
  const does =
    <A extends unknown[]>(work: (run: Run, ...own: A) => Promise<number> | number) =>
    async (...own: A): Promise<void> => {
      const { json = false, color, clickhouse } = program.opts<GlobalOptions>();
      const env = clickhouse === undefined ? around.env : { ...around.env, CLICKHOUSE_URL: clickhouse };
      const config = readCliConfig(env);
      const output = createOutput(around, {
        json,
        color: color && wantsColor(around.isTerminal, around.env),
      });
      end(await work({ output, config, open: around.parts?.openTrail ?? trailOf(config) }, ...own));
    };

  program.commandsGroup('The trail:');
  program
    .command('session')
    .summary('show one session, decisions beside outcomes')
    .description('Shows the exact sequence of one session, decisions beside outcomes.')
    .argument('<id>', 'session, or the beginning of its id')
    .addHelpText(
      'after',
      examples('cairn session 4bf92f3577b34da6', 'cairn session 4bf92f35 --json | jq .steps'),
    )
    .action(does(({ open, output }, id: string) => showSession(open, output, id)));
  program
    .command('sessions')
    .summary('list the latest sessions')
    .description('Lists the latest sessions, newest first.')
    .option('--limit <count>', 'at most so many', wholeNumber(1, 10_000), 20)
    .addHelpText('after', examples('cairn sessions', 'cairn sessions --limit 100 --json'))
    .action(does(({ open, output }, { limit }: { limit: number }) => showSessions(open, output, limit)));
  program
    .command('tail')
    .summary('show events as they arrive')
    .description('Shows events as they become queryable, until Ctrl-C.')
    .option('--last <count>', 'begin with so many earlier events', wholeNumber(0, 10_000), 10)
    .option('--no-follow', 'end after them')
    .option('--poll-ms <ms>', 'how often to look', wholeNumber(50, 60_000), 500)
    .addHelpText(
      'after',
      examples('cairn tail', 'cairn tail --last 100 --no-follow', 'cairn tail --json | jq .tool_name'),
    )
    .action(
      does(({ open, output }, { last, follow, pollMs }: { last: number; follow: boolean; pollMs: number }) =>
        tail(open, output, { last, follow, pollMs, signal: around.interruption() }),
      ),
    );
  program
    .command('query')
    .summary('ask in SQL, read-only')
    .description('Asks ClickHouse in SQL. Nothing can be written: the server is told so.')
    .argument('<sql>', 'one SELECT')
    .option('--format <name>', "ClickHouse's name of a format", formatName, 'PrettyCompact')
    .addHelpText(
      'after',
      examples(
        'cairn query "SELECT tool_name, count() FROM cairn.events GROUP BY ALL"',
        'cairn query "SELECT * FROM cairn.events" --format CSVWithNames > events.csv',
      ),
    )
    .action(
      does(({ open, output }, sql: string, { format }: { format: string }) =>
        query(open, output, sql, format),
      ),
    );

  const retention = program
    .command('retention')
    .summary('say what is kept until when, and why')
    .description('Reads the retention policy: what is kept until when, and why.')
    .addHelpText(
      'after',
      examples(
        'cairn retention explain --org acme --date 2026-11-25',
        'cairn retention check retention.yaml',
      ),
    );
  retention
    .command('explain')
    .summary('say it of an organisation and a day')
    .description('Says what is kept until when of the events that an organisation records on a day, and why.')
    .requiredOption('--org <name>', 'organisation')
    .option('--date <day>', "UTC day of the events' own time; default today", dayName)
    .option('--file <path>', 'retention policy; default CAIRN_RETENTION_CONFIG or the example')
    .addHelpText(
      'after',
      examples(
        'cairn retention explain --org acme',
        'cairn retention explain --org acme --date 2024-02-29 --json | jq .kept',
      ),
    )
    .action(
      does(({ output, config }, { org, date, file }: { org: string; date?: string; file?: string }) => {
        const now = Date.now();
        const asked = { org, date: date ?? new Date(now).toISOString().slice(0, 10) };
        return explainKept(output, file ?? config.retentionFile, asked, now);
      }),
    );
  retention
    .command('check')
    .summary('say whether the policy can be followed')
    .description(
      'Reads a retention policy and names every mistake and what does not fit. Exit code 1 on a mistake.',
    )
    .argument('[file]', 'retention policy; default CAIRN_RETENTION_CONFIG or the example')
    .addHelpText('after', examples('cairn retention check', 'cairn retention check retention.yaml --json'))
    .action(
      does(({ output, config }, file: string | undefined) =>
        checkPolicy(output, file ?? config.retentionFile, Date.now()),
      ),
    );

  program.commandsGroup('The parts:');
  program
    .command('up')
    .summary('start the outside systems on this machine')
    .description('Starts Kafka, ClickHouse, Redis and S3 as local processes and leaves them running.')
    .addArgument(new Argument('[parts...]', 'only these').choices(['kafka', 'clickhouse', 'redis', 's3']))
    .addHelpText('after', examples('cairn up', 'cairn up kafka clickhouse', 'eval "$(cairn up)"'))
    .action(
      does(({ output, config }, parts: ('kafka' | 'clickhouse' | 'redis' | 's3')[]) =>
        up(output, config.localDirectory, parts),
      ),
    );
  program
    .command('status')
    .summary('say which of them run')
    .description('Says which parts run. Exit code 1 when one does not.')
    .addHelpText('after', examples('cairn status', 'cairn status --json'))
    .action(does(({ output, config }) => status(output, config.localDirectory)));
  program
    .command('down')
    .summary('stop them; the data stays')
    .description('Stops the parts that `cairn up` or `npm start` left running. The data stays.')
    .addHelpText('after', examples('cairn down'))
    .action(does(({ output, config }) => down(output, config.localDirectory)));
  program
    .command('migrate')
    .summary('bring the tables to the latest migration')
    .description('Applies the migrations that the database lacks. Safe to repeat.')
    .option('--cluster <name>', 'make replicated tables on this cluster of ClickHouse')
    .option('--dry-run', 'say what would be applied', false)
    .addOption(
      new Option('--directory <path>', 'other migrations').default(MIGRATIONS, 'those of this release'),
    )
    .addHelpText(
      'after',
      examples('cairn migrate --dry-run', 'cairn migrate', 'cairn migrate --cluster audit'),
    )
    .action(
      does(({ open, output }, options: { cluster?: string; dryRun: boolean; directory: string }) =>
        migrate(open, output, options),
      ),
    );
  program
    .command('doctor')
    .summary('check everything and say what to do')
    .description(
      'Checks this machine, the parts, the tables and how far loading is. Exit code 1 when a check failed.',
    )
    .addHelpText('after', examples('cairn doctor', 'cairn doctor --json | jq \'select(.state == "failed")\''))
    .action(
      does(({ output, config, open }) =>
        doctor(output, examine(around.parts?.patient ?? patientOf(config, open))),
      ),
    );
  return program;
}

interface GlobalOptions {
  readonly json?: boolean;
  readonly color: boolean;
  readonly clickhouse?: string;
}

const HELP = `
Examples:
  cairn up                       start the outside systems on this machine
  cairn doctor                   check everything
  cairn sessions                 the latest sessions
  cairn session 4bf92f35         one of them, step by step
  cairn tail --last 20           events as they arrive

Exit codes: 0 done, 1 a check failed or nothing was found, 2 the command line is wrong, 3 a part cannot be reached.
Environment: CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (or CLICKHOUSE_PASSWORD_FILE), KAFKA_BROKERS,
REDIS_URL, S3_ENDPOINT, CAIRN_CLASSES, CAIRN_LOCAL_DIRECTORY, CAIRN_RETENTION_CONFIG, NO_COLOR; CAIRN_DEBUG=1 shows where
an unexpected error came from.`;

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    if (number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** It stands in the statement, where no parameter can. */
function formatName(text: string): string {
  if (/^[A-Za-z]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a name such as CSVWithNames.');
}

function dayName(text: string): string {
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00Z`) : undefined;
  const day = Number.isNaN(at?.getTime() ?? Number.NaN) ? undefined : at?.toISOString().slice(0, 10);
  if (day === text && day >= '2000-01-01' && day < '2200-01-01') return text;
  throw new InvalidArgumentError('It must be a day from 2000-01-01 to 2199-12-31.');
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? messageOf(error)) : messageOf(error);
}
