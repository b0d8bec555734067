import { randomUUIDv7 } from 'node:crypto';
import {
  type ApiKey,
  draftKey,
  findKey,
  KEY_DAYS_MAX,
  keepKey,
  listKeys,
  type RevokedBy,
  ROLES,
  type Role,
  revokeKey,
  SCOPES,
  type Scope,
} from '@cairn/access';
import { parseUuid } from '@cairn/event';
import { Failure, messageOf } from '@cairn/failure';
import type { RecordDraft } from '@cairn/recorder';
import { visible } from '@cairn/session';
import { type Command, Option } from 'commander';
import { wholeNumber } from './arguments.ts';
import { type Does, examples, type Run } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { tableOf } from './output.ts';
import type { Acts } from './record-acts.ts';

interface CreateOptions {
  readonly org: string;
  readonly role: Role;
  readonly scope?: readonly Scope[];
  readonly name: string;
  readonly days: number;
  readonly deployment?: string;
}

interface RevokeOptions {
  readonly org: string;
  readonly deployment?: string;
}

/** `cairn access create|list|revoke`: API keys, written where ClickHouse keeps them. */
export function addAccessCommand(program: Command, does: Does): void {
  const access = program
    .command('access')
    .summary('make, list and revoke API keys')
    .description(
      'API keys: who may ask the query API for what. Whoever runs this writes to ClickHouse and is above all of them; what is made and ' +
        'revoked is an event of the organisation. Without Kafka nothing is made; what is revoked then is recorded by the query API later.',
    )
    .addHelpText(
      'after',
      examples(
        'cairn access create --org acme --role auditor --name "audit 2026"',
        'cairn access list --org acme',
      ),
    );
  access
    .command('create')
    .summary('make a key and show it once')
    .description('Makes a key. Its text is the only line on standard output, and is kept nowhere.')
    .requiredOption('--org <name>', 'organisation whose trail it opens')
    .addOption(new Option('--role <role>', 'what its holder is').choices(ROLES).makeOptionMandatory())
    .addOption(new Option('--scope <scopes...>', 'less than the role may').choices(SCOPES))
    .requiredOption('--name <text>', 'what people call it')
    .option('--days <count>', 'how long it stands', wholeNumber(1, KEY_DAYS_MAX), 90)
    .option('--deployment <name>', 'installation; default CAIRN_DEPLOYMENT')
    .addHelpText(
      'after',
      examples('cairn access create --org acme --role analyst --name grafana --days 365 > key.txt'),
    )
    .action(does((run, options: CreateOptions) => create(run, options)));
  access
    .command('list')
    .summary('list the keys of an organisation')
    .description('Lists the keys of an organisation, revoked and expired ones too.')
    .requiredOption('--org <name>', 'organisation')
    .addHelpText('after', examples('cairn access list --org acme --json'))
    .action(does((run, { org }: { org: string }) => list(run, org)));
  access
    .command('revoke')
    .summary('revoke a key')
    .description('Revokes a key; services look keys up again within seconds.')
    .argument('<id>', 'id of the key')
    .requiredOption('--org <name>', 'organisation')
    .option('--deployment <name>', 'installation; default CAIRN_DEPLOYMENT')
    .addHelpText('after', examples('cairn access revoke 0123456789abcdef --org acme'))
    .action(does((run, id: string, options: RevokeOptions) => revoke(run, id, options)));
}

async function create(
  { open, openActs, output, config }: Run,
  { org, role, scope, name, days, deployment = config.deployment }: CreateOptions,
): Promise<number> {
  const request = { orgId: org, role, scopes: scope, name, createdBy: 'cli', days };
  const { key, text } = draftKey(request, Date.now());
  const recordAs = actOf('keys/create', key);
  await using acts = await openActs(named(deployment), org);
  await using trail = open();
  // 1. The decision. Not on disk: no key is made.
  await acts.record(recordAs('decision', 'pending'));
  // 2. COMMIT POINT: its hash is kept.
  await keepKey(trail, key).catch(async (error: unknown) => {
    await acts.record(recordAs('outcome', 'unknown')).catch(() => output.note(UNTOLD));
    throw error;
  });
  // 3. The outcome. Not on disk: the text is not shown, so the key, which the trail names, is nobody's.
  await acts.record(recordAs('outcome', 'success'));
  // 4. It is shown.
  output.value({ id: key.id, key: text, expires_at: new Date(key.expiresAtMs).toISOString() });
  output.line(text);
  output.note(
    `${key.id}: ${role} of ${org}, until ${new Date(key.expiresAtMs).toISOString().slice(0, 10)}. It is not shown again.`,
  );
  return EXIT.ok;
}

