import { Failure } from '@cairn/failure';
import { makeKey, type NewKey } from './key-text.ts';
import { ROLES, type Role, SCOPES_OF, type Scope } from './roles.ts';

/** A key as it is kept: everything but its secret. */
export interface ApiKey {
  readonly id: string;
  /** SHA-256 of the key's text, hex. */
  readonly sha256: string;
  /** The one organisation whose trail it opens. */
  readonly orgId: string;
  readonly role: Role;
  /** What it may of what its role may. */
  readonly scopes: readonly Scope[];
  /** What a person calls it. */
  readonly name: string;
  /** Who made it: the id of a key, or `cli`. */
  readonly createdBy: string;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** 0 while it stands. */
  readonly revokedAtMs: number;
}

/** What keys are kept in. Values are bound as parameters, `{name:Type}` in the text. */
export interface KeyDatabase {
  query<Row>(
    sql: string,
    parameters?: Readonly<Record<string, unknown>>,
    settings?: Readonly<Record<string, string | number>>,
  ): Promise<Row[]>;
  /** Resolves when the rows are durable. Rejects also when they may have been applied. */
  insertRows(
    table: string,
    rows: readonly object[],
    settings?: Readonly<Record<string, string | number>>,
  ): Promise<void>;
}

export interface KeyRequest {
  readonly orgId: string;
  readonly role: Role;
  readonly scopes?: readonly Scope[] | undefined;
  readonly name: string;
  readonly createdBy: string;
  readonly days: number;
}

export const KEY_DAYS_MAX = 366;

/**
 * A key that is not kept yet: nobody is let in by it.
 *
 * @throws Failure `access.invalid`
 */
export function draftKey(
  request: KeyRequest,
  nowMs: number,
): { readonly key: ApiKey; readonly text: string } {
  checkRequest(request);
  const { id, text, sha256 }: NewKey = makeKey();
  const { orgId, role, name, createdBy, days, scopes = SCOPES_OF[role] } = request;
  const key: ApiKey = {
    id,
    sha256,
    orgId,
    role,
    scopes: [...scopes],
    name,
    createdBy,
    createdAtMs: nowMs,
    expiresAtMs: nowMs + days * DAY_MS,
    revokedAtMs: 0,
  };
  return { key, text };
}

/**
 * Keeps the hash of a key: from then on its text counts. Whoever gets no answer does not show the text, so nobody holds one that
 * does not count; at worst a row stays that no text belongs to.
 *
 * @throws Failure of the database.
 */
export const keepKey = (database: KeyDatabase, key: ApiKey): Promise<void> => putKey(database, key, 0);

/** Makes a key and keeps it. @throws Failure `access.invalid`, and those of the database. */
export async function createKey(
  database: KeyDatabase,
  request: KeyRequest,
  nowMs: number,
): Promise<{ readonly key: ApiKey; readonly text: string }> {
  const drafted = draftKey(request, nowMs);
  await keepKey(database, drafted.key);
  return drafted;
}

/** Who revoked a key, as the event says it that the trail is owed. */
export interface RevokedBy {
  readonly user_id: string;
  readonly auth_method: string;
  readonly principal_type: 'human' | 'service';
  readonly service: 'query' | 'cli';
  /** Id of the request; empty where none was. */
  readonly request: string;
}

/**
 * Revokes a key. Safe to repeat.
 *
 * @param owed who did it, where that is not recorded: it stands in the same row, so that the trail gets it whatever dies now.
 * @returns the key as it stands now, or undefined when the organisation has none with this id.
 */
export async function revokeKey(
  database: KeyDatabase,
  orgId: string,
  id: string,
  nowMs: number,
  owed?: RevokedBy,
): Promise<ApiKey | undefined> {
  const key = await findKey(database, id);
  if (key === undefined || key.orgId !== orgId) return undefined;
  if (key.revokedAtMs !== 0) return key;
  const revoked = { ...key, revokedAtMs: nowMs };
  await putKey(database, revoked, nowMs, owed === undefined ? '' : JSON.stringify(owed));
  return revoked;
}

/** A revocation that no event says. */
export interface OwedRevocation {
  readonly key: ApiKey;
  readonly by: RevokedBy;
  /** Of its row: what settles it is above. */
  readonly version: number;
}

/** The oldest revocations that the trail is owed; those that are settled make room for more. */
export async function owedRevocations(database: KeyDatabase): Promise<OwedRevocation[]> {
  const rows = await database.query<KeyRow & { readonly revocation_owed: string; readonly version: number }>(
    `SELECT ${COLUMNS}, revocation_owed, version FROM cairn.api_keys FINAL WHERE revocation_owed != '' ORDER BY revoked_ms, id LIMIT 100`,
    {},
    SETTINGS,
  );
  return rows.map((row) => ({
    key: keyOf(row),
    by: JSON.parse(row.revocation_owed) as RevokedBy,
    version: row.version,
  }));
}

