import { LocalDatabase } from '@cairn/adapters';
import { Failure, messageOf } from '@cairn/failure';
import type { Alert } from './alert.ts';

/** One alert on its way to one endpoint. */
export interface Delivery {
  readonly endpoint: string;
  readonly alert: Alert;
  /** Made so far. */
  readonly attempts: number;
  readonly dueMs: number;
  /** When it was promised. */
  readonly addedMs: number;
}

/** How a delivery stands after an attempt. */
export type Settlement =
  | { readonly state: 'delivered'; readonly status: number }
  | {
      readonly state: 'due';
      readonly dueMs: number;
      readonly status: number | undefined;
      readonly note: string;
    }
  | { readonly state: 'parked'; readonly status: number | undefined; readonly note: string };

export interface Settled {
  readonly endpoint: string;
  readonly id: string;
  readonly attempts: number;
  readonly outcome: Settlement;
}

/** A delivery as a person sees it. */
export interface DeliveryRow {
  readonly endpoint: string;
  readonly id: string;
  readonly state: 'due' | 'parked' | 'delivered';
  readonly attempts: number;
  readonly dueMs: number;
  readonly addedMs: number;
  readonly status: number | undefined;
  readonly note: string;
  readonly alert: Alert;
}

export interface DeliveryCounts {
  readonly endpoint: string;
  readonly due: number;
  readonly parked: number;
  readonly oldestDueMs: number | undefined;
}

/** How long a delivery that succeeded is remembered, so that an alert which comes again is not told again. */
const REMEMBERED_MS = 7 * 86_400_000;

const TABLES = `
CREATE TABLE IF NOT EXISTS deliveries (
  number    INTEGER PRIMARY KEY,
  endpoint  TEXT NOT NULL,
  id        TEXT NOT NULL,
  key       TEXT NOT NULL,
  alert     TEXT NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('due', 'parked', 'delivered')),
  attempts  INTEGER NOT NULL DEFAULT 0,
  due_ms    INTEGER NOT NULL,
  added_ms  INTEGER NOT NULL,
  status    INTEGER,
  note      TEXT NOT NULL DEFAULT '',
  UNIQUE (endpoint, id)
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (endpoint, state, due_ms);
CREATE INDEX IF NOT EXISTS deliveries_key ON deliveries (endpoint, key, state, number);
CREATE TABLE IF NOT EXISTS endpoints (
  name         TEXT PRIMARY KEY,
  disabled_ms  INTEGER NOT NULL,
  reason       TEXT NOT NULL
) STRICT;
`;

/**
 * What is promised to endpoints, in a file on local disk. What `add` has returned from survives kill -9 and power loss. A person may
 * look at it and replay from another process at the same time.
 */
export class DeliveryStore implements Disposable {
  readonly #database: LocalDatabase;

  /** @throws Failure `deliveries.unusable` */
  constructor(file: string) {
    this.#database = new LocalDatabase(file, TABLES, unusable);
  }