/** Keys that are read at once. */
const PAGE = 1_000;

async function list({ open, output }: Run, org: string): Promise<number> {
  await using trail = open();
  const keys: ApiKey[] = [];
  for (let more = true; more; ) {
    const page = await listKeys(trail, org, { limit: PAGE, after: keys.at(-1) });
    keys.push(...page);
    more = page.length === PAGE;
  }
  for (const { sha256: _, ...key } of keys) output.value(key);
  const now = Date.now();
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const rows = keys.map((key) => [
    key.id,
    key.name,
    key.role,
    key.scopes.join(','),
    key.createdBy,
    day(key.expiresAtMs),
    key.revokedAtMs !== 0 ? 'revoked' : key.expiresAtMs <= now ? 'expired' : 'stands',
  ]);
  if (rows.length > 0)
    for (const line of tableOf(['ID', 'NAME', 'ROLE', 'SCOPES', 'MADE BY', 'UNTIL', 'STATE'], rows))
      output.line(line);
  else output.note(`${org} has no key.`);
  return EXIT.ok;
}

/**
 * A key that must go goes, also when that cannot be recorded: then its row says so, and the query API records it.
 *
 * @throws Failure of the recorder, behind a revocation that is done.
 */
async function revoke(
  { open, openActs, output, config }: Run,
  id: string,
  { org, deployment = config.deployment }: RevokeOptions,
): Promise<number> {
  await using trail = open();
  const key = await findKey(trail, id);
  if (key?.orgId !== org) {
    output.note(`${org} has no key ${id}.`);
    return EXIT.failed;
  }
  const recordAs = actOf('keys/revoke', key);
  await using own = new AsyncDisposableStack();
  // 1. The decision. Not on disk: 2 is done all the same, and its row says who did it.
  let acts: Acts;
  try {
    acts = own.use(await openActs(named(deployment), org));
    await acts.record(recordAs('decision', 'pending'));
  } catch (error) {
    await revokeKey(trail, org, id, Date.now(), BY_CLI);
    output.value({ id, revoked: true, recorded: false });
    output.line(`revoked ${id}`);
    output.note(`It is not recorded (${visible(messageOf(error))}): the query API does so when it runs.`);
    throw error;
  }
  // 2. COMMIT POINT: the key is revoked.
  await revokeKey(trail, org, id, Date.now()).catch(async (error: unknown) => {
    await acts.record(recordAs('outcome', 'unknown')).catch(() => output.note(UNTOLD));
    throw error;
  });
  output.value({ id, revoked: true, recorded: true });
  output.line(`revoked ${id}`);
  // 3. The outcome. Not on disk: the decision is, and the exit code says that the outcome is not.
  await acts.record(recordAs('outcome', 'success'));
  return EXIT.ok;
}

const UNTOLD = 'That nobody knows whether it was done is not recorded; that it was asked for is.';
const BY_CLI: RevokedBy = {
  user_id: '',
  auth_method: 'none',
  principal_type: 'human',
  service: 'cli',
  request: '',
};

/**
 * The two events of an act, as the query API records the same (services/query/src/do-act.ts), but for who did it: a person at a command
 * line, whom nobody has asked who they are.
 */
function actOf(method: string, { id, orgId, role, scopes, expiresAtMs }: ApiKey) {
  const callId = parseUuid(randomUUIDv7());
  return (phase: 'decision' | 'outcome', outcome: 'pending' | 'success' | 'unknown'): RecordDraft => ({
    org_id: orgId,
    kind: 'admin',
    phase,
    call_id: callId,
    service: 'cli',
    method,
    principal_type: 'human',
    auth_method: 'none',
    decision: 'not_evaluated',
    result_status: outcome,
    detail: JSON.stringify({ expires: expiresAtMs, key: id, key_role: role, scopes }),
  });
}

function named(deployment: string | undefined): string {
  if (deployment !== undefined) return deployment;
  throw new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: 'the installation is not named, in whose trail this is recorded',
    mend: 'Add --deployment, or set CAIRN_DEPLOYMENT.',
  });
}
