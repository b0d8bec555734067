import { randomUUID } from 'node:crypto';
import type { ClickHouse } from '@cairn/adapters';
import { readSearch, SEARCH_CHARACTERS_MAX, writeSearch } from '@cairn/search';
import { z } from 'zod';
import type { Caller } from './authenticate.ts';
import { Refusal } from './problem.ts';
import { route } from './route.ts';
import type { SharedClaims } from './shared-claims.ts';

const savedSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    search: z.string(),
    owner: z.string(),
    saved_at: z.int().describe('Microseconds since 1970; its version, as in ETag.'),
  })
  .meta({ id: 'SavedSearch' });
type Saved = z.infer<typeof savedSchema>;

const SAVED_MAX = 1_000;
const COLUMNS = 'toString(saved.id) AS id, name, search, owner, version AS saved_at';
const SETTINGS = { output_format_json_quote_64bit_integers: 0 } as const;

export const listSavedRoute = route({
  id: 'listSavedSearches',
  method: 'get',
  path: '/v1/saved-searches',
  summary: 'Searches that somebody of the organisation gave a name.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'saved/list'],
  response: z.object({
    saved: z.array(savedSchema),
    more: z.boolean().describe(`There are more than these ${SAVED_MAX}: made at the same moment.`),
  }),
  async answer({ caller, clickhouse }) {
    const found = await clickhouse.query<Saved>(
      `SELECT ${COLUMNS} FROM cairn.saved_searches AS saved FINAL WHERE org_id = {org:String} AND is_deleted = 0 ORDER BY name, id LIMIT {limit:UInt32}`,
      { org: caller.orgId, limit: SAVED_MAX + 1 },
      SETTINGS,
    );
    const saved = found.slice(0, SAVED_MAX);
    return { body: { saved, more: found.length > saved.length }, facts: { rows: saved.length } };
  },
});

export const readSavedRoute = route({
  id: 'readSavedSearch',
  method: 'get',
  path: '/v1/saved-searches/{id}',
  summary: 'One saved search, with its version as ETag.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'saved/read'],
  parameters: z.strictObject({ id: z.uuid() }),
  response: savedSchema,
  async answer({ caller, path, clickhouse }) {
    const saved = await find(clickhouse, caller.orgId, path.id);
    return { body: saved, facts: { saved: saved.id }, etag: String(saved.saved_at) };
  },
});

const namedSchema = z.strictObject({
  name: z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,62}$/u),
  search: z.string().max(SEARCH_CHARACTERS_MAX),
});

export const createSavedRoute = route({
  id: 'createSavedSearch',
  method: 'post',
  path: '/v1/saved-searches',
  summary: 'Gives a search a name.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'saved/create'],
  creates: true,
  body: namedSchema,
  response: savedSchema,
  async answer({ caller, body, now, clickhouse }) {
    const search = writeSearch(readSearch(body.search));
    const saved = { id: randomUUID(), name: body.name, search, owner: caller.id, saved_at: now };
    const [count] = await clickhouse.query<{ saved: number }>(
      'SELECT toUInt32(count()) AS saved FROM cairn.saved_searches FINAL WHERE org_id = {org:String} AND is_deleted = 0',
      { org: caller.orgId },
    );
    if ((count?.saved ?? 0) >= SAVED_MAX)
      throw new Refusal('answer.too-large', `An organisation keeps ${SAVED_MAX} searches.`);
    return {
      facts: { saved: saved.id, search },
      async apply() {
        await put(clickhouse, caller.orgId, saved, 0);
        return { status: 201, body: saved, facts: {}, etag: String(saved.saved_at) };
      },
    };
  },
});

