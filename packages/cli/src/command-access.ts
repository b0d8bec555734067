import {
  type ApiKey,
  createKey,
  KEY_DAYS_MAX,
  listKeys,
  ROLES,
  type Role,
  revokeKey,
  SCOPES,
  type Scope,
} from '@cairn/access';
import { Failure } from '@cairn/failure';
import type { RecordDraft } from '@cairn/recorder';
import { type Command, Option } from 'commander';
import { wholeNumber } from './arguments.ts';
import { type Does, examples, type Run } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { tableOf } from './output.ts';

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
        'revoked is an event of the organisation, and without Kafka nothing is.',
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
  await using acts = await openActs(named(deployment), org);
  await using trail = open();
  // 1. The key, whose text nobody has yet.
  const request = { orgId: org, role, scopes: scope, name, createdBy: 'cli', days };
  const { key, text } = await createKey(trail, request, Date.now());
  // 2. The event. Without it the text is not shown, so the key is nobody's, and it is revoked as well.
  try {
    await acts.record(actOf('keys/create', key));
  } catch (error) {
    await revokeKey(trail, org, key.id, Date.now());
    throw error;
  }
  // 3. COMMIT POINT: it is shown.
  output.value({ id: key.id, key: text, expires_at: new Date(key.expiresAtMs).toISOString() });
  output.line(text);
  output.note(
    `${key.id}: ${role} of ${org}, until ${new Date(key.expiresAtMs).toISOString().slice(0, 10)}. It is not shown again.`,
  );
  return EXIT.ok;
}

async function list({ open, output }: Run, org: string): Promise<number> {
  await using trail = open();
  const keys = await listKeys(trail, org);
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

/** A key that must go goes, also when that cannot be recorded: then it is said, and the same again records it. */
async function revoke(
  { open, openActs, output, config }: Run,
  id: string,
  { org, deployment = config.deployment }: RevokeOptions,
): Promise<number> {
  await using trail = open();
  const key = await revokeKey(trail, org, id, Date.now());
  if (key === undefined) {
    output.note(`${org} has no key ${id}.`);
    return EXIT.failed;
  }
  output.value({ id, revoked: true });
  output.line(`revoked ${id}`);
  await using acts = await openActs(named(deployment), org);
  await acts.record(actOf('keys/revoke', key));
  return EXIT.ok;
}

/** As the query API records the same, but for who did it: a person at a command line, whom nobody has asked who they are. */
function actOf(method: string, { id, orgId, role, scopes, expiresAtMs }: ApiKey): RecordDraft {
  return {
    org_id: orgId,
    kind: 'admin',
    phase: 'single',
    service: 'cli',
    method,
    principal_type: 'human',
    auth_method: 'none',
    decision: 'not_evaluated',
    result_status: 'success',
    detail: JSON.stringify({ expires: expiresAtMs, key: id, key_role: role, scopes }),
  };
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
