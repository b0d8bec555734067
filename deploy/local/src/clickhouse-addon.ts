import { createRequire } from 'node:module';

/**
 * One connection to the embedded engine. It carries settings, parameters, the current database and temporary tables.
 * One statement at a time; connections are independent of each other.
 */
export interface Connection extends Disposable {
  /** Runs a statement; the answer is whole, in `format` unless the statement names one. */
  query(sql: string, format: string): Promise<QueryOutput>;
  /** Runs an INSERT; what came of it is counted, views included. */
  insert(sql: string): Promise<InsertOutput>;
}

export interface QueryOutput {
  readonly bytes: Uint8Array;
  /** Rows and bytes of the result, in spite of their names: the addon does not tell what was read for it. */
  readonly rowsRead: number;
  readonly bytesRead: number;
  /** In seconds. */
  readonly elapsed: number;
}

export interface InsertOutput {
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  /** In seconds. */
  readonly elapsed: number;
}

/**
 * chdb's native addon. Its Session class stands above and is not used, for two reasons: it hides what an insert wrote, and
 * it closes a connection only when no query of the whole process runs any more, so that one long query holds the memory
 * of every connection that came and went meanwhile.
 */
interface Addon {
  CreateConnection(directory: string, args: readonly string[]): object;
  CloseConnection(connection: object): void;
  QueryAsyncConnection(connection: object, sql: string, format: string): Promise<QueryOutput>;
  InsertRawAsyncConnection(
    connection: object,
    sql: string,
    rows: Uint8Array,
    countLines: boolean,
  ): Promise<InsertOutput>;
}

/**
 * Opens a connection over a folder. The engine starts with the first one of the process and ends with the last.
 *
 * @param args settings of the connection, as `--name=value`.
 */
export function openConnection(directory: string, args: readonly string[]): Connection {
  const addon = loadAddon();
  const connection = addon.CreateConnection(directory, args);
  return {
    query: (sql, format) => addon.QueryAsyncConnection(connection, sql, format),
    insert: (sql) => addon.InsertRawAsyncConnection(connection, sql, NO_ROWS, false),
    [Symbol.dispose]: () => addon.CloseConnection(connection),
  };
}

const NO_ROWS = new Uint8Array(0);

/** The addon is a dependency of chdb for each platform, so it is looked up from there. */
function loadAddon(): Addon {
  const chdb = createRequire(import.meta.url).resolve('chdb');
  const libc = process.platform === 'linux' ? '-gnu' : '';
  return createRequire(chdb)(`@chdb/lib-${process.platform}-${process.arch}${libc}`);
}
