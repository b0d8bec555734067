import { openEvidence, readWholeKeys } from '@cairn/archive';
import { Failure } from '@cairn/failure';
import { openErasure, parseErasure } from '@cairn/ledger';
import {
  createPrivacyGuard,
  isSubject,
  makeKeyEncryptionKey,
  openKeyRing,
  readKeyEncryptionKey,
  SubjectKeys,
  type Unsealed,
} from '@cairn/privacy';
import { visible } from '@cairn/session';
import { type Command, InvalidArgumentError } from 'commander';
import { openPerson, type PersonOptions } from './act-as-person.ts';
import { eventIdOf, rootOption } from './arguments.ts';
import { type Does, examples, type Run } from './command.ts';
import type { CliConfig } from './config.ts';
import { type Erased, eraseSubjects } from './erase-subjects.ts';
import { EXIT } from './exit-codes.ts';
import { type Output, tableOf } from './output.ts';
import { readNamed, readTrusted } from './trusted.ts';
import { readSealed, unsealEvent } from './unseal-event.ts';

interface StoreOptions {
  /** Directory of the keys of subjects. */
  readonly store?: string;
}

interface EraseOptions extends StoreOptions, PersonOptions {
  readonly org: string;
  /** File of subjects, one a line. */
  readonly file?: string;
}

