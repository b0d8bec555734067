import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { loseAnswer, passOn, serveOnLoopback } from './pass-on.ts';

/** A request to an object store, as S3 has it on the wire. */
export interface StoreRequest {
  readonly method: string;
  /** Name of the object; empty for the bucket. */
  readonly key: string;
}

/** What becomes of a request and its answer. */
export type StoreFate =
  | { readonly do: 'pass' }
  /** The client's connection is cut, and the store never sees the request. */
  | { readonly do: 'cut' }
  /** The store does what it was asked; the client's connection is cut in place of the answer, after `applied`. */
  | { readonly do: 'lose-answer'; readonly applied?: () => Promise<void> }
  /** The store never sees the request, and the client waits in vain. */
  | { readonly do: 'hang' };

export interface StoreProxy extends AsyncDisposable {
  /** For clients, in the place of the store's URL. */
  readonly url: string;
  /** Decides about each request, and may take its time: the request waits. At first all pass. */
  decide: (asked: StoreRequest) => Promise<StoreFate> | StoreFate;
}

/** A proxy before an object store. Requests stay as they were signed, the name of the host included. */
export async function startStoreProxy(target: string): Promise<StoreProxy> {
  const { hostname, port } = new URL(target);

  const serve = async (asked: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const { method = 'GET', url = '/', headers } = asked;
    const [, , ...rest] = new URL(url, target).pathname.split('/');
    const body = await buffer(asked);
    const fate = await proxy.decide({ method, key: decodeURIComponent(rest.join('/')) });
    if (fate.do === 'hang') return;
    if (fate.do === 'cut' || asked.socket.destroyed) {
      asked.socket.destroy();
      return;
    }
    const passedOn = request({ hostname, port, method, path: url, headers, agent: false }, async (got) => {
      if (fate.do === 'lose-answer') await loseAnswer(got, answer, fate.applied);
      else passOn(got, answer);
    });
    passedOn.on('error', () => answer.destroy());
    passedOn.end(body);
  };

  const server = await serveOnLoopback(serve);
  const proxy: StoreProxy = {
    url: server.url,
    decide: () => ({ do: 'pass' }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return proxy;
}
