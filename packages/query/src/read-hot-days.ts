import type { Day } from './day.ts';
import type { HotDays, RestoredDay } from './plan-hot.ts';

/** What a search needs of the database. Values are bound as parameters, `{name:Type}` in the text. */
export interface Database {
  query<Row>(
    sql: string,
    parameters?: Readonly<Record<string, unknown>>,
    settings?: Readonly<Record<string, string | number>>,
  ): Promise<Row[]>;
}

/** What the hot store holds now. From what ClickHouse knows of its parts, however many rows they have. */
export async function readHotDays(database: Database): Promise<HotDays> {
  const [held, restored] = await Promise.all([
    database.query<{ day: Day }>(
      `SELECT DISTINCT partition AS day FROM system.parts
       WHERE database = 'cairn' AND table = 'events' AND active AND rows > 0 ORDER BY day`,
    ),
    database.query<RestoredDay>(
      `SELECT toString(day) AS day, org_id AS org, segments FROM cairn.restored_days FINAL
       WHERE state = 'restored' ORDER BY day, org`,
    ),
  ]);
  return { held: held.map(({ day }) => day), restored };
}
