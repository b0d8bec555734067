import { setTimeout as sleep } from 'node:timers/promises';
import { explain, Failure, isFailure, messageOf } from '@cairn/failure';
import { VERSION } from '@cairn/runtime';
import { Argument, Command, CommanderError, Option } from 'commander';
import { dayName, eventIdOf, formatName, rootOption, timeOf, wholeNumber } from './arguments.ts';
import { type ApiChoice, apiAccessOf, apiOption } from './ask-api.ts';
import { type Does, examples } from './command.ts';
import { addAccessCommand } from './command-access.ts';
import { addAlertsCommand } from './command-alerts.ts';
import { type BundleOptions, bundle } from './command-bundle.ts';
import { doctor } from './command-doctor.ts';
import { addEnrolCommand } from './command-enrol.ts';
import { addForwardCommand } from './command-forward.ts';
import { addHoldCommands } from './command-holds.ts';
import { createKey, type StateOptions, sayVkey, showKeys, stateKey } from './command-keys.ts';
import { migrate } from './command-migrate.ts';
import { down, status, up } from './command-parts.ts';
import { type CheckOptions, checkProof, type ProofOptions, proveEvent } from './command-proof.ts';
import { query } from './command-query.ts';
import { addReportCommand } from './command-report.ts';
import { checkPolicy, explainKept } from './command-retention.ts';
import { addRulesCommand } from './command-rules.ts';
import { showApiSession, showSession, showSessions } from './command-session.ts';
import { addSubjectCommands } from './command-subjects.ts';
import { tail } from './command-tail.ts';
import { type VerifyOptions, verify } from './command-verify.ts';
import { addColdCommands } from './commands-cold.ts';
import { addExportCommand } from './commands-export.ts';
import { type Environment, MIGRATIONS, readCliConfig, wantsColor } from './config.ts';
import { examine, type Patient } from './examine.ts';
import { EXIT } from './exit-codes.ts';
import { createOutput, type Streams } from './output.ts';
import { patientOf } from './patient.ts';
import { proveRows } from './prove-rows.ts';
import { actsOf, type OpenActs } from './record-acts.ts';
import { type OpenTrail, trailOf } from './trail.ts';

/** What surrounds one run of the command. */
export interface Surroundings extends Streams {
  readonly env: Environment;
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Called by a command that goes on until the person ends it. */
  readonly interruption: () => AbortSignal;
  /** What tests put in the place of the real systems. */
  readonly parts?: {
    readonly openTrail?: OpenTrail;
    readonly openActs?: OpenActs;
    readonly patient?: Patient;
    readonly sleep?: (ms: number) => Promise<void>;
  };
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
  const does: Does =
    (work) =>
    async (...own) => {
      const { json = false, color, clickhouse } = program.opts<GlobalOptions>();
      const env = clickhouse === undefined ? around.env : { ...around.env, CLICKHOUSE_URL: clickhouse };
      const config = readCliConfig(env);
      const output = createOutput(around, {
        json,
        color: color && wantsColor(around.isTerminal, around.env),
      });
      const { openTrail = trailOf(config), openActs = actsOf(config) } = around.parts ?? {};
      end(await work({ output, config, open: openTrail, openActs }, ...own));
    };