export const changeSavedRoute = route({
  id: 'changeSavedSearch',
  method: 'put',
  path: '/v1/saved-searches/{id}',
  summary:
    'Changes a saved search: by who gave it its name, or an admin. If-Match names the version that they saw.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'saved/change'],
  ifMatch: 'required',
  parameters: z.strictObject({ id: z.uuid() }),
  body: namedSchema,
  response: savedSchema,
  async answer({ caller, path, body, now, clickhouse, claims, ifMatch }) {
    const search = writeSearch(readSearch(body.search));
    const before = await find(clickhouse, caller.orgId, path.id);
    checkChange({ caller, before, ifMatch });
    // A version is above the one before it, whatever the clocks of two processes say.
    const saved = { ...before, name: body.name, search, saved_at: Math.max(now, before.saved_at + 1) };
    return {
      facts: { saved: saved.id, search, before: before.saved_at },
      async apply() {
        await changing({ caller, before, claims }, () => put(clickhouse, caller.orgId, saved, 0));
        return { body: saved, facts: {}, etag: String(saved.saved_at) };
      },
    };
  },
});

export const deleteSavedRoute = route({
  id: 'deleteSavedSearch',
  method: 'delete',
  path: '/v1/saved-searches/{id}',
  summary: 'Takes a name from a search: by who gave it, or an admin. If-Match may name the version.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'saved/delete'],
  ifMatch: 'optional',
  parameters: z.strictObject({ id: z.uuid() }),
  response: z.null(),
  async answer({ caller, path, now, clickhouse, claims, ifMatch }) {
    const before = await find(clickhouse, caller.orgId, path.id);
    checkChange({ caller, before, ifMatch });
    const gone = { ...before, saved_at: Math.max(now, before.saved_at + 1) };
    return {
      facts: { saved: before.id, before: before.saved_at },
      async apply() {
        await changing({ caller, before, claims }, () => put(clickhouse, caller.orgId, gone, 1));
        return { status: 204, body: null, facts: {} };
      },
    };
  },
});

interface Changing {
  readonly caller: Caller;
  readonly before: Saved;
  readonly claims: SharedClaims;
  readonly ifMatch: readonly string[] | undefined;
}

/** So long at most between who has claimed a version and what they wrote: then the table says it. */
const CHANGE_MS_MAX = 60_000;

const changedMeanwhile = (): Refusal =>
  new Refusal('precondition.failed', 'Somebody changed it meanwhile. Read it again.');

/** Whether the caller may change it, and has seen what stands. @throws Refusal `access.forbidden`, `precondition.failed` */
function checkChange({ caller, before, ifMatch }: Omit<Changing, 'claims'>): void {
  if (before.owner !== caller.id && caller.role !== 'admin')
    throw new Refusal('access.forbidden', 'Somebody else saved it.');
  if (ifMatch !== undefined && !ifMatch.includes('*') && !ifMatch.includes(String(before.saved_at)))
    throw changedMeanwhile();
}

/**
 * One change of each version: who claims it writes the next one, and everybody else has seen an old one.
 *
 * @throws Refusal `precondition.failed`
 */
async function changing<T>(
  { caller, before, claims }: Omit<Changing, 'ifMatch'>,
  change: () => Promise<T>,
): Promise<T> {
  const version = `saved:${caller.orgId}:${before.id}:${before.saved_at}`;
  if ((await claims.claim(version, caller.id, CHANGE_MS_MAX)) !== undefined) throw changedMeanwhile();
  try {
    return await change();
  } catch (error) {
    // It may be written all the same: then the version is another one, and this name means nothing.
    await claims.release(version).catch(() => {});
    throw error;
  }
}

/** @throws Refusal `not-found` */
async function find(clickhouse: Pick<ClickHouse, 'query'>, org: string, id: string): Promise<Saved> {
  const [saved] = await clickhouse.query<Saved>(
    `SELECT ${COLUMNS} FROM cairn.saved_searches AS saved FINAL WHERE org_id = {org:String} AND saved.id = {id:UUID} AND is_deleted = 0`,
    { org, id },
    SETTINGS,
  );
  if (saved === undefined) throw new Refusal('not-found', 'Your organisation has no such saved search.');
  return saved;
}

/** Resolves when it is durable. */
async function put(
  clickhouse: Pick<ClickHouse, 'insertRows'>,
  org: string,
  { id, name, search, owner, saved_at: version }: Saved,
  isDeleted: 0 | 1,
): Promise<void> {
  const row = { org_id: org, id, name, search, owner, is_deleted: isDeleted, version };
  await clickhouse.insertRows('cairn.saved_searches', [row], { async_insert: 0 });
}
