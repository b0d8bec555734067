import type { Writable } from 'node:stream';
import { Argument, type Command } from 'commander';
import { rootOption } from './arguments.ts';
import { apiAccessOf } from './ask-api.ts';
import { type Does, examples } from './command.ts';
import { type ExportOptions, exportTlog } from './command-export.ts';
import { exportEvents, FORMS } from './export-events.ts';

interface Options extends ExportOptions {
  readonly search?: string;
}

/** `cairn export`: a log out of the archive, or events out of the query API. */
export function addExportCommand(program: Command, does: Does, progress: Writable): void {
  program
    .command('export')
    .summary('write a log or events in the form of others')
    .description(
      'tlog: one log of the archive as C2SP tlog-tiles, which tools of others check. ndjson, json, csv, parquet, ocsf, ecs: all events that a ' +
        'search finds, from the query API (CAIRN_API_URL), with the key in CAIRN_API_KEY or the file that CAIRN_API_KEY_FILE names. NDJSON goes on ' +
        'where it was cut off; it, OCSF and ECS are compared with what the service says that it sent.',
    )
    .addArgument(new Argument('<form>', 'form').choices(['tlog', ...FORMS]))
    .argument('<where>', 'tlog: a directory, empty or not there; else the file to write')
    .option('--search <text>', 'events that this search finds (docs/search.md)')
    .option('--from <where>', 'tlog: archive, a directory or s3://bucket', '.')
    .option('--log <name>', 'tlog: topic/partition; needed when there are several')
    .addOption(rootOption())
    .addHelpText(
      'after',
      examples(
        'cairn export tlog tiles --from s3://cairn-archive --log audit.events.standard/0',
        "CAIRN_API_KEY_FILE=key.txt cairn export ndjson denials.ndjson --search 'decision:deny timestamp:>now-30d'",
      ),
    )
    .action(
      does(({ output, config }, form: string, where: string, options: Options) => {
        if (form === 'tlog') return exportTlog(output, config, where, options);
        const chosen = FORMS.find((one) => one === form);
        if (chosen === undefined) throw new TypeError(`${form} is no form`);
        return exportEvents(
          output,
          apiAccessOf(config),
          { form: chosen, file: where, search: options.search ?? '' },
          progress,
        );
      }),
    );
}