  program.commandsGroup('The trail:');
  program
    .command('session')
    .summary('show one session, decisions beside outcomes')
    .description(
      'Shows the exact sequence of one session, decisions beside outcomes. With --api the query API is asked, and the read is an event of ' +
        'the trail; without, ClickHouse is, which no event says.',
    )
    .argument('<id>', 'session, or the beginning of its id')
    .addOption(apiOption('; the id must be whole'))
    .addHelpText(
      'after',
      examples(
        'cairn session 4bf92f3577b34da6',
        'cairn session 4bf92f35 --json | jq .steps',
        'CAIRN_API_KEY_FILE=key.txt cairn session 4bf92f3577b34da6a3ce929d0e0e4736 --api',
      ),
    )
    .action(
      does(({ open, output, config }, id: string, { api }: { api?: ApiChoice }) =>
        api === undefined
          ? showSession(open, output, id)
          : showApiSession(output, apiAccessOf(config, api), id),
      ),
    );
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
  addColdCommands(program, does);

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
      'Reads a retention policy and names every mistake and what does not fit. Exit code 1 on a mistake, and where a gateway ' +
        'gives an organisation another class.',
    )
    .argument('[file]', 'retention policy; default CAIRN_RETENTION_CONFIG or the example')
    .option('--gateway <files...>', 'configurations of gateways to compare with it')
    .addHelpText(
      'after',
      examples('cairn retention check', 'cairn retention check retention.yaml --gateway gateway.yaml'),
    )
    .action(
      does(({ output, config }, file: string | undefined, { gateway }: { gateway?: string[] }) =>
        checkPolicy(output, file ?? config.retentionFile, Date.now(), gateway),
      ),
    );
  addRulesCommand(program, does);
  addAlertsCommand(program, does);
  addForwardCommand(program, does);
  addReportCommand(program, does);
  addAccessCommand(program, does);

  program.commandsGroup('The evidence:');
  program
    .command('verify')
    .summary('say whether what is kept is what was recorded')
    .description(
      'Reads an archive or an evidence bundle, trusts nothing but the keys that are given, and says of every log and stream: ' +
        'intact (exit code 0), broken (1), or not verifiable here (2).',
    )
    .argument('<where>', 'directory, bundle file, or s3://bucket')
    .addOption(rootOption())
    .option('--kept <files...>', 'checkpoints that were kept from before')
    .option(
      '--time-ca <files...>',
      'certificates of time authorities, PEM: judges timestamps and demands them',
    )
    .option('--witness <keys...>', 'verifier keys of witnesses, or their files')
    .option('--anchored', 'demand that every log is anchored to its end')
    .option('--findings <count>', 'show at most so many of each part', wholeNumber(0, 1_000), 20)
    .option('--until-broken', 'of a bundle: end at the first thing that leaves it broken')
    .addHelpText(
      'after',
      examples(
        'cairn verify s3://cairn-archive --root audit.example/root+5f3c…+AQ…',
        'cairn verify bundle.tar --root root.vkey --time-ca freetsa.pem',
        'cairn verify ./archive --root root.vkey --json | jq .logs[].first_bad',
      ),
    )
    .action(
      does(({ output, config }, where: string, options: VerifyOptions) =>
        verify(output, config, where, options, around.stderr),
      ),
    );
  program
    .command('proof')
    .summary('prove one event, or check a proof')
    .description(
      'Writes what proves one event: a C2SP tlog-proof, and that of its checkpoint in the anchor log.',
    )
    .argument('[event]', 'id of the event', eventIdOf)
    .option('--check <file>', 'check this proof instead')
    .option('--rows <file>', 'check every row of an export instead: ndjson, json, csv, parquet, ocsf or ecs')
    .option('--from <where>', 'archive: directory or s3://bucket', '.')
    .addOption(rootOption())
    .option('--key <keys...>', 'with --check: verifier keys of the log instead of the key history')
    .option('--out <directory>', 'where to write', '.')
    .option('--scan', 'look through the archive without asking ClickHouse where the event is', false)
    .addHelpText(
      'after',
      examples(
        'cairn proof 018f0000-0000-7000-8000-000000000001 --from s3://cairn-archive --out proof',
        'cairn proof --check proof/018f0000-0000-7000-8000-000000000001.tlog-proof --from s3://cairn-archive',
        'cairn proof --rows denials.ndjson --from s3://cairn-archive',
      ),
    )
    .action(
      does(
        (
          { output, config, open },
          event: string | undefined,
          options: ProofOptions & CheckOptions & { readonly check?: string; readonly rows?: string },
        ) => {
          if (options.rows !== undefined) return proveRows(output, config, options.rows, options);
          if (options.check !== undefined) return checkProof(output, config, options.check, options);
          if (event !== undefined) return proveEvent(open, output, config, event, options);
          throw new Failure({
            code: 'config.invalid',
            retry: 'no',
            message: 'neither an event nor a proof nor an export is named',
            mend: 'Name the id of an event, or a file with --check or --rows.',
          });
        },
      ),
    );
  program
    .command('bundle')
    .summary('write the evidence of an organisation into one file')
    .description(
      'Writes events of an organisation over a range of time with everything that proves them into one signed file, which ' +
        '`cairn verify` checks offline. Whole segments are proven; events of other organisations are in it as hashes alone.',
    )
    .argument('<file>', 'to write')
    .requiredOption('--org <name>', 'organisation')
    .requiredOption(
      '--from <time>',
      'from this UTC day or RFC 3339 time on, as the broker received them',
      timeOf,
    )
    .requiredOption('--to <time>', 'to before this one', timeOf)
    .requiredOption('--archive <where>', 'directory or s3://bucket')
    .requiredOption('--key <file>', 'private key of the archive, PEM')
    .option('--policy <files...>', 'policies to put in; default the retention policy')
    .addOption(rootOption())
    .addHelpText(
      'after',
      examples(
        'cairn bundle acme.tar --org acme --from 2026-11-01 --to 2026-12-01 --archive s3://cairn-archive --key archive.pem',
        'cairn verify acme.tar --root root.vkey',
      ),
    )
    .action(
      does(({ output, config }, file: string, options: BundleOptions) =>
        bundle(output, config, file, options, Date.now()),
      ),
    );
  addExportCommand(program, does, {
    progress: around.stderr,
    sleep: around.parts?.sleep ?? ((ms) => sleep(ms)),
  });
  const keys = program
    .command('keys')
    .summary('show and make keys, and state what they may sign')
    .description(
      'Keys and their history: statements by the root key, from which position to which a key is valid.',
    )
    .addHelpText(
      'after',
      examples(
        'cairn keys show s3://cairn-archive',
        'cairn keys create root.pem --role root --deployment audit.example',
        'cairn keys vkey log.pem --role log --deployment audit.example --subject audit.example/audit.events.standard/0',
        'cairn keys state s3://cairn-archive --root-key root.pem --deployment audit.example --role log --vkey log.vkey',
      ),
    );
  keys
    .command('show')
    .summary('show the key history')
    .description('Shows the key history as far as it holds. Exit code 1 when a statement does not count.')
    .argument('<archive>', 'directory or s3://bucket')
    .addOption(rootOption())
    .addHelpText('after', examples('cairn keys show s3://cairn-archive', 'cairn keys show ./archive --json'))
    .action(
      does(({ output, config }, archive: string, options: { root?: string }) =>
        showKeys(output, config, archive, options),
      ),
    );
  keys
    .command('create')
    .summary('make a private key')
    .description('Makes a private key (Ed25519, PKCS #8, mode 0600) and says its verifier key.')
    .argument('<file>', 'to write; never in the place of another')
    .addOption(
      new Option('--role <role>', 'what it is for')
        .choices(['root', 'log', 'archive', 'anchor', 'person'])
        .makeOptionMandatory(),
    )
    .requiredOption('--deployment <name>', 'deployment')
    .option('--subject <name>', 'of a log key the origin of the log, of a person’s key their name')
    .addHelpText(
      'after',
      examples('cairn keys create root.pem --role root --deployment audit.example > root.vkey'),
    )
    .action(
      does(({ output }, file: string, options: Parameters<typeof createKey>[2]) =>
        createKey(output, file, options),
      ),
    );
  keys
    .command('vkey')
    .summary('say the verifier key of a private key')
    .description('Says the verifier key of a private key under the name that its role has.')
    .argument('<file>', 'private key, PEM')
    .addOption(
      new Option('--role <role>', 'what it is for')
        .choices(['root', 'log', 'archive', 'anchor', 'gateway', 'person'])
        .makeOptionMandatory(),
    )
    .requiredOption('--deployment <name>', 'deployment')
    .option('--subject <name>', 'of a log key the origin of the log, of a gateway key its whole name')
    .addHelpText('after', examples('cairn keys vkey archive.pem --role archive --deployment audit.example'))
    .action(
      does(({ output }, file: string, options: Parameters<typeof sayVkey>[2]) =>
        sayVkey(output, file, options),
      ),
    );
  keys
    .command('state')
    .summary('add a statement to the key history')
    .description(
      'Adds a statement by the root key: from which position to which a key is valid. Positions are sizes of logs, ends of ' +
        'segments, epochs of gateways; so a rotation never breaks what is older. It cannot be taken back.',
    )
    .argument('<archive>', 'directory or s3://bucket')
    .requiredOption('--root-key <file>', 'private key of the root, PEM')
    .requiredOption('--deployment <name>', 'deployment')
    .addOption(
      new Option('--role <role>', 'what it may sign')
        .choices(['gateway', 'log', 'archive', 'anchor', 'witness', 'person'])
        .makeOptionMandatory(),
    )
    .requiredOption('--vkey <key>', 'verifier key, or its file')
    .option('--subject <name>', 'log, organisation/gateway; default what its name says')
    .option('--from <position>', 'valid from here on', wholeNumber(0, 999_999_999), 0)
    .option('--until <position>', 'valid to before here; default for ever', wholeNumber(0, 999_999_999))
    .option('--reason <text>', 'such as rotated or compromised', '')
    .option('--lock-until <time>', 'the store does not delete it before; default in 30 years', timeOf)
    .addHelpText(
      'after',
      examples(
        'cairn keys state ./archive --root-key root.pem --deployment audit.example --role archive --subject audit.example/audit.events.standard/0 --vkey archive.vkey',
        'cairn keys state ./archive --root-key root.pem --deployment audit.example --role log --vkey old.vkey --until 131072 --reason rotated',
      ),
    )
    .action(
      does(
        (
          { output, config },
          archive: string,
          { lockUntil, ...options }: Omit<StateOptions, 'lockUntil'> & { readonly lockUntil?: number },
        ) =>
          stateKey(output, config, archive, {
            ...options,
            lockUntil: new Date(lockUntil ?? Date.now() + STATEMENT_LOCK_MS),
          }),
      ),
    );

  addEnrolCommand(keys, does, STATEMENT_LOCK_MS);
  addHoldCommands(program, does, STATEMENT_LOCK_MS);
  addSubjectCommands(program, does);

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

