import type { Readable } from 'node:stream';
import { Agent } from 'undici';

export interface HttpRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | null;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Bytes as they come. The body must be read to its end in one of these three ways. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The body at once. @throws RangeError when it is larger than allowed. */
  whole(bytesMax: number): Promise<Buffer>;
  /** Reads the rest and forgets it, so that the connection can be used again. */
  drop(): Promise<void>;
}

/** Connections to one upstream. Nothing is decompressed, redirected or retried. */
export interface HttpClient {
  send(request: HttpRequest): Promise<HttpAnswer>;
  destroy(): Promise<void>;
}

/** Answers take as long as the call's own timeout lets them, so the client has none. */
export function openHttpClient(url: string): HttpClient {
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, connectTimeout: 5_000, connections: 256 });
  const { origin, pathname, search } = new URL(url);
  const path = `${pathname}${search}`;
  return {
    async send({ method, headers, body = null, signal }) {
      const answer = await agent.request({
        origin,
        path,
        method: method as 'POST',
        headers: { ...headers },
        body,
        ...(signal ? { signal } : {}),
      });
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: answer.body,
        whole: (bytesMax) => wholeOf(answer.body, bytesMax),
        drop: () => answer.body.dump(),
      };
    },
    destroy: () => agent.destroy(),
  };
}

/** Listeners, since reading a small answer as an iterator costs more than the answer. */
function wholeOf(body: Readable, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    body.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bytesMax) chunks.push(chunk);
      else body.destroy(new RangeError(`the upstream's answer is larger than ${bytesMax} bytes`));
    });
    body.once('end', () => resolve(Buffer.concat(chunks)));
    body.once('error', reject);
  });
}