  /**
   * Promises alerts to endpoints; what was promised before is left as it is. All or none are there afterwards, on disk.
   *
   * @returns how many were new. @throws Failure `deliveries.unusable`
   */
  add(promised: readonly { readonly endpoint: string; readonly alert: Alert }[], nowMs: number): number {
    const insert = this.#database.prepare(
      `INSERT INTO deliveries (endpoint, id, key, alert, state, due_ms, added_ms) VALUES (?, ?, ?, ?, 'due', ?, ?)
       ON CONFLICT DO NOTHING`,
    );
    return this.#database.whole(() => {
      let added = 0;
      for (const { endpoint, alert } of promised) {
        const { changes } = insert.run(endpoint, alert.id, alert.key, JSON.stringify(alert), nowMs, nowMs);
        added += Number(changes);
      }
      return added;
    });
  }

  /**
   * What an endpoint is owed now, oldest first. What was said of one alert is told in its order: an end waits until its
   * beginning was delivered or parked.
   */
  due(endpoint: string, nowMs: number, most: number): Delivery[] {
    const rows = this.#database
      .prepare(
        `SELECT alert, attempts, due_ms, added_ms FROM deliveries AS d
         WHERE endpoint = ? AND state = 'due' AND due_ms <= ?
           AND NOT EXISTS (SELECT 1 FROM deliveries AS before WHERE before.endpoint = d.endpoint
             AND before.key = d.key AND before.state = 'due' AND before.number < d.number)
         ORDER BY due_ms, number LIMIT ?`,
      )
      .all(endpoint, nowMs, most) as { alert: string; attempts: number; due_ms: number; added_ms: number }[];
    return rows.map(({ alert, attempts, due_ms: dueMs, added_ms: addedMs }) => ({
      endpoint,
      alert: JSON.parse(alert) as Alert,
      attempts,
      dueMs,
      addedMs,
    }));
  }

  /** When the next delivery to an endpoint falls due; undefined when none waits. */
  nextDueMs(endpoint: string): number | undefined {
    const row = this.#database
      .prepare(`SELECT min(due_ms) AS due_ms FROM deliveries WHERE endpoint = ? AND state = 'due'`)
      .get(endpoint) as { due_ms: number | null };
    return row.due_ms ?? undefined;
  }

  /** Notes how attempts went, all or none. */
  settle(settled: readonly Settled[]): void {
    const update = this.#database.prepare(
      `UPDATE deliveries SET state = ?1, attempts = ?2, due_ms = coalesce(?3, due_ms), status = ?4, note = ?5
       WHERE endpoint = ?6 AND id = ?7 AND (state = 'due' OR ?1 = 'delivered')`,
    );
    this.#database.whole(() => {
      for (const { endpoint, id, attempts, outcome } of settled) {
        const dueMs = outcome.state === 'due' ? outcome.dueMs : null;
        const note = outcome.state === 'delivered' ? '' : outcome.note;
        update.run(outcome.state, attempts, dueMs, outcome.status ?? null, note, endpoint, id);
      }
    });
  }

  /** Nothing is sent there any more; what waits is parked. */
  disable(endpoint: string, reason: string, nowMs: number): void {
    this.#database.whole(() => {
      this.#database
        .prepare('INSERT OR REPLACE INTO endpoints (name, disabled_ms, reason) VALUES (?, ?, ?)')
        .run(endpoint, nowMs, reason);
      this.#database
        .prepare(`UPDATE deliveries SET state = 'parked', note = ? WHERE endpoint = ? AND state = 'due'`)
        .run(reason, endpoint);
    });
  }

  /** Why nothing is sent to an endpoint; undefined when it is. */
  disabled(endpoint: string): string | undefined {
    const row = this.#database.prepare('SELECT reason FROM endpoints WHERE name = ?').get(endpoint);
    return (row as { reason: string } | undefined)?.reason;
  }

  /** Promises to an endpoint that is disabled are kept, and parked at once. */
  parkDue(endpoint: string, note: string): void {
    const park = this.#database.prepare(
      `UPDATE deliveries SET state = 'parked', note = ? WHERE endpoint = ? AND state = 'due'`,
    );
    this.#database.whole(() => park.run(note, endpoint));
  }

  /**
   * Sends parked deliveries again, from the beginning of the schedule, and enables their endpoint.
   *
   * @returns how many.
   */
  replay(endpoint: string, nowMs: number, sinceMs: number = 0): number {
    return this.#database.whole(() => {
      this.#database.prepare('DELETE FROM endpoints WHERE name = ?').run(endpoint);
      const { changes } = this.#database
        .prepare(
          `UPDATE deliveries SET state = 'due', attempts = 0, due_ms = ?, note = ''
           WHERE endpoint = ? AND state = 'parked' AND added_ms >= ?`,
        )
        .run(nowMs, endpoint, sinceMs);
      return Number(changes);
    });
  }

  /** Deliveries, newest first. */
  list(filter: { readonly state?: DeliveryRow['state'] | undefined; readonly most: number }): DeliveryRow[] {
    const rows = this.#database
      .prepare(
        `SELECT endpoint, id, state, attempts, due_ms AS dueMs, added_ms AS addedMs, status, note, alert FROM deliveries
         WHERE ?1 IS NULL OR state = ?1 ORDER BY number DESC LIMIT ?2`,
      )
      .all(filter.state ?? null, filter.most) as unknown as (Omit<DeliveryRow, 'alert' | 'status'> & {
      alert: string;
      status: number | null;
    })[];
    return rows.map(({ alert, status, ...row }) => ({
      ...row,
      status: status ?? undefined,
      alert: JSON.parse(alert) as Alert,
    }));
  }

  counts(): DeliveryCounts[] {
    const rows = this.#database
      .prepare(
        `SELECT endpoint, sum(state = 'due') AS due, sum(state = 'parked') AS parked,
           min(CASE state WHEN 'due' THEN added_ms END) AS oldest
         FROM deliveries WHERE state <> 'delivered' GROUP BY endpoint`,
      )
      .all() as { endpoint: string; due: number; parked: number; oldest: number | null }[];
    return rows.map(({ oldest, ...counts }) => ({ ...counts, oldestDueMs: oldest ?? undefined }));
  }

  /** Forgets deliveries that succeeded long ago. */
  forget(nowMs: number): void {
    const remove = this.#database.prepare(
      `DELETE FROM deliveries WHERE state = 'delivered' AND added_ms < ?`,
    );
    this.#database.whole(() => remove.run(nowMs - REMEMBERED_MS));
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
  }
}

function unusable(error: unknown): Failure {
  return new Failure({
    code: 'deliveries.unusable',
    retry: 'later',
    message: `the deliveries on disk cannot be read or written: ${messageOf(error)}`,
    mend: 'Look at the disk of the data directory of alerting: room, permissions, and that it is local.',
    cause: error,
  });
}
