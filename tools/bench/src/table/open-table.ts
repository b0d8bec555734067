import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { REPOSITORY, startTestParts } from '@cairn/local';

export interface OpenedTable extends AsyncDisposable {
  readonly clickhouse: ClickHouse;
  readonly pid: number;
}

/** ClickHouse for real, alone, with the tables as they are in production. */
export async function openTable(): Promise<OpenedTable> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-table-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const part = own.use(await startTestParts({ directory, parts: ['clickhouse'] })).part('clickhouse');
    const clickhouse = own.use(openClickHouse({ url: part.address, answerMsMax: 600_000 }));
    await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    return { clickhouse, pid: part.pid ?? 0, [Symbol.asyncDispose]: () => own.disposeAsync() };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}
