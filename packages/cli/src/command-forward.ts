import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ParkedRecords } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { isPersonName } from '@cairn/ledger';
import { visible } from '@cairn/session';
import type { Command } from 'commander';
import { type Does, examples } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { noteMore, type Output, tableOf } from './output.ts';

/** Registers `cairn forward`. */
export function addForwardCommand(program: Command, does: Does): void {
  const forward = program
    .command('forward')
    .summary('see to what SIEMs refused')
    .description(
      'Shows what destinations of the forwarder refused, and sends it again; docs/siem.md tells of both.',
    )
    .addHelpText(
      'after',
      examples(
        '$ cairn forward parked .local/forwarder',
        '$ cairn forward replay .local/forwarder soc-splunk --by anna',
      ),
    );
  forward
    .command('parked')
    .summary('show what was refused, and why')
    .description('Shows records that destinations refused, the latest first, with what the destination said.')
    .argument('<directory>', 'data directory of the forwarder')
    .option('--destination <name>', 'of this one alone')
    .option('--limit <count>', 'at most so many', '20')
    .action(
      does(({ output }, directory: string, options: { destination?: string; limit: string }) =>
        listParked(output, directory, options),
      ),
    );
  forward
    .command('replay')
    .summary('send a destination again what it refused')
    .description(
      'Has the parked records of a destination sent again, in the format that the service makes now. The service that runs takes them up ' +
        'within a second; what is refused once more is parked again.',
    )
    .argument('<directory>', 'data directory of the forwarder')
    .argument('<destination>', 'its name')
    .requiredOption('--by <name>', 'who has it sent again: the trail names you so')
    .action(
      does(({ output }, directory: string, destination: string, { by }: { readonly by: string }) => {
        if (!isPersonName(by)) throw noName(by);
        using store = openParked(directory);
        const count = store.replay(destination, by);
        output.value({ destination, replayed: count });
        output.line(`${count} records go to ${visible(destination)} again.`);
        return EXIT.ok;
      }),
    );
}

const noName = (by: string): Failure =>
  new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `${JSON.stringify(by)} is no name of a person`,
    mend: 'Use the name that the key history has for you, or one like it.',
  });

/** `cairn forward parked`. */
function listParked(
  output: Output,
  directory: string,
  { destination, limit }: { readonly destination?: string; readonly limit: string },
): number {
  using store = openParked(directory);
  const most = countOf(limit);
  const found = store.list({ destination, most: most + 1 });
  const rows = found.slice(0, most);
  for (const row of rows) output.value(row);
  if (rows.length === 0) output.note('Nothing is parked.');
  else {
    const header = ['DESTINATION', 'STATE', 'REFUSALS', 'EVENT', 'TOPIC', 'PARTITION', 'OFFSET', 'REASON'];
    const lines = rows.map((row) => [
      row.destination,
      row.state,
      String(row.refusals),
      row.eventId,
      row.topic,
      String(row.partition),
      String(row.offset),
      row.reason.slice(0, 80),
    ]);
    for (const line of tableOf(header, lines)) output.line(line);
  }
  noteMore(output, found.length, most);
  return EXIT.ok;
}

/** @throws Failure `config.invalid` where no forwarder has run: nothing is created by looking. */
function openParked(directory: string): ParkedRecords {
  const file = join(directory, 'parked.sqlite');
  if (existsSync(file)) return new ParkedRecords(file);
  throw new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `${file} does not exist`,
    mend: 'Name the data directory of the forwarder, CAIRN_FORWARDER_DATA_DIRECTORY.',
  });
}

function countOf(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new Failure({ code: 'config.invalid', retry: 'no', message: `${text} is no count from 1 to 99999` });
}
