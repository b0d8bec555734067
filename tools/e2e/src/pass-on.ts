// What the proxies of tests share: an answer that is passed on or lost on its way, and a server on a free port of this machine.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** Gives an answer to whoever asked. */
export function passOn(got: IncomingMessage, answer: ServerResponse): void {
  answer.writeHead(got.statusCode ?? 502, got.headers);
  got.on('error', () => answer.destroy());
  got.pipe(answer);
}

/** Hears all of an answer and breaks off in its place, after `applied`. */
export async function loseAnswer(
  got: IncomingMessage,
  answer: ServerResponse,
  applied?: () => Promise<void>,
): Promise<void> {
  await buffer(got).catch(() => {});
  await applied?.();
  answer.destroy();
}

/** Serves until disposed. A request that fails breaks off. */
export async function serveOnLoopback(
  serve: (asked: IncomingMessage, answer: ServerResponse) => Promise<void>,
): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((asked, answer) => void serve(asked, answer).catch(() => answer.destroy()));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
