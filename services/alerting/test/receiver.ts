import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as the receiver saw it. */
export interface Received {
  readonly path: string;
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly atMs: number;
}

/** What the receiver does with a request. */
export type Behaviour = (response: ServerResponse, received: Received) => void;

export const answerOk: Behaviour = (response) => void response.end('ok');

/** Each is a way in which a receiver keeps a sender busy. */
export const HOSTILE_BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  error: (response) => void response.writeHead(500).end('broken'),
  hang: () => {},
  drip: (response) => {
    response.writeHead(503);
    const timer = setInterval(() => response.write('.'), 50);
    response.once('close', () => clearInterval(timer));
  },
  redirect: (response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
  busy: (response) => void response.writeHead(429, { 'retry-after': '1' }).end(),
};

/** A receiver of webhooks whose paths behave as they are told. */
export interface Receiver extends AsyncDisposable {
  readonly port: number;
  /** Successes, in order. */
  readonly received: Received[];
  /** All requests. */
  readonly requests: Received[];
  /** Ids that were received at a path. */
  idsAt(path: string): ReadonlySet<string>;
  behave(path: string, behaviour: Behaviour): void;
}

export async function startReceiver(): Promise<Receiver> {
  const behaviours = new Map<string, Behaviour>();
  const received: Received[] = [];
  const requests: Received[] = [];
  const ids = new Map<string, Set<string>>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const path = request.url ?? '';
      const said: Received = {
        path,
        id: String(request.headers['webhook-id']),
        headers: request.headers as Record<string, string>,
        body: Buffer.concat(chunks).toString(),
        atMs: performance.now(),
      };
      requests.push(said);
      response.once('finish', () => {
        if (response.statusCode >= 300) return;
        received.push(said);
        ids.set(path, (ids.get(path) ?? new Set()).add(said.id));
      });
      (behaviours.get(path) ?? answerOk)(response, said);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    received,
    requests,
    idsAt: (path) => ids.get(path) ?? new Set(),
    behave: (path, behaviour) => void behaviours.set(path, behaviour),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