/** `cairn subjects` and `cairn unseal`: the keys under which values are sealed, and what they open. */
export function addSubjectCommands(program: Command, does: Does): void {
  const subjects = program
    .command('subjects')
    .summary('show and erase the keys of subjects')
    .description(
      'Values are sealed under a key of the subject that they are about. Destroying the key is the erasure: the events stay as they ' +
        'are, with all their proofs, and what is sealed in them opens no more. See docs/erasure.md.',
    )
    .addHelpText(
      'after',
      examples(
        'cairn subjects list --org acme --store gw-1/subjects',
        'cairn subjects erase t1_EWt43V-rGSqx4MCh2YqAzA --org acme --store gw-1/subjects --archive s3://cairn-archive --by jane.doe --key jane.pem --reason "Request 4711" --root root.vkey',
      ),
    );
  const inStore = (command: Command): Command =>
    command.option('--store <directory>', 'keys of subjects; default CAIRN_SUBJECTS_DIRECTORY');
  const asPerson = (command: Command): Command =>
    command
      .requiredOption('--archive <where>', 'where keys of persons and holds are: directory or s3://bucket')
      .requiredOption('--by <person>', 'who you are, as your key is called')
      .requiredOption('--key <file>', 'your private key, PEM')
      .requiredOption('--reason <text>', 'why')
      .addOption(rootOption());

  subjects
    .command('create-key')
    .summary('make a key-encryption key')
    .description(
      'Makes a key-encryption key: 32 random bytes in a file of mode 0600, never in the place of another. Keep it apart from the ' +
        'backups of the keys that it wraps.',
    )
    .argument('<file>', 'to write')
    .addHelpText('after', examples('cairn subjects create-key kek-2026.key'))
    .action(
      does(async ({ output }, file: string) => {
        const { id } = await makeKeyEncryptionKey(file);
        output.value({ file, id });
        output.line(`${id}  ${file}`);
        return EXIT.ok;
      }),
    );
  subjects
    .command('token')
    .summary('say under which token a person is known')
    .description(
      'Says the tokens of values, one a line of a file: values do not belong on command lines, which others see and shells remember.',
    )
    .argument('<file>', 'values, one a line')
    .requiredOption('--org <name>', 'organisation')
    .option('--class <name>', 'what the values are ids of, as the rule says', 'user')
    .requiredOption('--privacy-keys <directory>', '`keys` in the data directory of a gateway')
    .addHelpText(
      'after',
      examples('cairn subjects token requests.txt --org acme --class customer --privacy-keys gw-1/keys'),
    )
    .action(
      does(
        async (
          { output },
          file: string,
          options: { readonly org: string; readonly class: string; readonly privacyKeys: string },
        ) => {
          const guard = createPrivacyGuard({ keys: await openKeyRing({ directory: options.privacyKeys }) });
          for (const value of linesOf(await readNamed(file))) {
            const token = guard.token(options.org, options.class, value);
            output.value({ token });
            output.line(token);
          }
          return EXIT.ok;
        },
      ),
    );
  inStore(
    subjects
      .command('list')
      .summary('list the keys of subjects')
      .description(
        'Lists every key of an organisation, living and erased. Exit code 1 when an erasure was decided and is not done.',
      )
      .requiredOption('--org <name>', 'organisation'),
  ).action(
    does(({ output, config }, options: StoreOptions & { readonly org: string }) =>
      listSubjects(output, config, options),
    ),
  );
  inStore(
    subjects
      .command('show')
      .summary('show the keys of one subject')
      .description('Shows the keys that a subject has and had, with the decisions to erase them.')
      .argument('<subject>', 'token, or organisation', subjectOf)
      .requiredOption('--org <name>', 'organisation'),
  ).action(
    does(({ output, config }, subject: string, options: StoreOptions & { readonly org: string }) =>
      showSubject(output, config, subject, options),
    ),
  );
  subjects
    .command('check')
    .summary('check the decision to erase a key')
    .description(
      'Checks signed decisions, each in a file: that a person signed it whose key the root had stated. The event of the erasure ' +
        'holds it, in `note` of its `detail`. Exit code 1 when one does not count.',
    )
    .argument('<notes...>', 'files')
    .requiredOption('--archive <where>', 'directory or s3://bucket')
    .addOption(rootOption())
    .action(
      does(
        (
          { output, config },
          notes: readonly string[],
          options: { readonly archive: string; readonly root?: string },
        ) => checkErasures(output, config, notes, options),
      ),
    );
  asPerson(
    inStore(
      subjects
        .command('erase')
        .summary('destroy the keys of subjects, so that what is sealed under them opens no more')
        .description(
          'Destroys the keys of subjects. It cannot be taken back. What a legal hold covers is not erased. What an earlier run has ' +
            'decided and not done is done first. Exit code 1 when a subject was held, or is not known.',
        )
        .argument('[subjects...]', 'tokens')
        .option('--file <path>', 'file of tokens, one a line')
        .requiredOption('--org <name>', 'organisation'),
    ),
  ).action(does((run, named: readonly string[], options: EraseOptions) => erase(run, named, options)));
  inStore(
    subjects
      .command('rewrap')
      .summary('wrap the keys of subjects anew')
      .description(
        'Wraps every key of an organisation under another key-encryption key; what is sealed stays as it is. Once the old one is ' +
          'destroyed, backups and remains of the store from before open nothing.',
      )
      .requiredOption('--org <name>', 'organisation')
      .requiredOption('--kek <files...>', 'key-encryption keys: the new one first, then those of before'),
  ).action(
    does(
      async (
        { output, config },
        options: StoreOptions & { readonly org: string; readonly kek: readonly string[] },
      ) => {
        const keys = await storeOf(config, options, options.kek);
        let wrapped = 0;
        for (const { subject, state } of await keys.states(options.org))
          if (state === 'living' && (await keys.rewrap(options.org, subject))) wrapped += 1;
        output.value({ wrapped });
        output.line(`${wrapped} keys were wrapped anew.`);
        return EXIT.ok;
      },
    ),
  );

  asPerson(
    inStore(
      program
        .command('unseal')
        .summary('open what is sealed in an event')
        .description(
          'Opens what is sealed in an event, for a person who signs that they do. That, and a refusal, is an event, which is ' +
            'recorded before anything is shown. Exit code 1 when a part does not open.',
        )
        .argument('<event>', 'id of the event', eventIdOf)
        .option('--kek <files...>', 'key-encryption keys; default CAIRN_KEY_ENCRYPTION_KEYS'),
    ),
  ).action(
    does((run, event: string, options: StoreOptions & PersonOptions & { readonly kek?: readonly string[] }) =>
      unseal(run, event, options),
    ),
  );
}