/** Statements outlive what was signed with the keys: 30 years. */
const STATEMENT_LOCK_MS = 30 * 365 * 86_400_000;

const HELP = `
Examples:
  cairn up                       start the outside systems on this machine
  cairn doctor                   check everything
  cairn sessions                 the latest sessions
  cairn session 4bf92f35         one of them, step by step
  cairn tail --last 20           events as they arrive
  cairn search --agent research-assistant --archive s3://cairn-archive   events, hot or cold
  cairn search 'decision:deny' --over hot --api https://cairn.example   the same through the query API, which records it
  cairn verify s3://cairn-archive --root root.vkey   whether the archive is what was recorded

Exit codes: 0 done, 1 a check failed or nothing was found, 64 the command line is wrong, 3 a part cannot be reached.
Of verify: 0 intact, 1 broken, 2 not verifiable here.
Environment: CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (or CLICKHOUSE_PASSWORD_FILE), KAFKA_BROKERS,
REDIS_URL, CAIRN_API_URL, CAIRN_API_KEY (or CAIRN_API_KEY_FILE), S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY,
CAIRN_ROOT_KEY, CAIRN_ARCHIVE_COLLECTION, CAIRN_COPIES_COLLECTION, CAIRN_CLASSES, CAIRN_LOCAL_DIRECTORY, CAIRN_RETENTION_CONFIG, NO_COLOR; CAIRN_DEBUG=1 shows where
an unexpected error came from.`;

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? messageOf(error)) : messageOf(error);
}
