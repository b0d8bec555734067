import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, gzipSync } from 'node:zlib';
import { readRequest } from './clickhouse-request.ts';
import { type Engine, type EngineAnswer, engineErrorOf, openEngine } from './engine.ts';

/**
 * ClickHouse's HTTP interface over the embedded engine, so that clients connect as to a server.
 *
 *     node clickhouse-server.ts <port> <directory>
 *
 * One user, no password, loopback only. Differences from a server: results are whole before the first byte is sent, and
 * the id of a query is not its own (`log_comment` marks queries instead, and KILL QUERY finds it).
 */
async function main(port: number, directory: string): Promise<void> {
  const engine = await openEngine(directory);
  const server = createServer((request, response) => {
    serve(engine, request, response).catch((error: unknown) => refuse(response, engine, error));
  });
  server.listen(port, '127.0.0.1');
  const stop = () => {
    server.close(async () => {
      await engine[Symbol.asyncDispose]();
      process.exit(0);
    });
    server.closeIdleConnections();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

async function serve(engine: Engine, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname === '/ping') return void response.end('Ok.\n');
  if (url.pathname !== '/') return void response.writeHead(404).end(`There is no handle ${url.pathname}\n`);
  const headers = new Headers(request.headers as Record<string, string>);
  const sent = await buffer(request);
  const body = headers.get('content-encoding') === 'gzip' ? gunzipSync(sent) : sent;
  const read = readRequest(url.searchParams, headers, body);
  if (read.sql === '') return void response.end('Ok.\n');
  answer(response, await engine.run(read), {
    queryId: url.searchParams.get('query_id'),
    format: read.format,
    gzip:
      url.searchParams.get('enable_http_compression') === '1' &&
      /\bgzip\b/.test(headers.get('accept-encoding') ?? ''),
  });
}

interface AnswerTraits {
  readonly queryId: string | null;
  readonly format: string;
  readonly gzip: boolean;
}

function answer(
  response: ServerResponse,
  { bytes, rowsRead, bytesRead, elapsedNs }: EngineAnswer,
  traits: AnswerTraits,
) {
  const summary = {
    read_rows: String(rowsRead),
    read_bytes: String(bytesRead),
    elapsed_ns: String(elapsedNs),
  };
  response.setHeader('X-ClickHouse-Summary', JSON.stringify(summary));
  response.setHeader('X-ClickHouse-Format', traits.format);
  if (traits.queryId) response.setHeader('X-ClickHouse-Query-Id', traits.queryId);
  if (traits.gzip) response.setHeader('Content-Encoding', 'gzip');
  response.end(traits.gzip ? gzipSync(bytes) : bytes);
}

/** Statuses as the server's own: 404 for what is unknown, 500 otherwise; clients go by the header. */
const UNKNOWN_THINGS = new Set([46, 60, 81, 218]);

function refuse(response: ServerResponse, engine: Engine, error: unknown): void {
  const known = engineErrorOf(error);
  if (!known) {
    const code = error instanceof RangeError ? 36 : 1002;
    response.writeHead(code === 36 ? 400 : 500, { 'X-ClickHouse-Exception-Code': String(code) });
    const name = code === 36 ? 'BAD_ARGUMENTS' : 'UNKNOWN_EXCEPTION';
    response.end(`Code: ${code}. DB::Exception: ${String(error)} (${name}) (version ${engine.version})\n`);
    return;
  }
  response.writeHead(UNKNOWN_THINGS.has(known.code) ? 404 : 500, {
    'X-ClickHouse-Exception-Code': String(known.code),
  });
  response.end(`${known.message.trim()} (version ${engine.version} (embedded))\n`);
}

await main(Number(process.argv[2]), String(process.argv[3]));
