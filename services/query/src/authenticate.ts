import { createHmac } from 'node:crypto';
import {
  type ApiKey,
  findKey,
  isKey,
  type KeyDatabase,
  keyIdOf,
  ROLES,
  type Role,
  SCOPES_OF,
  type Scope,
} from '@cairn/access';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import { createRemoteJWKSet, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { QueryConfig } from './config.ts';

/** Somebody who proved who they are. */
export interface Caller {
  /** The one organisation that everything here is bound to. */
  readonly orgId: string;
  readonly role: Role;
  readonly scopes: readonly Scope[];
  /** `key:<id>`, or the token of a person: what the trail and limits know them by. */
  readonly id: string;
  readonly auth: 'api_key' | 'oidc';
}

export interface Authenticator {
  /**
   * @returns undefined when the credential is none, is wrong, has expired or was revoked.
   * @throws Failure `issuer.unreachable` (later) when nobody can say; of the database.
   */
  callerOf(authorization: string | undefined, nowMs: number): Promise<Caller | undefined>;
}

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const CACHED_MAX = 10_000;

/**
 * API keys and, where an issuer is configured, OIDC bearer tokens.
 *
 * @param tokenKey under which a person's subject becomes a token: the trail holds no names.
 * @param jwks where the issuer's keys are; tests put their own.
 */
export function openAuthenticator(
  database: KeyDatabase,
  config: Pick<QueryConfig, 'oidc' | 'keyAgeMsMax'>,
  tokenKey: Uint8Array,
  jwks: JWTVerifyGetKey | undefined = config.oidc &&
    createRemoteJWKSet(jwksUrlOf(config.oidc), { cooldownDuration: 30_000 }),
): Authenticator {
  const known = new Map<string, { readonly key: ApiKey | undefined; readonly atMs: number }>();

  async function keyOf(id: string, nowMs: number): Promise<ApiKey | undefined> {
    const held = known.get(id);
    if (held !== undefined && nowMs - held.atMs < config.keyAgeMsMax) return held.key;
    const key = await findKey(database, id);
    if (known.size >= CACHED_MAX) known.clear();
    known.set(id, { key, atMs: nowMs });
    return key;
  }

  return {
    async callerOf(authorization, nowMs) {
      const [, text] = /^Bearer ([\x21-\x7e]{1,8192})$/i.exec(authorization ?? '') ?? [];
      if (text === undefined) return undefined;
      const id = keyIdOf(text);
      if (id !== undefined) {
        const key = await keyOf(id, nowMs);
        if (key === undefined || !isKey(text, key.sha256)) return undefined;
        if (key.revokedAtMs !== 0 || key.expiresAtMs <= nowMs) return undefined;
        // A role that has lost a scope since takes it from its keys.
        const scopes = key.scopes.filter((scope) => SCOPES_OF[key.role]?.includes(scope));
        return { orgId: key.orgId, role: key.role, scopes, id: `key:${id}`, auth: 'api_key' };
      }
      const { oidc } = config;
      if (oidc === undefined || jwks === undefined) return undefined;
      return personOf(text, oidc, jwks, tokenKey);
    },
  };
}

async function personOf(
  text: string,
  { issuer, audience, orgClaim, roleClaim }: NonNullable<QueryConfig['oidc']>,
  jwks: JWTVerifyGetKey,
  tokenKey: Uint8Array,
): Promise<Caller | undefined> {
  try {
    const { payload } = await jwtVerify(text, heldBy(jwks), {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: 5,
    });
    const { [orgClaim]: orgId, [roleClaim]: role, sub = '' } = payload;
    if (typeof orgId !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(orgId)) return undefined;
    if (!ROLES.includes(role as Role)) return undefined;
    const token = createHmac('sha256', tokenKey).update(`${issuer}\0${sub}`).digest('base64url').slice(0, 22);
    return { orgId, role: role as Role, scopes: SCOPES_OF[role as Role], id: `o1_${token}`, auth: 'oidc' };
  } catch (error) {
    if (isFailure(error)) throw error;
    return undefined;
  }
}

/** Where looking for a key ends by what the token names, and not by where the keys are. */
const OF_THE_TOKEN: ReadonlySet<unknown> = new Set([
  'ERR_JWKS_NO_MATCHING_KEY',
  'ERR_JWKS_MULTIPLE_MATCHING_KEYS',
  'ERR_JOSE_NOT_SUPPORTED',
]);

/** The issuer's keys. That they cannot be had is no fault of a credential. @throws Failure `issuer.unreachable` (later) */
const heldBy =
  (jwks: JWTVerifyGetKey): JWTVerifyGetKey =>
  async (header, token) => {
    try {
      return await jwks(header, token);
    } catch (error) {
      if (OF_THE_TOKEN.has((error as { code?: unknown }).code)) throw error;
      throw new Failure({
        code: 'issuer.unreachable',
        retry: 'later',
        message: `the keys of the issuer cannot be had: ${messageOf(error)}`,
        mend: 'Check CAIRN_QUERY_OIDC_JWKS_URL, and that it is reached from here.',
        cause: error,
      });
    }
  };

const jwksUrlOf = ({ issuer, jwksUrl }: NonNullable<QueryConfig['oidc']>): URL =>
  new URL(jwksUrl ?? `${issuer.replace(/\/$/, '')}/.well-known/jwks.json`);
