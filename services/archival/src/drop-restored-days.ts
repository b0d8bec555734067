import type { ClickHouse } from '@cairn/adapters';

/** Days that were loaded back, and until when. */
export interface RestoredMark {
  /** `YYYY-MM-DD` */
  readonly day: string;
  /** Organisation; empty for all. */
  readonly org: string;
  readonly state: 'restoring' | 'restored' | 'dropped';
  readonly untilMs: number;
}

/** What this job asks of the hot store: `restoredDaysIn` is it in ClickHouse. */
export interface RestoredDays {
  /** The latest mark of each day and organisation. */
  marks(): Promise<RestoredMark[]>;
  /** Days of which there are rows. */
  days(): Promise<string[]>;
  /** From now on nothing is answered from the day. */
  markDropped(day: string, org: string): Promise<void>;
  /** Drops all rows of a day. Repetition is harmless. */
  dropDay(day: string): Promise<void>;
}

/**
 * Drops the days that were loaded back and whose time is over. A day with several marks stays until the last of them ends.
 *
 * 1. The marks say that the day is dropped: questions go to the archive again. COMMIT POINT.
 * 2. The rows go. Days with rows and no mark that stands are what a crash left here, and go too.
 * 3. A restoration that began between the two has lost rows: its mark is taken back.
 *
 * @param nowMs milliseconds since 1970.
 * @returns the days.
 */
export async function dropRestoredDays(table: RestoredDays, nowMs: number): Promise<string[]> {
  const marks = await table.marks();
  const stands = ({ state, untilMs }: RestoredMark): boolean => state !== 'dropped' && untilMs > nowMs;
  const standing = new Set(marks.filter(stands).map(({ day }) => day));
  const rows = await table.days();
  const over = [
    ...new Set([...rows, ...marks.filter(({ state }) => state !== 'dropped').map(({ day }) => day)]),
  ]
    .filter((day) => !standing.has(day))
    .sort();
  for (const day of over) {
    // 1.
    for (const mark of marks) {
      if (mark.day === day && mark.state !== 'dropped') await table.markDropped(day, mark.org);
    }
    // 2.
    await table.dropDay(day);
    // 3.
    for (const mark of await table.marks())
      if (mark.day === day && mark.state !== 'dropped') await table.markDropped(day, mark.org);
  }
  return over;
}

/** The tables `cairn.restored_events` and `cairn.restored_days` (deploy/clickhouse/0004_restored.sql). */
export function restoredDaysIn(clickhouse: ClickHouse): RestoredDays {
  return {
    marks: () =>
      clickhouse.query<RestoredMark>(
        `SELECT toString(day) AS day, org_id AS org, state, toUnixTimestamp64Milli(until) AS untilMs
         FROM cairn.restored_days FINAL`,
        {},
        { output_format_json_quote_64bit_integers: 0 },
      ),
    async days() {
      const rows = await clickhouse.query<{ day: string }>(
        `SELECT DISTINCT partition AS day FROM system.parts
         WHERE database = 'cairn' AND table = 'restored_events' AND active`,
      );
      return rows.map(({ day }) => day);
    },
    async markDropped(day, org) {
      const row = { day, org_id: org, state: 'dropped', run: '', until: 0, segments: 0, events: 0 };
      await clickhouse.insertRows('cairn.restored_days', [row], { async_insert: 0 });
    },
    async dropDay(day) {
      if (!/^\d{4}-\d{2}-\d{2}$/.test(day)) throw new TypeError(`${day} is no day`);
      await clickhouse.exec(`ALTER TABLE cairn.restored_events DROP PARTITION '${day}'`);
    },
  };
}
