import { Argument, type Command } from 'commander';
import { rootOption } from './arguments.ts';
import { type ApiChoice, apiAccessOf, apiOption } from './ask-api.ts';
import { type Does, examples } from './command.ts';
import { type ExportOptions, exportTlog } from './command-export.ts';
import { type ExportAround, exportEvents } from './export-events.ts';
import { FORMS } from './read-answer.ts';

interface Options extends ExportOptions {
  readonly search?: string;
  readonly resume?: boolean;
  readonly api?: ApiChoice;
}

/** `cairn export`: a log out of the archive, or events out of the query API. */
export function addExportCommand(program: Command, does: Does, around: ExportAround): void {
  program
    .command('export')
    .summary('write a log or events in the form of others')
    .description(
      'tlog: one log of the archive as C2SP tlog-tiles, which tools of others check. ndjson, json, csv, parquet, ocsf, ecs: all events that a ' +
        'search finds, from the query API, with the key in CAIRN_API_KEY or the file that CAIRN_API_KEY_FILE names; each is an event of the trail. ' +
        'What is cut off goes on behind its last whole row by itself, for a minute without getting further, and then with --resume; Parquet ' +
        'begins anew. NDJSON, OCSF and ECS are compared with what the service says that it sent.',
    )
    .addArgument(new Argument('<form>', 'form').choices(['tlog', ...FORMS]))
    .argument('<where>', 'tlog: a directory, empty or not there; else the file to write')
    .option('--search <text>', 'events that this search finds (docs/search.md)')
    .addOption(apiOption())
    .option('--resume', 'go on with what an earlier run left in <where>.part', false)
    .option('--from <where>', 'tlog: archive, a directory or s3://bucket', '.')
    .option('--log <name>', 'tlog: topic/partition; needed when there are several')
    .addOption(rootOption())
    .addHelpText(
      'after',
      examples(
        'cairn export tlog tiles --from s3://cairn-archive --log audit.events.standard/0',
        "CAIRN_API_KEY_FILE=key.txt cairn export ndjson denials.ndjson --search 'decision:deny timestamp:>now-30d'",
        "CAIRN_API_KEY_FILE=key.txt cairn export csv denials.csv --search 'decision:deny' --resume --api https://cairn.example",
      ),
    )
    .action(
      does(({ output, config }, form: string, where: string, options: Options) => {
        if (form === 'tlog') return exportTlog(output, config, where, options);
        const chosen = FORMS.find((one) => one === form);
        if (chosen === undefined) throw new TypeError(`${form} is no form`);
        return exportEvents(
          output,
          apiAccessOf(config, options.api),
          { form: chosen, file: where, search: options.search ?? '', resume: options.resume === true },
          around,
        );
      }),
    );
}
