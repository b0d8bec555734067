import { randomUUID } from 'node:crypto';
import { readSearch, SEARCH_CHARACTERS_MAX, writeSearch } from '@cairn/search';
import { z } from 'zod';
import { Refusal } from './problem.ts';
import { route } from './route.ts';

const savedSchema = z
  .object({ id: z.uuid(), name: z.string(), search: z.string(), owner: z.string(), saved_at: z.int() })
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
  response: z.object({ saved: z.array(savedSchema) }),
  async answer({ caller, clickhouse }) {
    const saved = await clickhouse.query<Saved>(
      `SELECT ${COLUMNS} FROM cairn.saved_searches AS saved FINAL WHERE org_id = {org:String} AND is_deleted = 0 ORDER BY name, id LIMIT ${SAVED_MAX}`,
      { org: caller.orgId },
      SETTINGS,
    );
    return { body: { saved }, facts: { rows: saved.length } };
  },
});

export const createSavedRoute = route({
  id: 'createSavedSearch',
  method: 'post',
  path: '/v1/saved-searches',
  summary: 'Gives a search a name.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'saved/create'],
  body: z.strictObject({
    name: z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,62}$/u),
    search: z.string().max(SEARCH_CHARACTERS_MAX),
  }),
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
    await put(clickhouse, caller.orgId, saved, 0, now);
    return { status: 201, body: saved, facts: { saved: saved.id, search } };
  },
});

export const deleteSavedRoute = route({
  id: 'deleteSavedSearch',
  method: 'delete',
  path: '/v1/saved-searches/{id}',
  summary: 'Takes a name from a search: by who gave it, or an admin.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'saved/delete'],
  parameters: z.strictObject({ id: z.uuid() }),
  response: z.null(),
  async answer({ caller, path, now, clickhouse }) {
    const [saved] = await clickhouse.query<Saved>(
      `SELECT ${COLUMNS} FROM cairn.saved_searches AS saved FINAL WHERE org_id = {org:String} AND saved.id = {id:UUID} AND is_deleted = 0`,
      { org: caller.orgId, id: path.id },
      SETTINGS,
    );
    if (saved === undefined) throw new Refusal('not-found', 'Your organisation has no such saved search.');
    if (saved.owner !== caller.id && caller.role !== 'admin')
      throw new Refusal('access.forbidden', 'Somebody else saved it.');
    await put(clickhouse, caller.orgId, saved, 1, now);
    return { status: 204, body: null, facts: { saved: saved.id } };
  },
});

async function put(
  clickhouse: {
    insertRows(table: string, rows: readonly object[], settings: Record<string, number>): Promise<void>;
  },
  org: string,
  { id, name, search, owner }: Saved,
  isDeleted: 0 | 1,
  version: number,
): Promise<void> {
  const row = { org_id: org, id, name, search, owner, is_deleted: isDeleted, version };
  await clickhouse.insertRows('cairn.saved_searches', [row], { async_insert: 0 });
}
