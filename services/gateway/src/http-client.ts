import { Agent, request } from 'undici';

export interface HttpRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | null;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Bytes as they come; must be read to the end or dropped. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Reads the rest and forgets it, so that the connection can be used again. */
  drop(): Promise<void>;
}

/** Connections to one upstream. Nothing is decompressed, redirected or retried. */
export interface HttpClient {
  send(url: string, request: HttpRequest): Promise<HttpAnswer>;
  destroy(): Promise<void>;
}

/** Answers take as long as the call's own timeout lets them, so the client has none. */
export function openHttpClient(): HttpClient {
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, connectTimeout: 5_000, connections: 256 });
  return {
    async send(url, { method, headers, body = null, signal }) {
      const answer = await request(url, {
        dispatcher: agent,
        method: method as 'POST',
        headers: { ...headers },
        body,
        ...(signal ? { signal } : {}),
      });
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: answer.body,
        drop: () => answer.body.dump(),
      };
    },
    destroy: () => agent.destroy(),
  };
}
