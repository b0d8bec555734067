import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Failure } from '@cairn/failure';

export interface HttpServer extends AsyncDisposable {
  readonly port: number;
}

const PATIENCE_MS = 3_000;

/**
 * Listens until it is disposed of: then nothing new is taken, what is under way has some seconds to end, and what has not
 * ended by then is cut off.
 *
 * @param port 0 takes any free port.
 * @throws Failure `port.taken` (later), `port.unusable` (no)
 */
export async function serveUntilDisposed(server: Server, port: number, host: string): Promise<HttpServer> {
  const bound = await listen(server, port, host);
  return {
    port: bound,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const patience = setTimeout(() => server.closeAllConnections(), PATIENCE_MS);
      await closed;
      clearTimeout(patience);
    },
  };
}

/**
 * Listens, or says in one line why not.
 *
 * @param port 0 takes any free port.
 * @returns the port that was bound.
 */
export function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new Failure({
              code: 'port.taken',
              retry: 'later',
              message: `port ${port} on ${host} is taken by another process`,
              mend: 'Stop that process, or choose another port in the configuration.',
              cause: error,
            })
          : new Failure({
              code: 'port.unusable',
              retry: 'no',
              message: `cannot listen on ${host}:${port} (${error.code ?? error.message})`,
              cause: error,
            }),
      );
    });
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}
