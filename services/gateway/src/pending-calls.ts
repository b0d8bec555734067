import type { OpenCall } from './call.ts';

/**
 * Calls whose answer may come on another stream than they were asked on: a client of the first era may resume a stream
 * that broke, and a cancellation is a message of its own. By upstream, MCP session and id of the request.
 */
export class PendingCalls {
  private readonly calls = new Map<string, OpenCall>();

  add(service: string, scope: string, id: string | number, call: OpenCall): () => void {
    const key = keyOf(service, scope, id);
    this.calls.set(key, call);
    return () => {
      if (this.calls.get(key) === call) this.calls.delete(key);
    };
  }

  find(service: string, scope: string, id: string | number): OpenCall | undefined {
    return this.calls.get(keyOf(service, scope, id));
  }

  get size(): number {
    return this.calls.size;
  }
}

/** Ids 1 and "1" are different. */
const keyOf = (service: string, scope: string, id: string | number): string =>
  `${service}\u0000${scope}\u0000${JSON.stringify(id)}`;