/** Says that the trail has it. Safe to repeat. */
export const settleRevocation = (
  database: KeyDatabase,
  { key, version }: Pick<OwedRevocation, 'key' | 'version'>,
): Promise<void> => putKey(database, key, version + 1);

export async function findKey(database: KeyDatabase, id: string): Promise<ApiKey | undefined> {
  const [row] = await database.query<KeyRow>(
    `SELECT ${COLUMNS} FROM cairn.api_keys FINAL WHERE id = {id:String}`,
    { id },
    SETTINGS,
  );
  return row && keyOf(row);
}

/** Where a list of keys goes on: behind this one. */
export type KeyPlace = Pick<ApiKey, 'createdAtMs' | 'id'>;

/** Keys of an organisation, the latest first; revoked and expired ones too. At most `limit`, behind a place where one is given. */
export async function listKeys(
  database: KeyDatabase,
  orgId: string,
  { limit, after }: { readonly limit: number; readonly after?: KeyPlace | undefined },
): Promise<ApiKey[]> {
  const behind =
    after === undefined
      ? ''
      : `AND (created_at < fromUnixTimestamp64Milli({made:Int64}, 'UTC') OR (created_at = fromUnixTimestamp64Milli({made:Int64}, 'UTC') AND id > {id:String}))`;
  const rows = await database.query<KeyRow>(
    `SELECT ${COLUMNS} FROM cairn.api_keys FINAL WHERE org_id = {org:String} ${behind} ORDER BY created_at DESC, id LIMIT {limit:UInt32}`,
    { org: orgId, limit, ...(after && { made: after.createdAtMs, id: after.id }) },
    SETTINGS,
  );
  return rows.map(keyOf);
}

const DAY_MS = 86_400_000;
const SETTINGS = { output_format_json_quote_64bit_integers: 0 } as const;
const COLUMNS = `id, sha256, org_id, role, scopes, name, created_by, toUnixTimestamp64Milli(created_at) AS created_ms,
  toUnixTimestamp64Milli(expires_at) AS expires_ms, revoked_ms`;

interface KeyRow {
  readonly id: string;
  readonly sha256: string;
  readonly org_id: string;
  readonly role: Role;
  readonly scopes: Scope[];
  readonly name: string;
  readonly created_by: string;
  readonly created_ms: number;
  readonly expires_ms: number;
  readonly revoked_ms: number;
}

const keyOf = (row: KeyRow): ApiKey => ({
  id: row.id,
  sha256: row.sha256,
  orgId: row.org_id,
  role: row.role,
  scopes: row.scopes,
  name: row.name,
  createdBy: row.created_by,
  createdAtMs: row.created_ms,
  expiresAtMs: row.expires_ms,
  revokedAtMs: row.revoked_ms,
});

/** @param version the highest one of a key counts: a revocation stands above its making, and what settles one above that. */
async function putKey(database: KeyDatabase, key: ApiKey, version: number, owed = ''): Promise<void> {
  await database.insertRows(
    'cairn.api_keys',
    [
      {
        id: key.id,
        sha256: key.sha256,
        org_id: key.orgId,
        role: key.role,
        scopes: key.scopes,
        name: key.name,
        created_by: key.createdBy,
        created_at: timeOf(key.createdAtMs),
        expires_at: timeOf(key.expiresAtMs),
        revoked_ms: key.revokedAtMs,
        version,
        // A table of before has no such column, and a row that owes nothing needs none.
        ...(owed === '' ? {} : { revocation_owed: owed }),
      },
    ],
    { async_insert: 0 },
  );
}

const timeOf = (ms: number): string => new Date(ms).toISOString().replace('T', ' ').replace('Z', '');

function checkRequest({ orgId, role, scopes = [], name, days }: KeyRequest): void {
  const mistakes = [
    ...(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(orgId) ? [] : ['the organisation is no name']),
    ...(ROLES.includes(role) ? [] : [`the role is not one of ${ROLES.join(', ')}`]),
    ...scopes
      .filter((scope) => !SCOPES_OF[role]?.includes(scope))
      .map((scope) => `${role} has no scope ${scope}`),
    ...(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,62}$/u.test(name)
      ? []
      : ['the name is not 1 to 63 letters, digits, spaces, points and hyphens']),
    ...(Number.isInteger(days) && days >= 1 && days <= KEY_DAYS_MAX
      ? []
      : [`it may stand 1 to ${KEY_DAYS_MAX} days`]),
  ];
  if (mistakes.length === 0) return;
  throw new Failure({
    code: 'access.invalid',
    retry: 'no',
    message: `no key is made: ${mistakes.join('; ')}`,
    publicMessage: mistakes.join('; '),
  });
}
