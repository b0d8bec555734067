import type { ClickHouse } from '@cairn/adapters';

/** What ClickHouse has done since it started, the asking for it included: system.events. */
export interface Counted {
  /** User and system time of threads that work for queries, ms. */
  readonly cpuMs: number;
  readonly rowsRead: number;
  readonly bytesRead: number;
}

export async function readCounted(clickhouse: ClickHouse): Promise<Counted> {
  const rows = await clickhouse.query<{ event: string; value: number }>(
    `SELECT event, toFloat64(value) AS value FROM system.events
     WHERE event IN ('UserTimeMicroseconds', 'SystemTimeMicroseconds', 'SelectedRows', 'SelectedBytes')`,
  );
  const of = (name: string) => rows.find(({ event }) => event === name)?.value ?? 0;
  return {
    cpuMs: (of('UserTimeMicroseconds') + of('SystemTimeMicroseconds')) / 1_000,
    rowsRead: of('SelectedRows'),
    bytesRead: of('SelectedBytes'),
  };
}

/** What was done between two readings; one reading is in it. */
export const between = (before: Counted, after: Counted): Counted => ({
  cpuMs: after.cpuMs - before.cpuMs,
  rowsRead: after.rowsRead - before.rowsRead,
  bytesRead: after.bytesRead - before.bytesRead,
});
