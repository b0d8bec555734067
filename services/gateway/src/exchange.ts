import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OpenCall } from './call.ts';
import type { Caller } from './identity.ts';
import type { Message } from './read-message.ts';

/** One HTTP request of a client that may go on to an upstream. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly caller: Caller;
  /** Bytes as they came; undefined for GET and DELETE. */
  readonly body: Uint8Array | undefined;
  readonly message: Message | undefined;
  /** Present for a request whose end is recorded. */
  readonly call: OpenCall | undefined;
  /** True when the request belongs to the era without sessions, where closing the stream cancels. */
  readonly modern: boolean;
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
}

/** Where calls go on to. */
export interface Upstream extends AsyncDisposable {
  /** Answers the exchange. Must not reject. */
  exchange(exchange: Exchange): Promise<void>;
}

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** Sends a JSON answer, unless the client has gone or an answer has begun. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.destroyed || response.headersSent) return void response.end();
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    ...headers,
  });
  response.end(bytes);
}

/** Writes and waits while the client is slow; does nothing when it has gone. */
export async function write(response: ServerResponse, bytes: Uint8Array | string): Promise<void> {
  if (response.destroyed || response.writableEnded) return;
  if (response.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.once('drain', done);
    response.once('close', done);
  });
}