async function listSubjects(
  output: Output,
  config: CliConfig,
  options: StoreOptions & { readonly org: string },
): Promise<number> {
  const states = await (await storeOf(config, options)).states(options.org);
  const rows = states.map(({ subject, keyId, state, key }) => [
    subject,
    keyId,
    state,
    key === undefined ? '' : new Date(key.madeAtMs).toISOString(),
    key?.kek ?? '',
  ]);
  for (const { subject, keyId, state, key } of states)
    output.value({ subject, key_id: keyId, state, made_at: key?.madeAtMs ?? null, kek: key?.kek ?? null });
  if (rows.length === 0) output.line(`Nothing was sealed for ${options.org} here.`);
  else for (const line of tableOf(['SUBJECT', 'KEY', 'STATE', 'MADE', 'WRAPPED BY'], rows)) output.line(line);
  const undone = states.filter(({ state }) => state === 'erasing').length;
  if (undone === 0) return EXIT.ok;
  output.note(
    `${undone} erasures are decided and not done. Run cairn subjects erase --org ${options.org} again.`,
  );
  return EXIT.failed;
}

async function showSubject(
  output: Output,
  config: CliConfig,
  subject: string,
  options: StoreOptions & { readonly org: string },
): Promise<number> {
  const keys = await storeOf(config, options);
  const own = (await keys.states(options.org)).filter((state) => state.subject === subject);
  for (const { keyId, state, key } of own) {
    const note = await keys.decisionOn(options.org, subject, keyId);
    const decision = note === undefined ? undefined : parseErasure(note);
    output.value({
      key_id: keyId,
      state,
      commit: key?.commit ?? decision?.commit ?? null,
      made_at: key?.madeAtMs ?? null,
      decision: note === undefined ? null : Buffer.from(note).toString('utf8'),
    });
    output.line(`key ${keyId}: ${state}, commitment ${key?.commit ?? decision?.commit}`);
    if (decision !== undefined)
      output.line(
        visible(
          `  decided by ${decision.by} at ${new Date(decision.at).toISOString()}, over ${decision.holds} holds: ${decision.reason}`,
        ),
      );
  }
  if (own.length > 0) return EXIT.ok;
  output.note(`Nothing was sealed for ${subject} here.`);
  return EXIT.failed;
}

async function checkErasures(
  output: Output,
  config: CliConfig,
  notes: readonly string[],
  options: { readonly archive: string; readonly root?: string },
): Promise<number> {
  const { rootKey } = await readTrusted(options, config.rootKey);
  await using evidence = await openEvidence(options.archive, config.s3);
  const history = await readWholeKeys(evidence, rootKey);
  let isWhole = true;
  for (const file of notes) {
    try {
      const erasure = openErasure(await readNamed(file), history);
      const { subject, key, by, at, reason } = erasure;
      output.value({ file, counts: true, ...erasure });
      output.line(
        visible(
          `${file}: key ${key} of ${subject}, erased by ${by} at ${new Date(at).toISOString()}: ${reason}`,
        ),
      );
    } catch (error) {
      if (!(error instanceof Failure) || error.code === 'config.invalid') throw error;
      isWhole = false;
      output.value({ file, counts: false, why: error.message });
      output.line(visible(`${file} does not count: ${error.message}`));
    }
  }
  return isWhole ? EXIT.ok : EXIT.failed;
}

