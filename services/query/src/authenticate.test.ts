import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KeyDatabase } from '@cairn/access';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  exportJWK,
  generateKeyPair,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { type Authenticator, openAuthenticator } from './authenticate.ts';

const NONE = { query: async () => [], insertRows: async () => {} } as unknown as KeyDatabase;
const OIDC = { issuer: 'https://id.example', audience: 'cairn', orgClaim: 'org', roleClaim: 'role' };
const own = await generateKeyPair('ES256', { extractable: true });
const foreign = await generateKeyPair('ES256', { extractable: true });
const jwks = createLocalJWKSet({ keys: [{ ...(await exportJWK(own.publicKey)), kid: 'a', alg: 'ES256' }] });
const authenticator = openAuthenticator(NONE, { oidc: OIDC, keyAgeMsMax: 0 }, new Uint8Array(32), jwks);

type Claims = Record<string, unknown>;
const token = (claims: Claims = {}, header: Record<string, unknown> = {}, key = own.privateKey, exp = '5m') =>
  new SignJWT({
    iss: OIDC.issuer,
    aud: 'cairn',
    sub: 'alice@example.com',
    org: 'acme',
    role: 'viewer',
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'a', ...header })
    .setExpirationTime(exp)
    .sign(key);
const callerOf = (text: string) => authenticator.callerOf(`Bearer ${text}`, Date.now());

describe('an OIDC token', () => {
  test('says organisation and role, and its subject becomes a token that is always the same', async () => {
    const caller = await callerOf(await token());
    expect(caller).toMatchObject({ orgId: 'acme', role: 'viewer', auth: 'oidc', scopes: ['trail'] });
    expect(caller!.id).toMatch(/^o1_[\w-]{22}$/);
    expect(JSON.stringify(caller)).not.toContain('alice');
    expect((await callerOf(await token({ jti: 'another' })))!.id).toBe(caller!.id);
  });

  test.each([
    ['of another issuer', async () => token({ iss: 'https://evil.example' })],
    ['of an unknown role', async () => token({ role: 'root' })],
    ['without an organisation', async () => token({ org: undefined })],
    ['with an organisation that is no name', async () => token({ org: "a' OR 1" })],
    ['with a list as its role', async () => token({ role: ['admin'] })],
    ['that has expired', async () => token({}, {}, own.privateKey, '-1h')],
    ['signed by a key that is not the issuer’s', async () => token({}, {}, foreign.privateKey)],
    ['under a key id that is not there', async () => token({}, { kid: 'b' })],
    [
      'that brings its own key',
      async () =>
        token(
          {},
          { jwk: await exportJWK(foreign.publicKey), jku: 'https://evil.example' },
          foreign.privateKey,
        ),
    ],
    [
      'without a signature',
      async () =>
        new UnsecuredJWT({ org: 'acme', role: 'admin' })
          .setIssuer(OIDC.issuer)
          .setAudience('cairn')
          .setSubject('x')
          .setExpirationTime('5m')
          .encode(),
    ],
    [
      'signed with the public key as a secret',
      async () => {
        const secret = new TextEncoder().encode(JSON.stringify(await exportJWK(own.publicKey)));
        return new SignJWT({ org: 'acme', role: 'admin' })
          .setProtectedHeader({ alg: 'HS256', kid: 'a' })
          .setIssuer(OIDC.issuer)
          .setAudience('cairn')
          .setSubject('x')
          .setExpirationTime('5m')
          .sign(secret);
      },
    ],
    ['that is none', async () => 'x.y.z'],
  ])('%s is refused', async (_what, made) => {
    expect(await callerOf(await made())).toBeUndefined();
  });

  test('for another audience is refused', async () => {
    const other = openAuthenticator(
      NONE,
      { oidc: { ...OIDC, audience: 'other' }, keyAgeMsMax: 0 },
      new Uint8Array(32),
      jwks,
    );
    expect(await other.callerOf(`Bearer ${await token()}`, Date.now())).toBeUndefined();
  });

  test('counts nowhere where no issuer is configured', async () => {
    const keys = openAuthenticator(NONE, { oidc: undefined, keyAgeMsMax: 0 }, new Uint8Array(32));
    expect(await keys.callerOf(`Bearer ${await token()}`, Date.now())).toBeUndefined();
  });
});

describe('the keys of an issuer', () => {
  let server: Server;
  let answer: (response: ServerResponse) => void;
  let fetched: number;

  beforeEach(async () => {
    fetched = 0;
    server = createServer((_request, response) => {
      fetched += 1;
      answer(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const published = async (...kids: readonly string[]) => {
    const keys = await Promise.all(kids.map(async (kid) => ({ ...(await exportJWK(own.publicKey)), kid })));
    answer = (response) => void response.end(JSON.stringify({ keys }));
  };
  const jwksUrl = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  const remote = (pauseMs = 0) =>
    openAuthenticator(
      NONE,
      { oidc: OIDC, keyAgeMsMax: 0 },
      new Uint8Array(32),
      createRemoteJWKSet(new URL(jwksUrl()), { cooldownDuration: pauseMs }),
    );
  const asking = async (authenticator: Authenticator, kid: string) =>
    authenticator.callerOf(`Bearer ${await token({}, { kid })}`, Date.now());

  test('that were rotated are fetched when a token names the new one, and those that are gone count no more', async () => {
    await published('old');
    const authenticator = remote();
    expect(await asking(authenticator, 'old')).toMatchObject({ orgId: 'acme' });
    expect(await asking(authenticator, 'old')).toMatchObject({ orgId: 'acme' });
    expect(fetched).toBe(1);
    await published('new');
    expect(await asking(authenticator, 'new')).toMatchObject({ orgId: 'acme' });
    expect(await asking(authenticator, 'old')).toBeUndefined();
  });

  test.each([
    ['answers with an error', (response: ServerResponse) => void response.writeHead(500).end()],
    ['answers with what is no JSON', (response: ServerResponse) => void response.end('<html>')],
    ['answers with what is no set of keys', (response: ServerResponse) => void response.end('{}')],
    ['breaks off', (response: ServerResponse) => void response.destroy()],
  ])('that cannot be had, since it %s, make no credential wrong', async (_what, does) => {
    answer = does;
    await expect(asking(remote(), 'a')).rejects.toMatchObject({ code: 'issuer.unreachable', retry: 'later' });
    await published('a');
    expect(await asking(remote(), 'a')).toMatchObject({ orgId: 'acme' });
  });

  test('are not asked for again and again by tokens that name keys which are not there', async () => {
    await published('a');
    const oidc = { ...OIDC, jwksUrl: jwksUrl() };
    const authenticator = openAuthenticator(NONE, { oidc, keyAgeMsMax: 0 }, new Uint8Array(32));
    for (const kid of ['x', 'y', 'z']) expect(await asking(authenticator, kid)).toBeUndefined();
    expect(fetched).toBe(1);
  });
});
