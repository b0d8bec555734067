import { LRUCache } from 'lru-cache';
import type { OpenCall } from './call.ts';

/** Calls that ended without an answer and are known on, for an answer that comes all the same. */
const ENDED_REMEMBERED = 10_000;

/**
 * Calls whose answer may come on another stream than they were asked on: a client of the first era may resume a stream
 * that broke, and a cancellation is a message of its own. By upstream, MCP session and id of the request.
 */
export class PendingCalls {
  private readonly calls = new Map<string, OpenCall>();
  private readonly ended = new LRUCache<string, OpenCall>({ max: ENDED_REMEMBERED });

  /** @returns what ends the wait for this call. */
  add(service: string, scope: string, id: string | number, call: OpenCall): () => void {
    const key = keyOf(service, scope, id);
    this.calls.set(key, call);
    this.ended.delete(key);
    return () => {
      if (this.calls.get(key) !== call) return;
      this.calls.delete(key);
      // An answered one may be shown again by a server whose client resumes.
      if (call.end !== 'answered') this.ended.set(key, call);
    };
  }

  find(service: string, scope: string, id: string | number): OpenCall | undefined {
    const key = keyOf(service, scope, id);
    return this.calls.get(key) ?? this.ended.get(key);
  }

  get size(): number {
    return this.calls.size;
  }
}

/** Ids 1 and "1" are different. */
const keyOf = (service: string, scope: string, id: string | number): string =>
  `${service}\u0000${scope}\u0000${JSON.stringify(id)}`;
