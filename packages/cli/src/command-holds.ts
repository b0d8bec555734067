import { addHold, readHolds } from '@cairn/adapters';
import { deploymentOf, openEvidence, readSigner, readWholeKeys } from '@cairn/archive';
import { isFailure } from '@cairn/failure';
import {
  type HoldStatement,
  type HoldWords,
  personKeyName,
  RELEASES_NEEDED,
  type SignedHold,
} from '@cairn/ledger';
import { visible } from '@cairn/session';
import { type Command, InvalidArgumentError } from 'commander';
import { type Does, examples } from './command.ts';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import { isApi, listOverApi, STATES, stateOverApi } from './holds-over-api.ts';
import { type Output, tableOf } from './output.ts';
import { readTrusted } from './trusted.ts';

interface SignOptions {
  readonly key: string;
  readonly by: string;
  readonly reason: string;
  readonly root?: string;
}

interface PlaceOptions extends SignOptions {
  readonly org?: string;
  readonly session?: string;
  readonly agent?: string;
  readonly from?: number;
  readonly to?: number;
}

/** `cairn holds`. @param lockMs how long the store keeps each statement at least. */
export function addHoldCommands(program: Command, does: Does, lockMs: number): void {
  const lockUntil = (): Date => new Date(Date.now() + lockMs);
  const holds = program
    .command('holds')
    .summary('place, release and list legal holds')
    .description(
      'Legal holds: what they cover is not deleted, whatever its class says. Each is a statement in the archive, signed with ' +
        'the key of a person that the root key has stated; two different persons release one.',
    )
    .addHelpText(
      'after',
      examples(
        'cairn holds list s3://cairn-archive --root root.vkey',
        'cairn holds place s3://cairn-archive acme-2026-04 --org acme --from 2026-01-01 --to 2026-04-01 --by jane.doe --key jane.pem --reason "Letter of 17 April 2026" --root root.vkey',
        'cairn holds release s3://cairn-archive acme-2026-04 --by sam.lee --key sam.pem --reason "Settled" --root root.vkey',
      ),
    );
  const signed = (command: Command): Command =>
    command
      .requiredOption('--by <person>', 'who you are, as your key is called')
      .requiredOption('--key <file>', 'your private key, PEM')
      .requiredOption('--reason <text>', 'why')
      .option('--root <key>', 'verifier key of the root, or its file; default CAIRN_ROOT_KEY');
  signed(
    holds
      .command('place')
      .summary('place a hold')
      .description(
        'Places a hold on what fits every part that is named. A segment knows no sessions and agents, so a hold on one keeps ' +
          'every segment of its organisation in its time.',
      )
      .argument('<archive>', 'directory, s3://bucket, or the URL of the query API')
      .argument('<id>', 'name of the hold, of a-z, 0-9 and -')
      .option('--org <name>', 'organisation')
      .option('--session <id>', 'session')
      .option('--agent <id>', 'agent')
      .option('--from <time>', 'events from this UTC day or RFC 3339 time on', timeOf)
      .option('--to <time>', 'events before this one', timeOf),
  ).action(
    does(({ output, config }, archive: string, id: string, options: PlaceOptions) => {
      const { org, session, agent, from, to } = options;
      const covers = {
        org: org ?? null,
        session: session ?? null,
        agent: agent ?? null,
        from: from ?? null,
        to: to ?? null,
      };
      return state(output, config, archive, { act: 'place', hold: id, ...covers }, options, lockUntil());
    }),
  );
  signed(
    holds
      .command('release')
      .summary('sign the release of a hold; the second person ends it')
      .description('Signs the release of a hold. It stands until two different persons have done so.')
      .argument('<archive>', 'directory, s3://bucket, or the URL of the query API')
      .argument('<id>', 'name of the hold'),
  ).action(
    does(({ output, config }, archive: string, id: string, options: SignOptions) => {
      const nothing = { org: null, session: null, agent: null, from: null, to: null };
      return state(output, config, archive, { act: 'release', hold: id, ...nothing }, options, lockUntil());
    }),
  );
  holds
    .command('list')
    .summary('list the holds')
    .description(
      'Lists every hold that was ever placed, with who signed what. Exit code 1 when a statement does not count; then ' +
        'archival deletes nothing.',
    )
    .argument('<archive>', 'directory, s3://bucket, or the URL of the query API')
    .option('--root <key>', 'verifier key of the root, or its file; default CAIRN_ROOT_KEY')
    .action(
      does(({ output, config }, archive: string, options: { readonly root?: string }) =>
        listHolds(output, config, archive, options),
      ),
    );
}

