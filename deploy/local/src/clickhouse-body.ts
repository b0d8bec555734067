import { writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { engineError } from './clickhouse-error.ts';
import { splitInsert, takesRows } from './clickhouse-statement.ts';

/** A body may have this many bytes, after decompression. */
export const BODY_BYTES_MAX = 1024 ** 3;

/** A statement with its rows apart from it. */
export interface Statement {
  readonly sql: string;
  readonly rowsFile: string | undefined;
}

/**
 * Receives the statement of a request: the query of its address, followed by its body. When that query is an INSERT
 * which takes rows, the body goes into `file` as it comes and is never held in memory.
 */
export async function receiveStatement(
  request: IncomingMessage,
  search: URLSearchParams,
  file: string,
): Promise<Statement> {
  const query = search.get('query') ?? '';
  const body = bodyOf(request);
  if (takesRows(query)) {
    await writeFile(file, body, { mode: 0o600 });
    return { sql: query, rowsFile: file };
  }
  // Not with `buffer` of node:stream/consumers, which makes a Blob of it: that takes longer than all else of a small request.
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece);
  const received = Buffer.concat(pieces);
  const contentType = request.headers['content-type'] ?? '';
  if (contentType.startsWith('multipart/form-data')) {
    await readForm(received, contentType, search);
    return { sql: ended(search.get('query') ?? ''), rowsFile: undefined };
  }
  const whole = query === '' ? received : Buffer.concat([Buffer.from(`${query}\n`), received]);
  const insert = splitInsert(whole);
  if (!insert) return { sql: ended(whole.toString('utf8')), rowsFile: undefined };
  await writeFile(file, insert.rows, { mode: 0o600 });
  return { sql: insert.sql, rowsFile: file };
}

function ended(sql: string): string {
  return sql.trim().replace(/;$/, '');
}

/** Fields of a form are as if they stood in the address. */
async function readForm(body: Buffer, contentType: string, search: URLSearchParams): Promise<void> {
  const form = await new Response(new Uint8Array(body), {
    headers: { 'content-type': contentType },
  }).formData();
  for (const [name, value] of form) {
    if (typeof value !== 'string') {
      throw engineError(
        48,
        'NOT_IMPLEMENTED',
        'external tables, which are files of a form, are not served here',
      );
    }
    search.append(name, value);
  }
}

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

async function* bodyOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  let bytes = 0;
  for await (const chunk of decoded(request, encoding)) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) {
      throw engineError(
        290,
        'LIMIT_EXCEEDED',
        `The body has more than ${BODY_BYTES_MAX} bytes${encoding === 'identity' ? '' : ' when decompressed'}, the most that is taken here`,
      );
    }
    yield chunk;
  }
}

async function* decoded(request: IncomingMessage, encoding: string): AsyncGenerator<Buffer> {
  // The socket must outlive a refused body, for the refusal goes over it.
  const sent = request.iterator({ destroyOnReturn: false });
  if (encoding === 'identity') return yield* sent;
  const decoder = DECODERS[encoding]?.();
  if (!decoder) {
    throw engineError(
      48,
      'NOT_IMPLEMENTED',
      `Content-Encoding ${encoding} is not served here; use ${Object.keys(DECODERS).join(', ')} or none`,
    );
  }
  // Not a pipeline, which would destroy the request with the decoder.
  request.once('error', (error) => decoder.destroy(error));
  request.pipe(decoder);
  try {
    yield* decoder;
  } catch (error) {
    if (request.errored) throw error;
    throw engineError(354, 'ZLIB_INFLATE_FAILED', `The body is not whole ${encoding}: ${String(error)}`);
  }
}
