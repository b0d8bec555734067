import {
  type ApiKey,
  draftKey,
  findKey,
  KEY_DAYS_MAX,
  keepKey,
  listKeys,
  ROLES,
  revokeKey,
  SCOPES,
} from '@cairn/access';
import { z } from 'zod';
import { Refusal } from './problem.ts';
import { principalOf } from './record-access.ts';
import { route } from './route.ts';

/** Keys of one answer. */
const PAGE_MAX = 1_000;
const idSchema = z.string().regex(/^[0-9a-f]{16}$/);

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
  summary: 'API keys of the organisation, the latest first, revoked and expired ones too, page by page.',
  roles: ['admin'],
  scope: 'keys',
  recorded: ['admin', 'keys/list'],
  query: z.strictObject({
    after: idSchema.optional().describe('`next` of the page before.'),
    limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_MAX),
  }),
  response: z.object({
    keys: z.array(keySchema),
    next: z.string().nullable().describe('Where the next page begins; null when this is the last.'),
  }),
  async answer({ caller, query, clickhouse }) {
    const { orgId } = caller;
    const after = query.after === undefined ? undefined : await findKey(clickhouse, query.after);
    if (query.after !== undefined && after?.orgId !== orgId)
      throw new Refusal('cursor.invalid', 'Your organisation has no such key. Begin anew without it.');
    const found = await listKeys(clickhouse, orgId, { limit: query.limit + 1, after });
    const keys = found.slice(0, query.limit);
    const next = found.length > keys.length ? keys.at(-1)!.id : null;
    return { body: { keys: keys.map(shown), next }, facts: { rows: keys.length, page: after !== undefined } };
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
    const request = { ...body, orgId: caller.orgId, createdBy: caller.id };
    const { key, text } = draftKey(request, now / 1_000);
    return {
      facts: { key: key.id, key_role: key.role, scopes: key.scopes, expires: key.expiresAtMs },
      // A key that was kept and is not answered is nobody's: its text was never shown, and the trail names it.
      async apply() {
        await keepKey(clickhouse, key);
        return { status: 201, body: { key: shown(key), text }, facts: {} };
      },
    };
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
  parameters: z.strictObject({ id: idSchema }),
  response: z.null(),
  async answer({ caller, path: { id }, now, clickhouse, requestId }) {
    const key = await findKey(clickhouse, id);
    if (key?.orgId !== caller.orgId) throw new Refusal('not-found', 'Your organisation has no such key.');
    return {
      facts: { key: id, key_role: key.role },
      async apply() {
        await revokeKey(clickhouse, caller.orgId, id, now / 1_000);
        return { status: 204, body: null, facts: {} };
      },
      async withoutDecision() {
        await revokeKey(clickhouse, caller.orgId, id, now / 1_000, {
          user_id: caller.id,
          auth_method: caller.auth,
          principal_type: principalOf(caller),
          service: 'query',
          request: requestId,
        });
        return 'The key is revoked. That could not be recorded yet, and is recorded as soon as it can be.';
      },
    };
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