/** Times that a statement is signed anew because another one took its number. */
const TRIES_MAX = 5;

async function state(
  output: Output,
  config: CliConfig,
  archive: string,
  said: Pick<HoldWords, 'act' | 'hold' | 'org' | 'session' | 'agent' | 'from' | 'to'>,
  { by, key, reason, root }: SignOptions,
  lockUntil: Date,
): Promise<number> {
  const { rootKey } = await readTrusted(root === undefined ? {} : { root }, config.rootKey);
  const signer = await readSigner(key, personKeyName(deploymentOf(rootKey), by));
  if (isApi(archive)) {
    const stated = await stateOverApi(config, archive, { ...said, by, reason, at: Date.now() }, signer);
    output.value(stated);
    output.line(visible(`${stated.id} ${STATES[stated.state]}`));
    return EXIT.ok;
  }
  await using evidence = await openEvidence(archive, config.s3);
  const words: HoldWords = { ...said, by, reason, at: Date.now() };
  const keys = await readWholeKeys(evidence, rootKey);
  const sign = async (): Promise<Uint8Array> => (await readHolds(evidence, keys)).sign(words, signer);
  let statement: HoldStatement | undefined;
  for (let tries = 1; statement === undefined; tries += 1) {
    try {
      statement = await addHold(evidence, keys, await sign(), lockUntil);
    } catch (error) {
      if (!isFailure(error, 'hold.raced') || tries === TRIES_MAX) throw error;
    }
  }
  const hold = (await readHolds(evidence, keys)).holds.find(({ id }) => id === said.hold);
  output.value(statement);
  output.line(visible(lineOf(hold!)));
  return EXIT.ok;
}

async function listHolds(
  output: Output,
  config: CliConfig,
  archive: string,
  options: { readonly root?: string },
): Promise<number> {
  if (isApi(archive)) {
    const held = await listOverApi(config, archive);
    for (const hold of held) output.value(hold);
    const shown = held.map(({ id, state: of, placed_by: by, reason }) =>
      [id, STATES[of], by, reason].map(visible),
    );
    for (const line of shown.length === 0
      ? ['There is no hold.']
      : tableOf(['HOLD', 'STATE', 'PLACED BY', 'REASON'], shown))
      output.line(line);
    return EXIT.ok;
  }
  const { rootKey } = await readTrusted(options, config.rootKey);
  await using evidence = await openEvidence(archive, config.s3);
  const { holds } = await readHolds(evidence, await readWholeKeys(evidence, rootKey));
  for (const hold of holds) output.value(hold);
  const rows = holds.map((hold) =>
    [hold.id, stateOf(hold), coverOf(hold), whoOf(hold), hold.reason].map(visible),
  );
  if (rows.length === 0) output.line('There is no hold.');
  else
    for (const line of tableOf(['HOLD', 'STATE', 'COVERS', 'SIGNED BY', 'REASON'], rows)) output.line(line);
  return EXIT.ok;
}

const lineOf = (hold: SignedHold): string => `${hold.id} ${stateOf(hold)}: ${coverOf(hold)}`;

function stateOf({ releases }: SignedHold): string {
  if (releases.length >= RELEASES_NEEDED) return 'released';
  return releases.length === 0 ? 'stands' : 'stands, one release signed';
}

function coverOf({ org, session, agent, from, to }: SignedHold): string {
  const day = (ms: number): string => new Date(ms).toISOString();
  return [
    org === undefined ? 'every organisation' : `organisation ${org}`,
    ...(session === undefined ? [] : [`session ${session}`]),
    ...(agent === undefined ? [] : [`agent ${agent}`]),
    ...(from === undefined ? [] : [`from ${day(from)}`]),
    ...(to === undefined ? [] : [`before ${day(to)}`]),
  ].join(', ');
}

const whoOf = ({ placedBy, releases }: SignedHold): string =>
  [`placed by ${placedBy}`, ...releases.map(({ by }) => `released by ${by}`)].join(', ');

/** A UTC day or an RFC 3339 time, in milliseconds since 1970. */
function timeOf(text: string): number {
  const isTime = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?Z)?$/.test(text);
  const ms = isTime ? Date.parse(text) : Number.NaN;
  if (ms >= 0) return ms;
  throw new InvalidArgumentError(
    'It must be a day such as 2026-11-25 or a time such as 2026-11-25T08:00:00Z.',
  );
}
