import {
  createKey,
  KEY_DAYS_MAX,
  listKeys,
  ROLES,
  type Role,
  revokeKey,
  SCOPES,
  type Scope,
} from '@cairn/access';
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
}

/** `cairn access create|list|revoke`: API keys, written where ClickHouse keeps them. */
export function addAccessCommand(program: Command, does: Does): void {
  const access = program
    .command('access')
    .summary('make, list and revoke API keys')
    .description(
      'API keys: who may ask the query API for what. Whoever runs this writes to ClickHouse and is above all of them.',
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
    .addHelpText('after', examples('cairn access revoke 0123456789abcdef --org acme'))
    .action(does((run, id: string, { org }: { org: string }) => revoke(run, org, id)));
}

async function create(
  { open, output }: Run,
  { org, role, scope, name, days }: CreateOptions,
): Promise<number> {
  await using trail = open();
  const { key, text } = await createKey(
    trail,
    { orgId: org, role, scopes: scope, name, createdBy: 'cli', days },
    Date.now(),
  );
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

async function revoke({ open, output }: Run, org: string, id: string): Promise<number> {
  await using trail = open();
  const key = await revokeKey(trail, org, id, Date.now());
  if (key === undefined) {
    output.note(`${org} has no key ${id}.`);
    return EXIT.failed;
  }
  output.value({ id, revoked: true });
  output.line(`revoked ${id}`);
  return EXIT.ok;
}
