import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Failure } from '@cairn/failure';

/**
 * One SQLite file with a write-ahead log on local disk, synced at every commit: what `whole` has returned from survives kill -9 and
 * power loss. Another process may have it open at the same time and write to it in turn.
 */
export class LocalDatabase implements Disposable {
  readonly #database: DatabaseSync;
  readonly #unusable: (error: unknown) => Failure;

  /**
   * @param tables statements that make what is not there yet.
   * @param unusable what SQLite says, as whoever owns the file calls it.
   * @throws Failure `unusable`
   */
  constructor(file: string, tables: string, unusable: (error: unknown) => Failure) {
    this.#unusable = unusable;
    try {
      this.#database = new DatabaseSync(file);
      this.#database.exec(
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;',
      );
      this.#database.exec(tables);
    } catch (error) {
      throw unusable(error);
    }
  }

  prepare(sql: string): StatementSync {
    return this.#database.prepare(sql);
  }

  /** Everything that `act` writes is there afterwards, on disk, or nothing of it. @throws Failure `unusable` */
  whole<T>(act: () => T): T {
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      const result = act();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // A disk that is full or fails has ended the transaction already (sqlite.org/lang_transaction.html, "Response To Errors").
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw this.#unusable(error);
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
