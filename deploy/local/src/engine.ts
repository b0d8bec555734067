import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Session } from 'chdb';
import { type EngineRequest, insertFromFile, setStatement } from './clickhouse-request.ts';

export interface EngineAnswer {
  readonly bytes: Uint8Array;
  readonly rowsRead: number;
  readonly bytesRead: number;
  readonly elapsedNs: number;
}

/** An error of ClickHouse with its number, such as 60 for an unknown table. */
export interface EngineError {
  readonly code: number;
  readonly message: string;
}

export interface Engine extends AsyncDisposable {
  readonly version: string;
  run(request: EngineRequest): Promise<EngineAnswer>;
}

/** Queries that may run at the same time; more wait. */
const CONCURRENT_MAX = 20;

/** Rows of an insert pass through memory, not through the disk. */
const ROWS_DIRECTORY = '/dev/shm';

/**
 * Opens the ClickHouse engine over a folder. One process may open a folder at a time.
 *
 * Each request gets a connection of its own, since settings and parameters are kept by the connection. One more stays
 * open, because the engine ends with its last connection.
 */
export async function openEngine(directory: string): Promise<Engine> {
  const connect = () => new Session(directory, { connectionArgs: ['--async_load_databases=0'] });
  const first = connect();
  const version = (await first.queryAsync('SELECT version()', { format: 'TSV' })).text().trim();
  const waiting: (() => void)[] = [];
  let running = 0;

  const turn = async (): Promise<void> => {
    if (running < CONCURRENT_MAX) {
      running += 1;
      return;
    }
    await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const done = (): void => {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  };

  return {
    version,
    async run(request) {
      await turn();
      const connection = connect();
      try {
        return await runOn(connection, request);
      } finally {
        connection.close();
        done();
      }
    },
    async [Symbol.asyncDispose]() {
      first.close();
    },
  };
}

async function runOn(connection: Session, request: EngineRequest): Promise<EngineAnswer> {
  if (request.database !== undefined && request.database !== 'default') {
    await connection.queryAsync(`USE \`${request.database.replaceAll('`', '``')}\``);
  }
  const set = setStatement(request);
  if (set) await connection.queryAsync(set);
  const file = request.rows && join(ROWS_DIRECTORY, `cairn-${randomUUID()}.rows`);
  try {
    if (file && request.rows) await writeFile(file, request.rows, { mode: 0o600 });
    const sql = file ? insertFromFile(request.sql, file) : request.sql;
    const result = await connection.queryAsync(sql, { format: request.format });
    return {
      bytes: result.bytes(),
      rowsRead: result.rowsRead,
      bytesRead: result.bytesRead,
      elapsedNs: Math.round(result.elapsed * 1e9),
    };
  } finally {
    if (file) await rm(file, { force: true });
  }
}

/** The number and text of an error of the engine; undefined for any other error. */
export function engineErrorOf(error: unknown): EngineError | undefined {
  if (!(error instanceof Error) || !('clickhouseCode' in error)) return undefined;
  return { code: Number(error.clickhouseCode ?? UNKNOWN_EXCEPTION), message: error.message };
}

/** ClickHouse's own number for errors that have none. */
const UNKNOWN_EXCEPTION = 1002;
