import { createServer } from 'node:http';
import { listen } from './listen.ts';
import type { Metrics } from './metrics.ts';
import { VERSION } from './version.ts';

export interface Readiness {
  readonly ok: boolean;
  /** Each dependency by name and what it says: `ok`, or what is wrong. */
  readonly checks: Readonly<Record<string, string>>;
}

export interface HealthOptions {
  readonly port: number;
  readonly host?: string;
  readonly service: string;
  /** Default the version of Cairn. */
  readonly version?: string;
  readonly metrics: Metrics;
  readonly ready: () => Promise<Readiness>;
}

export interface HealthServer extends AsyncDisposable {
  readonly port: number;
}

/**
 * Serves `/livez` (the process turns), `/readyz` (its dependencies answer; 503 while draining), `/metrics` and
 * `/version` on a port of its own, so that an operator's probe never shares a queue with callers.
 *
 * @throws Failure `port.taken` when the port cannot be had.
 */
export async function serveHealth(options: HealthOptions): Promise<HealthServer> {
  const pages: Record<string, () => Promise<[status: number, type: string, body: string]>> = {
    '/livez': async () => [200, 'text/plain', 'ok\n'],
    '/readyz': async () => {
      const state = await options.ready();
      return [state.ok ? 200 : 503, 'application/json', `${JSON.stringify(state)}\n`];
    },
    '/metrics': async () => [200, options.metrics.contentType, await options.metrics.text()],
    '/version': async () => [
      200,
      'application/json',
      `${JSON.stringify({ service: options.service, version: options.version ?? VERSION, node: process.version })}\n`,
    ],
  };

  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
      return;
    }
    page().then(
      ([status, type, body]) => response.writeHead(status, { 'content-type': type }).end(body),
      () => response.writeHead(500, { 'content-type': 'text/plain' }).end('the page failed\n'),
    );
  });

  const port = await listen(server, options.port, options.host ?? '127.0.0.1');
  return {
    port,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
