import { LRUCache } from 'lru-cache';
import type { Caller } from './identity.ts';
import { isObject, textOf } from './read-message.ts';

export interface ClientClaims {
  readonly name: string;
  readonly version: string;
}

interface ClientSession {
  readonly callerKey: string;
  readonly client: ClientClaims | undefined;
}

const SESSIONS_REMEMBERED = 100_000;
/** More of a claim than an event holds is not remembered. */
const CLAIM_CHARACTERS_MAX = 256;
const claimOf = (claim: unknown): string => textOf(claim).slice(0, CLAIM_CHARACTERS_MAX);

/**
 * MCP sessions of the first era: who began each, and what the client said of itself then. A session is used by the caller
 * who began it and by nobody else.
 */
export class ClientSessions {
  private readonly sessions = new LRUCache<string, ClientSession>({ max: SESSIONS_REMEMBERED });

  begin(service: string, sessionId: string, caller: Caller, clientInfo: unknown): void {
    const client = isObject(clientInfo)
      ? { name: claimOf(clientInfo['name']), version: claimOf(clientInfo['version']) }
      : undefined;
    this.sessions.set(`${service} ${sessionId}`, { callerKey: caller.key, client });
  }

  clientOf(service: string, sessionId: string | undefined): ClientClaims | undefined {
    return sessionId === undefined ? undefined : this.sessions.get(`${service} ${sessionId}`)?.client;
  }

  /** False when another caller began this session. */
  mayUse(service: string, sessionId: string | undefined, caller: Caller): boolean {
    if (sessionId === undefined) return true;
    const known = this.sessions.get(`${service} ${sessionId}`);
    return known === undefined || known.callerKey === caller.key;
  }
}
