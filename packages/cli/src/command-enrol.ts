import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openEvidence, readSigner } from '@cairn/archive';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import { keyName, type NoteKey, parseVkey, rootKeyName } from '@cairn/ledger';
import { visible } from '@cairn/session';
import type { Command } from 'commander';
import { type Does, examples } from './command.ts';
import type { CliConfig } from './config.ts';
import { enrolKeys } from './enrol-keys.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import { readNamed } from './trusted.ts';

interface EnrolOptions {
  /** Private key of the root, PEM. */
  readonly rootKey: string;
  readonly deployment: string;
  readonly rotated: boolean;
}

/** `cairn keys enrol`, of `keys`. @param lockMs how long the store keeps each statement at least. */
export function addEnrolCommand(keys: Command, does: Does, lockMs: number): void {
  keys
    .command('enrol')
    .summary('state keys that their owners handed over')
    .description(
      'States every handed key that the key history does not have yet, for what its name says: of a gateway, a log, the ' +
        'archive or the anchor log. Gateways write theirs into `<data>/recorder/keys/<organisation>.vkey`, archival its own ' +
        'into `log.vkey`, `archive.vkey` and `anchor.vkey` of its key directory, and that of its events as a gateway does. ' +
        'Fetch them from there, not from the archive: whoever may write to the bucket could put another one in it.',
    )
    .argument('<archive>', 'directory or s3://bucket')
    .argument('<handed...>', 'verifier keys, files of them, or folders of *.vkey files')
    .requiredOption('--root-key <file>', 'private key of the root, PEM')
    .requiredOption('--deployment <name>', 'deployment')
    .option(
      '--rotated',
      'a key takes the place of one that is valid: it begins where the archive first has it, and the other ends there',
      false,
    )
    .addHelpText(
      'after',
      examples(
        'cairn keys enrol s3://cairn-archive gw-1/recorder/keys archival/keys archival/recorder/keys --root-key root.pem --deployment audit.example',
        'cairn keys enrol s3://cairn-archive new-log.vkey --rotated --root-key root.pem --deployment audit.example',
      ),
    )
    .action(
      does(({ output, config }, archive: string, handed: string[], options: EnrolOptions) =>
        enrol(output, config, archive, handed, options, new Date(Date.now() + lockMs)),
      ),
    );
}

async function enrol(
  output: Output,
  config: CliConfig,
  archive: string,
  handed: readonly string[],
  { rootKey, deployment, rotated }: EnrolOptions,
  lockUntil: Date,
): Promise<number> {
  const root = await readSigner(rootKey, rootKeyName(deployment));
  const keys = (await Promise.all(handed.map(handedKeys))).flat();
  await using evidence = await openEvidence(archive, config.s3);
  await evidence.ensure();
  const { known, refused } = await enrolKeys(
    evidence,
    { root, deployment, keys, isRotation: rotated, lockUntil },
    (statement) => {
      const { number, role, subject, from, until, reason, vkey } = statement;
      output.value(statement);
      output.line(
        `${keyName(number)}: ${role} key ${parseVkey(vkey).keyId} of ${subject} is valid from ${from}` +
          `${until === null ? ' on' : ` to before ${until}`}${reason === '' ? '' : `, ${reason}`}`,
      );
    },
  );
  if (known > 0) output.note(`${known} were stated before.`);
  for (const { key, subject, why } of refused)
    output.note(visible(`${key.name} (${key.keyId}) is not stated for ${subject}: ${why}`));
  return refused.length === 0 ? EXIT.ok : EXIT.failed;
}

/** A verifier key, those of a file (a line each), or those of a folder's `*.vkey`. @throws Failure `config.invalid` */
async function handedKeys(given: string): Promise<NoteKey[]> {
  if (/^[^\s+]+\+[0-9a-f]{8}\+/u.test(given)) return [parseVkey(given)];
  const files = (await stat(given).catch(() => undefined))?.isDirectory()
    ? (await readdir(given)).filter((name) => name.endsWith('.vkey')).map((name) => join(given, name))
    : [given];
  if (files.length === 0) throw invalid(`${given} holds no file of the form *.vkey`);
  const keys: NoteKey[] = [];
  for (const file of files.sort()) {
    const lines = (await readNamed(file)).toString().split('\n');
    for (const line of lines.filter((text) => text.trim() !== '')) {
      try {
        keys.push(parseVkey(line.trim()));
      } catch (error) {
        if (!isFailure(error)) throw error;
        throw invalid(`${file}: ${messageOf(error)}`, error);
      }
    }
  }
  return keys;
}

const invalid = (message: string, cause?: unknown): Failure =>
  new Failure({ code: 'config.invalid', retry: 'no', message, ...(cause === undefined ? {} : { cause }) });
