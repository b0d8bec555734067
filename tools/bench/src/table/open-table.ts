import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { type Parts, REPOSITORY, startParts, startTestParts } from '@cairn/local';

export interface OpenedTable extends AsyncDisposable {
  readonly clickhouse: ClickHouse;
  readonly pid: number;
}

/** ClickHouse for real, alone, with the tables as they are in production. */
export async function openTable(): Promise<OpenedTable> {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-table-'));
  return open(() => startTestParts({ directory, parts: ['clickhouse'] }), {
    gone: () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }),
  });
}

export interface KeptTable extends OpenedTable {
  /** True when an earlier run filled it to its end. */
  readonly isFilled: boolean;
  /** To be called when it is filled: a folder without the mark is emptied by the next run. */
  filled(): void;
}

/** Caches as deploy/docker/clickhouse/server.xml has them. */
const CONFIG = `<clickhouse><uncompressed_cache_size>268435456</uncompressed_cache_size>
  <index_uncompressed_cache_size>67108864</index_uncompressed_cache_size></clickhouse>
`;

/**
 * The same in a folder of its own that outlives the run, always as a local process, and with the caches of a server.
 *
 * @param keep false removes the folder at the end.
 */
export async function openKeptTable(directory: string, keep: boolean): Promise<KeptTable> {
  const mark = join(directory, 'filled');
  const isFilled = existsSync(mark);
  if (!isFilled) rmSync(directory, { recursive: true, force: true });
  mkdirSync(join(directory, 'clickhouse'), { recursive: true });
  writeFileSync(join(directory, 'clickhouse', 'config.xml'), CONFIG);
  const opened = await open(() => startParts({ directory, parts: ['clickhouse'], ports: 'any' }), {
    gone: () => {
      if (!keep) rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  });
  return { ...opened, isFilled, filled: () => writeFileSync(mark, '') };
}

async function open(start: () => Promise<Parts>, { gone }: { gone: () => void }): Promise<OpenedTable> {
  const own = new AsyncDisposableStack();
  own.defer(gone);
  try {
    const part = own.use(await start()).part('clickhouse');
    const clickhouse = own.use(openClickHouse({ url: part.address, answerMsMax: 600_000 }));
    await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    return { clickhouse, pid: part.pid ?? 0, [Symbol.asyncDispose]: () => own.disposeAsync() };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}
