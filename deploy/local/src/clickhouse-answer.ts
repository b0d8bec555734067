import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { brotliCompress, constants, deflate, gzip, zstdCompress } from 'node:zlib';
import { codeOf, statusOf } from './clickhouse-error.ts';
import type { EngineAnswer } from './engine.ts';

export interface AnswerTraits {
  readonly format: string;
  /** Encodings that the client takes; empty when it did not ask for any. */
  readonly acceptEncoding: string;
}

/** Sends a result, compressed when the client takes that. */
export async function answer(
  response: ServerResponse,
  result: EngineAnswer,
  { format, acceptEncoding }: AnswerTraits,
): Promise<void> {
  response.setHeader('X-ClickHouse-Summary', JSON.stringify(summaryOf(result)));
  response.setHeader('X-ClickHouse-Format', format);
  const encoder = ENCODERS.find(({ name }) => new RegExp(`\\b${name}\\b`).test(acceptEncoding));
  if (!encoder) return void response.end(result.bytes);
  response.setHeader('Content-Encoding', encoder.name);
  response.end(await encoder.encode(result.bytes));
}

/** Counters are strings, since they are 64 bits wide. */
function summaryOf({ resultRows, resultBytes, rowsWritten, bytesWritten, elapsedNs }: EngineAnswer) {
  return {
    written_rows: String(rowsWritten),
    written_bytes: String(bytesWritten),
    result_rows: String(resultRows),
    result_bytes: String(resultBytes),
    elapsed_ns: String(elapsedNs),
  };
}

type Encode = (bytes: Uint8Array) => Promise<Uint8Array>;

/** In order of preference. Levels are low, since the way is short. */
const ENCODERS: readonly { readonly name: string; readonly encode: Encode }[] = [
  { name: 'gzip', encode: (bytes) => promisify(gzip)(bytes, { level: 3 }) },
  { name: 'zstd', encode: (bytes) => promisify(zstdCompress)(bytes) },
  {
    name: 'br',
    encode: (bytes) => promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  },
  { name: 'deflate', encode: (bytes) => promisify(deflate)(bytes, { level: 3 }) },
];

/** Sends an error as a server does: its number in a header, its text in the body. */
export function refuse(response: ServerResponse, version: string, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const code = codeOf(error) ?? (error instanceof RangeError ? BAD_ARGUMENTS : UNKNOWN_EXCEPTION);
  const name = code === BAD_ARGUMENTS ? 'BAD_ARGUMENTS' : 'UNKNOWN_EXCEPTION';
  const text =
    codeOf(error) === undefined
      ? `Code: ${code}. DB::Exception: ${String(error)}. (${name})`
      : (error as Error).message.trim();
  response.writeHead(statusOf(code), { 'X-ClickHouse-Exception-Code': String(code) });
  response.end(`${text} (version ${version} (embedded))\n`);
}

const BAD_ARGUMENTS = 36;
const UNKNOWN_EXCEPTION = 1002;
