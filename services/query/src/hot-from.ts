import { type Database, readHotDays } from '@cairn/query';
import { z } from 'zod';

/** Stands in every answer that counts or holds events of ClickHouse alone, so that nobody takes it for one over all time. */
export const hotFromSchema = z
  .string()
  .nullable()
  .describe(
    'First day, by when events were received, that ClickHouse holds, which alone was asked; what is older is in the archive. Null while it holds none.',
  );

export async function hotFromOf(clickhouse: Database): Promise<string | null> {
  const { held } = await readHotDays(clickhouse);
  return held[0] ?? null;
}
