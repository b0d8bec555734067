import { Failure, messageOf } from '@cairn/failure';
import { LocalDatabase } from './local-database.ts';

/** A record that a destination refused, as it lay in the log. */
export interface ParkedRecord {
  readonly destination: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** When the broker appended it, milliseconds since 1970. */
  readonly appendedAtMs: number;
  /** For a person; a UUID. */
  readonly eventId: string;
  /** The record's value, so that it is put in the destination's format again by whatever code runs then. */
  readonly value: Uint8Array;
  /** What the destination said. Hostile. */
  readonly reason: string;
}

/** One that a person has sent again. */
export interface DueRecord extends ParkedRecord {
  readonly number: number;
  /** As they called themselves; null in what an older release was asked for. */
  readonly replayedBy: string | null;
}

/** One as a person sees it. */
export interface ParkedRow extends Omit<ParkedRecord, 'value'> {
  /** `due` is waiting to be sent again. */
  readonly state: 'parked' | 'due';
  readonly parkedMs: number;
  /** Times that it was refused. */
  readonly refusals: number;
}

const TABLES = `
CREATE TABLE IF NOT EXISTS parked (
  number       INTEGER PRIMARY KEY,
  destination  TEXT NOT NULL,
  topic        TEXT NOT NULL,
  partition    INTEGER NOT NULL,
  "offset"     INTEGER NOT NULL,
  appended_ms  INTEGER NOT NULL,
  event_id     TEXT NOT NULL,
  value        BLOB NOT NULL,
  reason       TEXT NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('parked', 'due')),
  refusals     INTEGER NOT NULL DEFAULT 1,
  parked_ms    INTEGER NOT NULL,
  replayed_by  TEXT,
  UNIQUE (destination, topic, partition, "offset")
) STRICT;
CREATE INDEX IF NOT EXISTS parked_due ON parked (destination, state, number);
`;

const COLUMNS = `destination, topic, partition, "offset", appended_ms AS appendedAtMs, event_id AS eventId, reason, state,
  refusals, parked_ms AS parkedMs`;

/**
 * What destinations of the forwarder refused, in a file on local disk. What `park` has returned from survives kill -9 and power loss. A
 * person may look at it and replay from another process at the same time.
 */
export class ParkedRecords implements Disposable {
  readonly #database: LocalDatabase;

  /** @throws Failure `parked.unusable` */
  constructor(file: string) {
    this.#database = new LocalDatabase(file, TABLES, unusable);
    const names = this.#database.prepare('SELECT name FROM pragma_table_info(?)').all('parked');
    // A file of a forwarder that did not ask who.
    if (!names.some(({ name }) => name === 'replayed_by')) {
      const add = this.#database.prepare('ALTER TABLE parked ADD COLUMN replayed_by TEXT');
      this.#database.whole(() => add.run());
    }
  }

  /** Parks records, all or none; one that is parked already is refused once more. @throws Failure `parked.unusable` */
  park(records: readonly ParkedRecord[], nowMs: number): void {
    this.#database.whole(() => {
      const insert = this.#database.prepare(
        `INSERT INTO parked (destination, topic, partition, "offset", appended_ms, event_id, value, reason, state, parked_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'parked', ?)
         ON CONFLICT DO UPDATE SET state = 'parked', reason = excluded.reason, refusals = refusals + 1`,
      );
      for (const one of records)
        insert.run(
          one.destination,
          one.topic,
          one.partition,
          one.offset,
          one.appendedAtMs,
          one.eventId,
          one.value,
          one.reason,
          nowMs,
        );
    });
  }

  /** What is to be sent to a destination again, the oldest first. */
  due(destination: string, most: number): DueRecord[] {
    return this.#database
      .prepare(
        `SELECT number, value, replayed_by AS replayedBy, ${COLUMNS} FROM parked WHERE destination = ? AND state = 'due' ORDER BY number LIMIT ?`,
      )
      .all(destination, most) as unknown as DueRecord[];
  }

  /** Forgets what was delivered. */
  forget(numbers: readonly number[]): void {
    this.#database.whole(() => {
      const remove = this.#database.prepare('DELETE FROM parked WHERE number = ?');
      for (const number of numbers) remove.run(number);
    });
  }

  /** Has what a destination refused sent again. @param by who says so. @returns how many records that is. */
  replay(destination: string, by: string): number {
    const update = this.#database.prepare(
      `UPDATE parked SET state = 'due', replayed_by = ? WHERE destination = ? AND state = 'parked'`,
    );
    return this.#database.whole(() => Number(update.run(by, destination).changes));
  }

  /** The latest first. */
  list(options: { readonly destination?: string | undefined; readonly most: number }): ParkedRow[] {
    return this.#database
      .prepare(
        `SELECT ${COLUMNS} FROM parked WHERE ?1 IS NULL OR destination = ?1 ORDER BY number DESC LIMIT ?2`,
      )
      .all(options.destination ?? null, options.most) as unknown as ParkedRow[];
  }

  counts(): { readonly destination: string; readonly count: number }[] {
    return this.#database
      .prepare('SELECT destination, count(*) AS count FROM parked GROUP BY destination')
      .all() as unknown as { destination: string; count: number }[];
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
  }
}

function unusable(error: unknown): Failure {
  return new Failure({
    code: 'parked.unusable',
    retry: 'later',
    message: `the parked records on disk cannot be read or written: ${messageOf(error)}`,
    mend: 'Look at the disk of the data directory of the forwarder: room, permissions, and that it is local.',
    cause: error,
  });
}
