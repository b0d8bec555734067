import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CuttingProxy extends AsyncDisposable {
  readonly url: string;
  /** Bytes of the next exports after which the connection breaks; behind the last one all pass whole. */
  cuts: number[];
  /** `Cairn-Start` of the first export since this was emptied. */
  start: string | undefined;
}

/** Stands before the API and breaks off exports where it is told to. */
export async function startCuttingProxy(target: string): Promise<CuttingProxy> {
  const server = createServer(async (asked, answer) => {
    const got = await fetch(`${target}${asked.url}`, {
      headers: { authorization: asked.headers.authorization ?? '' },
    });
    answer.writeHead(got.status, Object.fromEntries(got.headers));
    const isExport = asked.url?.startsWith('/v1/exports/events') === true;
    if (isExport) proxy.start ??= got.headers.get('cairn-start') ?? undefined;
    let left = (isExport ? proxy.cuts.shift() : undefined) ?? Number.POSITIVE_INFINITY;
    for await (const chunk of got.body!) {
      await new Promise((resolve) => answer.write(chunk.subarray(0, left), resolve));
      left -= chunk.length;
      if (left <= 0) return void answer.destroy();
    }
    answer.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: CuttingProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cuts: [],
    start: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
