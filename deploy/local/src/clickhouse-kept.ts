import type { EngineRequest } from './clickhouse-request.ts';
import type { MarkedConnection } from './clickhouse-sessions.ts';

/**
 * Connections that have answered a SELECT and wait for the next one of the same kind, which then has nothing to set but its
 * parameters: opening a connection and giving it its settings takes the engine longer than a small query.
 */
export interface KeptConnections extends Disposable {
  take(kind: string): MarkedConnection | undefined;
  /** The one that waits longest is closed when there are too many. */
  keep(kind: string, marked: MarkedConnection): void;
}

export function createKept(keptMax: number): KeptConnections {
  /** Longest waiting first. */
  const kept: { readonly kind: string; readonly marked: MarkedConnection }[] = [];
  return {
    take(kind) {
      const at = kept.findLastIndex((one) => one.kind === kind);
      return at < 0 ? undefined : kept.splice(at, 1)[0]?.marked;
    },
    keep(kind, marked) {
      kept.push({ kind, marked });
      if (kept.length > keptMax) kept.shift()?.marked.connection[Symbol.dispose]();
    },
    [Symbol.dispose]() {
      for (const { marked } of kept.splice(0)) marked.connection[Symbol.dispose]();
    },
  };
}

/**
 * What a request leaves on its connection: requests of one kind may have it one after the other. Undefined when the connection
 * is to be closed behind it: all but a single SELECT may change it, what is `readonly` takes no parameters any more, and a
 * database that was chosen may be gone, which is told when it is chosen.
 */
export function kindOf({ sql, settings, parameters, database }: EngineRequest): string | undefined {
  const isSelect = SINGLE_SELECT.test(sql) && (database ?? 'default') === 'default';
  if (!isSelect || settings['readonly'] !== undefined) return undefined;
  // The next one sets the same parameters, so that none is left of this one.
  return JSON.stringify([settings, Object.keys(parameters)]);
}

const SINGLE_SELECT = /^\s*(?:SELECT|WITH)\b[^;]*$/i;
