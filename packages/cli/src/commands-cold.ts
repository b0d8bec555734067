import { LIMIT_MAX, OVER } from '@cairn/query';
import { type Command, Option } from 'commander';
import { dayName, rootOption, timeOf, wholeNumber } from './arguments.ts';
import { type ApiChoice, apiAccessOf, apiOption } from './ask-api.ts';
import { type Does, examples } from './command.ts';
import { type AttachOptions, attach } from './command-attach.ts';
import { type RestoreCommandOptions, restore } from './command-restore.ts';
import { type SearchOptions, search } from './command-search.ts';
import { searchOverApi } from './search-over-api.ts';

/** `search`, `restore` and `attach`: the trail where it is, hot or cold, and back. */
export function addColdCommands(program: Command, does: Does): void {
  program
    .command('search')
    .summary('find events, hot or cold')
    .description(
      'Finds events in ClickHouse, in the archive, or in both, and says which store gave each. What ClickHouse has dropped is read ' +
        'out of the segments that their manifests do not rule out. Exit code 1 when nothing was found. With --api the query API is asked, and the ' +
        'read is an event of the trail; without, the stores are read with your own credentials, which no event says.',
    )
    .argument('[search]', 'in the search language (docs/search.md); the options below narrow it', '')
    .addOption(new Option('--over <stores>', 'which stores are asked').choices(OVER).default('both'))
    .addOption(
      // The service has its own archive, and compares what that gives with what was signed.
      apiOption('; finds events of the organisation of the key').conflicts([
        'archive',
        'copies',
        'root',
        'prove',
      ]),
    )
    .option('--archive <where>', 's3://bucket; needed for cold and both')
    .option('--copies <where>', 's3://bucket of the query copies')
    .addOption(rootOption())
    .option('--from <time>', "from this UTC day or RFC 3339 time on, by the events' own time", timeOf)
    .option('--to <time>', 'to before this one', timeOf)
    .option('--org <names...>', 'organisation')
    .option('--gateway <names...>', 'gateway')
    .option('--agent <names...>', 'agent')
    .option('--session <ids...>', 'session')
    .option('--user <tokens...>', 'user, as the trail names it')
    .option('--service <names...>', 'MCP server')
    .option('--tool <names...>', 'tool')
    .option('--action <names...>', 'read, create, update, delete, …')
    .option('--decision <names...>', 'allow, deny, …')
    .option('--outcome <names...>', 'success, failure, denied, timeout, …')
    .option('--kind <names...>', 'tool_call, alert, …')
    .option('--oldest', 'oldest first', false)
    .option(
      '--prove',
      "compare every cold row with the event's own bytes, proven against the signed roots",
      false,
    )
    .option('--limit <count>', 'at most so many', wholeNumber(1, LIMIT_MAX), 20)
    .addHelpText(
      'after',
      examples(
        "CAIRN_API_KEY_FILE=key.txt cairn search 'tool:delete_* decision:deny timestamp:>now-7d' --over hot --api https://cairn.example",
        "cairn search --over hot 'tool:delete_* decision:deny timestamp:>now-7d'",
        'cairn search --over hot --agent research-assistant --decision deny',
        'cairn search --archive s3://cairn-archive --org acme --from 2026-01-01 --to 2026-02-01 --outcome failure',
        'cairn search --over cold --archive s3://cairn-archive --session 4bf92f3577b34da6a3ce929d0e0e4736 --oldest --json',
        'cairn search --over cold --archive s3://cairn-archive --org acme --decision deny --prove',
      ),
    )
    .action(
      does(({ open, output, config }, text: string, options: SearchOptions & { readonly api?: ApiChoice }) =>
        options.api === undefined
          ? search(open, output, config, text, options)
          : searchOverApi(output, apiAccessOf(config, options.api), text, options),
      ),
    );
  program
    .command('restore')
    .summary('load days back from the archive')
    .description(
      'Loads days that ClickHouse has dropped back from the archive: read, proven against the signed root, each event once. ' +
        'May be run again at any time; what is there stays as it is.',
    )
    .requiredOption('--from <day>', 'from this UTC day on, as the broker received them', dayName)
    .requiredOption('--to <day>', 'to before this one', dayName)
    .option('--org <name>', 'only the events of this organisation')
    .requiredOption('--archive <where>', 'directory or s3://bucket')
    .option('--days <count>', 'how many days they stay', wholeNumber(1, 3_650), 30)
    .addOption(rootOption())
    .addHelpText(
      'after',
      examples(
        'cairn restore --from 2026-01-05 --to 2026-01-07 --archive s3://cairn-archive',
        'cairn restore --from 2026-01-05 --to 2026-01-07 --org acme --days 7 --archive s3://cairn-archive --json',
      ),
    )
    .action(does((run, options: RestoreCommandOptions) => restore(run, options, Date.now())));
  program
    .command('attach')
    .summary('give ClickHouse the archive to read')
    .description(
      'Keeps address and keys of the archive in ClickHouse under a name, so that queries over it hold none. The keys are those of ' +
        'S3_ACCESS_KEY and S3_SECRET_KEY; for the archive they need no right but to read.',
    )
    .argument('<archive>', 's3://bucket')
    .option('--copies <where>', 's3://bucket of the query copies')
    .addHelpText('after', examples('cairn attach s3://cairn-archive --copies s3://cairn-copies'))
    .action(
      does(({ open, output, config }, archive: string, options: Omit<AttachOptions, 'archive'>) =>
        attach(open, output, config, { ...options, archive }),
      ),
    );
}
