import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join, resolve } from 'node:path';
import { answer, refuse } from './clickhouse-answer.ts';
import { BODY_BYTES_MAX, receiveStatement } from './clickhouse-body.ts';
import { engineError } from './clickhouse-error.ts';
import { readTraits } from './clickhouse-request.ts';
import { formatOf } from './clickhouse-statement.ts';
import { type Engine, openEngine } from './engine.ts';

/**
 * ClickHouse's HTTP interface over the embedded engine, so that clients connect as to a server.
 *
 *     node clickhouse-server.ts <port> <directory>
 *
 * One user, no password, loopback only. A query whose client goes away is killed, inserts too. Differences from a server:
 *
 * - Results are whole before the first byte is sent, and no progress is sent before. The engine's own stream begins a
 *   new document with each piece, and takes nothing but SELECT.
 * - The engine names queries itself: `query_id` is answered, but `system.processes` has another one. `log_comment`
 *   marks queries, and KILL QUERY finds it.
 * - Several statements in one request are run, where a server refuses them.
 * - Parameters of a session stay set for its next request, and a GET within a session may write.
 * - The summary has what a query gave and what an insert wrote, not what was read for it.
 */
async function main(port: number, directory: string): Promise<void> {
  const engine = await openEngine(directory);
  const rowsDirectory = emptiedRowsDirectory(directory);
  // Values of parameters stand in the address.
  const server = createServer({ maxHeaderSize: ADDRESS_BYTES_MAX }, (request, response) => {
    serve(engine, rowsDirectory, request, response).catch((error: unknown) =>
      refuse(response, engine.version, error),
    );
  });
  server.listen(port, '127.0.0.1');
  const stop = () => {
    server.close(async () => {
      await engine[Symbol.asyncDispose]();
      rmSync(rowsDirectory, { recursive: true, force: true });
      process.exit(0);
    });
    server.closeIdleConnections();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

const ADDRESS_BYTES_MAX = 1024 ** 2;

/**
 * Rows of an insert pass through memory, not through the disk, when the system gives enough of it. The folder belongs to
 * this data folder alone, so what a killed process left in it is cleared.
 */
function emptiedRowsDirectory(directory: string): string {
  const name = createHash('sha256').update(resolve(directory)).digest('hex').slice(0, 16);
  const rowsDirectory = hasSpace(MEMORY) ? join(MEMORY, `cairn-rows-${name}`) : join(directory, 'rows');
  rmSync(rowsDirectory, { recursive: true, force: true });
  mkdirSync(rowsDirectory, { recursive: true, mode: 0o700 });
  return rowsDirectory;
}

const MEMORY = '/dev/shm';

function hasSpace(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize >= 2 * BODY_BYTES_MAX;
  } catch {
    return false;
  }
}

async function serve(
  engine: Engine,
  rowsDirectory: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const method = request.method ?? 'GET';
  const reads = method === 'GET' || method === 'HEAD';
  if (reads && (pathname === '/ping' || (pathname === '/' && searchParams.size === 0))) {
    return void response.end('Ok.\n');
  }
  if (pathname !== '/' || (method !== 'GET' && method !== 'POST')) {
    return void response.writeHead(404).end(`There is no handle ${method} ${pathname}\n`);
  }
  response.setHeader('X-ClickHouse-Query-Id', searchParams.get('query_id') ?? randomUUID());
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  const file = join(rowsDirectory, randomUUID());
  let mayHaveFile = true;
  try {
    const statement = await receiveStatement(request, searchParams, file);
    mayHaveFile = statement.rowsFile !== undefined;
    if (statement.sql === '') throw engineError(62, 'SYNTAX_ERROR', 'Syntax error: Empty query');
    const traits = readTraits(method, searchParams, request.headers);
    const result = await engine.run({ ...traits, ...statement }, gone.signal);
    await answer(response, result, {
      format: formatOf(statement.sql) ?? traits.format,
      acceptEncoding:
        searchParams.get('enable_http_compression') === '1'
          ? String(request.headers['accept-encoding'] ?? '')
          : '',
    });
  } finally {
    if (mayHaveFile) await rm(file, { force: true });
  }
}

await main(Number(process.argv[2]), String(process.argv[3]));
