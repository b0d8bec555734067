import type { Connection } from './clickhouse-addon.ts';
import { engineError } from './clickhouse-error.ts';
import type { SessionTraits } from './clickhouse-request.ts';

/** A connection and the mark by which its queries are found in `system.processes`. */
export interface MarkedConnection {
  readonly connection: Connection;
  readonly marker: string;
}

export interface Sessions extends Disposable {
  /** Runs `work` on the connection of a session, which is opened when it is not there and kept until it is idle. */
  run<T>(traits: SessionTraits, work: (connection: MarkedConnection) => Promise<T>): Promise<T>;
}

interface Session {
  readonly marked: MarkedConnection;
  busy: boolean;
  idle: NodeJS.Timeout | undefined;
}

/** Sessions of ClickHouse's HTTP interface: one request at a time, each kept for as long as its last request said. */
export function createSessions(open: () => MarkedConnection): Sessions {
  const sessions = new Map<string, Session>();

  const close = (id: string): void => {
    const session = sessions.get(id);
    sessions.delete(id);
    clearTimeout(session?.idle);
    session?.marked.connection[Symbol.dispose]();
  };
  const taken = ({ id, mustExist }: SessionTraits): Session => {
    const found = sessions.get(id);
    if (!found && mustExist) throw engineError(372, 'SESSION_NOT_FOUND', `Session ${id} not found`);
    if (found?.busy) throw engineError(373, 'SESSION_IS_LOCKED', `Session ${id} is locked by another query`);
    const session = found ?? { marked: open(), busy: false, idle: undefined };
    sessions.set(id, session);
    session.busy = true;
    clearTimeout(session.idle);
    return session;
  };

  return {
    async run(traits, work) {
      const session = taken(traits);
      try {
        return await work(session.marked);
      } finally {
        session.busy = false;
        if (traits.closes) close(traits.id);
        else session.idle = setTimeout(() => close(traits.id), traits.idleMsMax).unref();
      }
    },
    [Symbol.dispose]() {
      for (const id of [...sessions.keys()]) close(id);
    },
  };
}
