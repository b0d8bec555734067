import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, openConnection } from './clickhouse-addon.ts';
import { createKept, kindOf } from './clickhouse-kept.ts';
import type { EngineRequest } from './clickhouse-request.ts';
import { createSessions, type MarkedConnection } from './clickhouse-sessions.ts';
import { applySettings, keepingSettings } from './clickhouse-settings.ts';
import { insertFromFile, isInsert, literal, quotedName } from './clickhouse-statement.ts';
import { createTurns } from './clickhouse-turns.ts';

export interface EngineAnswer {
  readonly bytes: Uint8Array;
  readonly resultRows: number;
  readonly resultBytes: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly elapsedNs: number;
}

export interface Engine extends AsyncDisposable {
  readonly version: string;
  /** Runs a request. When `signal` aborts, the query is killed, and the call rejects when it has ended. */
  run(request: EngineRequest, signal: AbortSignal): Promise<EngineAnswer>;
}

/** Queries that may run at the same time; more wait. */
const CONCURRENT_MAX = 20;

/** Connections that are open before a request comes for one: opening takes half a millisecond of the thread that all requests share. */
const SPARE_MAX = 4;

/** Connections that wait for another SELECT with the settings of their last one. */
const KEPT_MAX = 20;

/** A query is killed again after this time: it may not have begun, or look for the kill only between two blocks. */
const KILL_AGAIN_MS = 50;

/** Tables are there when the engine has started, and `1 + 1` is no query: as with a server. */
const SERVER_LIKE = ['--async_load_databases=0', '--implicit_select=0'];

/** The one setting that is free to carry a mark: it names the application to other servers, and none is reached from here. */
const MARK = 'chdb_client_name';

/** The server's configuration, if it stands in the folder: clusters, for example. */
const CONFIG_FILE = 'config.xml';

/**
 * Opens the ClickHouse engine over a folder. One process may open a folder at a time.
 *
 * Each request has a connection for itself, since settings and parameters are kept by the connection; requests of a
 * session share one, and a SELECT leaves its own to a later one that sets the same. Some are opened ahead, and one more
 * stays open, because the engine ends with its last connection.
 */
export async function openEngine(directory: string): Promise<Engine> {
  const config = join(directory, CONFIG_FILE);
  const started = existsSync(config) ? [...SERVER_LIKE, `--config-file=${config}`] : SERVER_LIKE;
  const open = (...args: string[]) => openConnection(directory, [...started, ...args]);
  const openMarked = (): MarkedConnection => {
    const marker = randomUUID();
    return { marker, connection: open(`--${MARK}=${marker}`) };
  };
  const first = open();
  const version = Buffer.from((await first.query('SELECT version()', 'TSV')).bytes)
    .toString()
    .trim();
  const spare: MarkedConnection[] = [];
  let opening: NodeJS.Immediate | undefined;
  /** One after the other, each behind what came meanwhile. */
  const openSpare = (): void => {
    if (opening !== undefined || spare.length >= SPARE_MAX) return;
    opening = setImmediate(() => {
      opening = undefined;
      spare.push(openMarked());
      openSpare();
    });
  };
  openSpare();
  const kept = createKept(KEPT_MAX);
  const turns = createTurns(CONCURRENT_MAX);
  const sessions = createSessions(openMarked);

  const killUntilEnded = async (marker: string, ended: AbortSignal): Promise<void> => {
    using killer = open();
    while (!ended.aborted) {
      await killer.query(`KILL QUERY WHERE Settings['${MARK}'] = ${literal(marker)} ASYNC`, 'Null');
      await sleep(KILL_AGAIN_MS, undefined, { signal: ended }).catch(() => {});
    }
  };

  const runOn = async (
    { connection, marker }: MarkedConnection,
    request: EngineRequest,
    signal: AbortSignal,
    isSet = false,
  ): Promise<EngineAnswer> => {
    const ended = new AbortController();
    let killing: Promise<void> | undefined;
    const kill = () => {
      // One that cannot be killed runs to its own end, as the call below does.
      killing = killUntilEnded(marker, ended.signal).catch(() => {});
    };
    signal.throwIfAborted();
    signal.addEventListener('abort', kill);
    try {
      return await runStatement(connection, request, signal, isSet);
    } finally {
      signal.removeEventListener('abort', kill);
      ended.abort();
      await killing;
    }
  };

  return {
    version,
    async run(request, signal) {
      // KILL does not wait for those that it is to end.
      using _turn = /^\s*KILL\b/i.test(request.sql) ? undefined : await turns.take();
      if (request.session) {
        return await sessions.run(request.session, (marked) =>
          keepingSettings(marked.connection, request, () => runOn(marked, request, signal)),
        );
      }
      const kind = kindOf(request);
      const ready = kind === undefined ? undefined : kept.take(kind);
      const marked = ready ?? spare.pop() ?? openMarked();
      try {
        const answer = await runOn(marked, request, signal, ready !== undefined);
        if (kind === undefined) marked.connection[Symbol.dispose]();
        else kept.keep(kind, marked);
        return answer;
      } catch (error) {
        // It may be anywhere between two statements.
        marked.connection[Symbol.dispose]();
        throw error;
      } finally {
        openSpare();
      }
    },
    async [Symbol.asyncDispose]() {
      clearImmediate(opening);
      for (const { connection } of spare) connection[Symbol.dispose]();
      kept[Symbol.dispose]();
      sessions[Symbol.dispose]();
      first[Symbol.dispose]();
    },
  };
}

/** @param isSet the connection has the settings of the request already, and only lacks the parameters' values. */
async function runStatement(
  connection: Connection,
  request: EngineRequest,
  signal: AbortSignal,
  isSet: boolean,
): Promise<EngineAnswer> {
  if (request.database !== undefined && request.database !== 'default') {
    await connection.query(`USE ${quotedName(request.database)}`, 'Null');
  }
  await applySettings(connection, request, isSet);
  signal.throwIfAborted();
  const { sql, rowsFile } = request;
  if (isInsert(sql)) {
    const { rowsWritten, bytesWritten, elapsed } = await connection.insert(
      rowsFile ? insertFromFile(sql, rowsFile) : sql,
    );
    return { ...NOTHING, rowsWritten, bytesWritten, elapsedNs: nanoseconds(elapsed) };
  }
  const { bytes, rowsRead, bytesRead, elapsed } = await connection.query(sql, request.format);
  return { ...NOTHING, bytes, resultRows: rowsRead, resultBytes: bytesRead, elapsedNs: nanoseconds(elapsed) };
}

const NOTHING = { bytes: new Uint8Array(0), resultRows: 0, resultBytes: 0, rowsWritten: 0, bytesWritten: 0 };

function nanoseconds(seconds: number): number {
  return Math.round(seconds * 1e9);
}
