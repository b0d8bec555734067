import type { HotDays, RestoredDay } from './plan-hot.ts';

/** What a search needs of the database. Values are bound as parameters, `{name:Type}` in the text. */
export interface Database {
  query<Row>(
    sql: string,
    parameters?: Readonly<Record<string, unknown>>,
    settings?: Readonly<Record<string, string | number>>,
  ): Promise<Row[]>;
}

/** What the hot store holds now, days in order. From what ClickHouse knows of its parts, however many rows they have. */
export async function readHotDays(database: Database): Promise<HotDays> {
  const rows = await database.query<RestoredDay & { readonly store: 'held' | 'restored' }>(
    `SELECT DISTINCT 'held' AS store, partition AS day, '' AS org, toUInt32(0) AS segments FROM system.parts
     WHERE database = 'cairn' AND table = 'events' AND active AND rows > 0
     UNION ALL
     SELECT 'restored' AS store, toString(day) AS day, org_id AS org, segments FROM cairn.restored_days FINAL
     WHERE state = 'restored'`,
    {},
    // It is asked beside something else, and reads nearly nothing.
    { max_threads: 1 },
  );
  const of = (which: 'held' | 'restored') =>
    rows
      .filter(({ store }) => store === which)
      .map(({ store: _, ...row }) => row)
      .sort((one, other) => compare(one.day, other.day) || compare(one.org, other.org));
  return { held: of('held').map(({ day }) => day), restored: of('restored') };
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