async function erase(
  { output, config, openActs }: Run,
  named: readonly string[],
  options: EraseOptions,
): Promise<number> {
  const listed = options.file === undefined ? [] : linesOf(await readNamed(options.file));
  const subjects = [...named, ...listed];
  const wrong = subjects.find((subject) => !isSubject(subject));
  if (wrong !== undefined || (subjects.length === 0 && options.file === undefined))
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message:
        wrong === undefined ? 'no subject is named' : `${JSON.stringify(wrong.slice(0, 40))} is no subject`,
      mend: 'A subject is a token, t1_ and 22 characters, or the word organisation. `cairn subjects token` says it of a person.',
    });
  const keys = await storeOf(config, options);
  const { org: orgId, by, reason } = options;
  await using person = await openPerson(config, options);
  await using acts = await openActs(person.deployment, orgId);
  let isDone = true;
  const counts = new Map<Erased['outcome'], number>();
  await eraseSubjects({
    keys,
    person,
    acts,
    orgId,
    subjects,
    by,
    reason,
    nowMs: () => Date.now(),
    onErased({ subject, outcome, keyId, holds }) {
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
      if (outcome === 'held' || outcome === 'unknown') isDone = false;
      output.value({ subject, outcome, key_id: keyId ?? null, holds });
      output.line(
        visible(`${subject}  ${SAYS[outcome]}${holds.length === 0 ? '' : `: ${holds.join(', ')}`}`),
      );
    },
  });
  output.note([...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', '));
  return isDone ? EXIT.ok : EXIT.failed;
}

const SAYS: Readonly<Record<Erased['outcome'], string>> = {
  erased: 'erased',
  ended: 'erased; the decision was of an earlier run',
  held: 'not erased, for legal holds cover it',
  before: 'was erased before',
  unknown: 'is not known: nothing was sealed for it here',
};

async function unseal(
  { output, config, open, openActs }: Run,
  event: string,
  options: StoreOptions & PersonOptions & { readonly kek?: readonly string[] },
): Promise<number> {
  const { by, reason } = options;
  const keys = await storeOf(config, options, options.kek ?? config.subjects.keyEncryptionKeys);
  await using person = await openPerson(config, options);
  await using trail = open();
  const sealed = await readSealed(trail, event);
  if (sealed === undefined || sealed.fields.length === 0) {
    output.note(sealed === undefined ? `There is no event ${event}.` : 'Nothing is sealed in this event.');
    return EXIT.failed;
  }
  await using acts = await openActs(person.deployment, sealed.orgId);
  const unsealed = await unsealEvent(sealed, keys, person, acts, { by, reason, nowMs: Date.now() });
  for (const part of unsealed) showUnsealed(output, part);
  return unsealed.every(({ outcome }) => outcome === 'opened') ? EXIT.ok : EXIT.failed;
}

function showUnsealed(output: Output, { field, keyId, subject, outcome, why, values }: Unsealed): void {
  output.value({ field, key_id: keyId, subject: subject ?? null, outcome, why: why ?? null, values });
  output.line(
    `${field}, key ${keyId}${subject === undefined ? '' : ` of ${subject}`}: ${outcome}${why === undefined ? '' : ` [${why}]`}`,
  );
  for (const { name, value, cut } of values)
    output.line(visible(`  ${name} = ${value}${cut === true ? '  (cut)' : ''}`));
}

/** The store as the command line reads it: it never makes a key. */
async function storeOf(
  config: CliConfig,
  { store = config.subjects.directory }: StoreOptions,
  keks: readonly string[] = [],
): Promise<SubjectKeys> {
  if (store === undefined)
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: 'no store of subjects is named',
      mend: 'Add --store with `subjects` in the data directory of the gateway, or set CAIRN_SUBJECTS_DIRECTORY.',
    });
  return new SubjectKeys({
    directory: store,
    keyEncryptionKeys: await Promise.all(keks.map(readKeyEncryptionKey)),
    onMade: () => Promise.reject(new Error('the command line makes no keys')),
  });
}

function subjectOf(text: string): string {
  if (isSubject(text)) return text;
  throw new InvalidArgumentError('It must be a token, t1_ and 22 characters, or the word organisation.');
}

const linesOf = (bytes: Buffer): string[] =>
  bytes
    .toString('utf8')
    .split(/\r?\n/)
    .filter((line) => line !== '');
