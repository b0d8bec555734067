import { hash } from 'node:crypto';
import type { PrivacyGuard } from '@cairn/privacy';
import type { GatewayConfig } from './config.ts';

/** Who calls, from configuration and never from what the client says. Names are the event's. */
export interface Caller {
  readonly org_id: string;
  readonly agent_id: string;
  readonly agent_version: string;
  readonly principal_type: 'human' | 'service' | 'agent' | 'device';
  /** Token of the person for whom the agent acts. */
  readonly user_id: string;
  readonly auth_method: string;
  /** Tells callers apart inside this process: the hash of the credential. */
  readonly key: string;
}

/**
 * Finds the caller of a credential. Only hashes are kept, so looking one up in a map tells an attacker nothing that the
 * time could leak.
 */
export function callersOf(
  { identities, anonymous }: Pick<GatewayConfig, 'identities' | 'anonymous'>,
  guard: PrivacyGuard,
): (authorization: string | undefined) => Caller | undefined {
  const known = new Map<string, Caller>(
    identities.map((identity) => [
      identity.credential_sha256,
      {
        org_id: identity.org,
        agent_id: identity.agent,
        agent_version: identity.agent_version,
        principal_type: identity.principal_type,
        user_id: guard.token(identity.org, 'user', identity.user),
        auth_method: 'bearer',
        key: identity.credential_sha256,
      },
    ]),
  );
  const nobody: Caller | undefined = anonymous && {
    org_id: anonymous.org,
    agent_id: anonymous.agent,
    agent_version: '',
    principal_type: 'agent',
    user_id: '',
    auth_method: 'none',
    key: 'anonymous',
  };
  return (authorization) => {
    if (authorization === undefined) return nobody;
    const credential = /^Bearer +([^\s]{1,4096})$/i.exec(authorization)?.[1];
    if (credential === undefined) return undefined;
    return known.get(hash('sha256', credential));
  };
}
