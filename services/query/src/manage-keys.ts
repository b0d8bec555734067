import { type ApiKey, createKey, KEY_DAYS_MAX, listKeys, ROLES, revokeKey, SCOPES } from '@cairn/access';
import { z } from 'zod';
import { Refusal } from './problem.ts';
import { route } from './route.ts';

const keySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    role: z.enum(ROLES),
    scopes: z.array(z.enum(SCOPES)),
    created_by: z.string(),
    created_at: z.int().describe('Milliseconds since 1970.'),
    expires_at: z.int(),
    revoked_at: z.int().nullable(),
  })
  .meta({ id: 'ApiKey' });

const shown = (key: ApiKey): z.infer<typeof keySchema> => ({
  id: key.id,
  name: key.name,
  role: key.role,
  scopes: [...key.scopes],
  created_by: key.createdBy,
  created_at: key.createdAtMs,
  expires_at: key.expiresAtMs,
  revoked_at: key.revokedAtMs === 0 ? null : key.revokedAtMs,
});

export const listKeysRoute = route({
  id: 'listKeys',
  method: 'get',
  path: '/v1/keys',
  summary: 'API keys of the organisation, revoked and expired ones too.',
  roles: ['admin'],
  scope: 'keys',
  recorded: ['admin', 'keys/list'],
  response: z.object({ keys: z.array(keySchema) }),
  async answer({ caller, clickhouse }) {
    const keys = await listKeys(clickhouse, caller.orgId);
    return { body: { keys: keys.map(shown) }, facts: { rows: keys.length } };
  },
});

export const createKeyRoute = route({
  id: 'createKey',
  method: 'post',
  path: '/v1/keys',
  summary: 'Makes a key. Its text is in this answer and nowhere else.',
  roles: ['admin'],
  scope: 'keys',
  recorded: ['admin', 'keys/create'],
  creates: true,
  body: z.strictObject({
    name: z.string().min(1).max(63),
    role: z.enum(ROLES),
    scopes: z
      .array(z.enum(SCOPES))
      .min(1)
      .max(SCOPES.length)
      .optional()
      .describe('Less than the role may; default all of it.'),
    days: z.int().min(1).max(KEY_DAYS_MAX).default(90),
  }),
  response: z.object({ key: keySchema, text: z.string().describe('The key. Shown once.') }),
  async answer({ caller, body, now, clickhouse }) {
    const { key, text } = await createKey(
      clickhouse,
      { ...body, orgId: caller.orgId, createdBy: caller.id },
      now / 1_000,
    );
    const facts = { key: key.id, key_role: key.role, scopes: key.scopes, expires: key.expiresAtMs };
    // Nobody knows its text then, and nobody is to find a key that the trail does not name.
    const undo = () => revokeKey(clickhouse, caller.orgId, key.id, now / 1_000);
    return { status: 201, body: { key: shown(key), text }, facts, undo };
  },
});

export const revokeKeyRoute = route({
  id: 'revokeKey',
  method: 'delete',
  path: '/v1/keys/{id}',
  summary: 'Revokes a key; it stops to count within seconds.',
  roles: ['admin'],
  scope: 'keys',
  recorded: ['admin', 'keys/revoke'],
  parameters: z.strictObject({ id: z.string().regex(/^[0-9a-f]{16}$/) }),
  response: z.null(),
  async answer({ caller, path, now, clickhouse }) {
    const key = await revokeKey(clickhouse, caller.orgId, path.id, now / 1_000);
    if (key === undefined) throw new Refusal('not-found', 'Your organisation has no such key.');
    return { status: 204, body: null, facts: { key: path.id } };
  },
});

export const readCallerRoute = route({
  id: 'readCaller',
  method: 'get',
  path: '/v1/me',
  summary: 'Who you are here, and what you may.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'me/read'],
  response: z
    .object({ id: z.string(), org: z.string(), role: z.enum(ROLES), scopes: z.array(z.enum(SCOPES)) })
    .meta({ id: 'Caller' }),
  async answer({ caller: { id, orgId, role, scopes } }) {
    return { body: { id, org: orgId, role, scopes: [...scopes] }, facts: {} };
  },
});
