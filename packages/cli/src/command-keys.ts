import { generateKeyPairSync } from 'node:crypto';
import { open } from 'node:fs/promises';
import { deploymentOf, NOTE_BYTES_MAX, openEvidence, readKeys, readSigner } from '@cairn/archive';
import { Failure, messageOf } from '@cairn/failure';
import {
  anchorOrigin,
  archiveKeyName,
  type KeyRole,
  keyName,
  keyStatementForm,
  noteSignerOf,
  openStatement,
  parseVkey,
  personKeyName,
  rootKeyName,
} from '@cairn/ledger';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import { type Output, tableOf } from './output.ts';
import { putStatement } from './put-statement.ts';
import { readKey, readTrusted } from './trusted.ts';

/** `cairn keys show`: the key history as far as it holds. */
export async function showKeys(
  output: Output,
  config: CliConfig,
  from: string,
  options: { readonly root?: string },
): Promise<number> {
  const { rootKey } = await readTrusted(options, config.rootKey);
  await using evidence = await openEvidence(from, config.s3);
  const { history, verdict } = await readKeys(evidence, rootKey);
  const rows: string[][] = [];
  for (let number = 0; number < history.next.number; number += 1) {
    const note = (await evidence.read(keyName(number), NOTE_BYTES_MAX)) ?? new Uint8Array();
    const statement = openStatement(note, [rootKey], keyStatementForm);
    output.value(statement);
    const { role, subject, from: first, until, reason, vkey } = statement;
    rows.push([
      String(number),
      role,
      subject,
      `${first}-${until === null ? '' : until - 1}`,
      parseVkey(vkey).keyId,
      reason,
    ]);
  }
  for (const line of tableOf(['NUMBER', 'ROLE', 'SUBJECT', 'VALID', 'KEY', 'REASON'], rows))
    output.line(line);
  for (const { class: kind, detail, object } of verdict.findings)
    output.note(kind === 'remark' ? detail : `${object} does not count, nor what is behind it: ${detail}`);
  return verdict.verdict === 'intact' ? EXIT.ok : EXIT.failed;
}

/** A key's name by its role; a log's is its origin, a gateway's and a witness's their own. */
function nameOf(role: KeyRole | 'root', deployment: string, subject: string | undefined): string {
  if (role === 'root') return rootKeyName(deployment);
  if (role === 'archive') return archiveKeyName(deployment);
  if (role === 'anchor') return anchorOrigin(deployment);
  if (role === 'person' && subject !== undefined) return personKeyName(deployment, subject);
  if (subject !== undefined) return subject;
  throw invalid(`a ${role} key needs --subject`);
}

/**
 * `cairn keys create FILE`: a new private key (PKCS #8, mode 0600), and its verifier key on standard output. Never in the
 * place of another.
 */
export async function createKey(
  output: Output,
  path: string,
  options: {
    readonly role: 'root' | 'log' | 'archive' | 'anchor' | 'person';
    readonly deployment: string;
    readonly subject?: string;
  },
): Promise<number> {
  const { role, deployment, subject } = options;
  const { privateKey } = generateKeyPairSync('ed25519');
  const { key } = noteSignerOf(nameOf(role, deployment, subject), privateKey);
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    throw invalid(`${path} cannot be made: ${messageOf(cause)}`, cause);
  });
  try {
    await file.writeFile(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    await file.sync();
  } finally {
    await file.close();
  }
  output.value({ file: path, role, vkey: key.vkey });
  output.line(key.vkey);
  output.note(
    `The private key is in ${path}. Only what the root key states in the key history counts: cairn keys state.`,
  );
  return EXIT.ok;
}

/** `cairn keys vkey FILE`: the verifier key of a private key, under the name that its role has. */
export async function sayVkey(
  output: Output,
  path: string,
  options: { readonly role: KeyRole | 'root'; readonly deployment: string; readonly subject?: string },
): Promise<number> {
  const { role, deployment, subject } = options;
  const { key } = await readSigner(path, nameOf(role, deployment, subject));
  output.value({ file: path, role, vkey: key.vkey });
  output.line(key.vkey);
  return EXIT.ok;
}

export interface StateOptions {
  /** Private key of the root, PEM. */
  readonly rootKey: string;
  readonly deployment: string;
  readonly role: KeyRole;
  /** Default what follows from the role and the key's name. */
  readonly subject?: string;
  /** Verifier key, or the file that holds it. */
  readonly vkey: string;
  readonly from: number;
  /** Exclusive; without it the key stays valid. */
  readonly until?: number;
  readonly reason: string;
  /** The store does not delete the statement before. */
  readonly lockUntil: Date;
}

/**
 * `cairn keys state ARCHIVE`: the next statement of the key history: from which position to which a key is valid. A statement
 * about a key that has one ends or reopens it; what it signed within its range counts for ever.
 */
export async function stateKey(
  output: Output,
  config: CliConfig,
  archive: string,
  options: StateOptions,
): Promise<number> {
  const { deployment, role, vkey, from, until = null, reason, lockUntil } = options;
  const root = await readSigner(options.rootKey, rootKeyName(deployment));
  await using evidence = await openEvidence(archive, config.s3);
  await evidence.ensure();
  const { history, verdict } = await readKeys(evidence, root.key);
  const [damage] = verdict.findings.filter(({ class: kind }) => kind === 'broken');
  if (damage !== undefined)
    throw invalid(`the key history does not hold at ${damage.object}: ${damage.detail}`);
  const key = await readKey(vkey);
  const subject = options.subject ?? subjectOf(role, deploymentOf(root.key), key.name);
  const said = { from, reason, role, subject, until, vkey: key.vkey };
  const put = await putStatement(evidence, history, root, lockUntil, said);
  if ('taken' in put) throw invalid(`${put.taken} was written meanwhile; read it and state again`);
  const { statement } = put;
  output.value(statement);
  output.line(
    `${keyName(statement.number)}: ${role} key ${key.keyId} is valid for ${subject} from ${from}${until === null ? ' on' : ` to before ${until}`}`,
  );
  return EXIT.ok;
}

function subjectOf(role: KeyRole, deployment: string, name: string): string {
  if (role === 'log') return name;
  if (role === 'anchor' || role === 'witness') return anchorOrigin(deployment);
  const [, org, gateway] = /^[^/]+\/([^/]+)\/gw\/([^/]+)$/.exec(name) ?? [];
  if (role === 'gateway' && org !== undefined && gateway !== undefined) return `${org}/${gateway}`;
  if (role === 'person') return name.slice(`${deployment}/person/`.length);
  throw invalid(`name with --subject what the ${role} key is for`);
}

const invalid = (message: string, cause?: unknown): Failure =>
  new Failure({ code: 'config.invalid', retry: 'no', message, ...(cause === undefined ? {} : { cause }) });
