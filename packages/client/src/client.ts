import { type Event, OPERATIONS, type Operations, type Problem } from './api.gen.ts';

export interface ClientOptions {
  /** Where the query API is, such as `https://cairn.example`. */
  readonly url: string;
  /** An API key or an OIDC token. */
  readonly key: string;
  /** Default the platform's. */
  readonly fetch?: typeof fetch;
}

type Given<Name extends keyof Operations> = (keyof Operations[Name]['path'] extends never
  ? { readonly path?: Record<never, never> }
  : { readonly path: Operations[Name]['path'] }) & {
  readonly query?: Operations[Name]['query'];
} & (keyof Operations[Name]['headers'] extends never
    ? { readonly headers?: Record<never, never> }
    : Record<never, never> extends Operations[Name]['headers']
      ? { readonly headers?: Operations[Name]['headers'] }
      : { readonly headers: Operations[Name]['headers'] }) &
  (Operations[Name] extends {
    readonly body: infer Body;
  }
    ? { readonly body: Body }
    : { readonly body?: undefined }) & { readonly signal?: AbortSignal };

/** The API said no, or failed: RFC 9457. */
export class ApiProblem extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.code}: ${problem.detail}`);
    this.problem = problem;
  }
}

export interface CairnClient {
  /**
   * Asks one operation, by its name in the description.
   *
   * @returns its answer as described; for exports and the live tail the response, whose body is to be read.
   * @throws ApiProblem when the API answers with a problem, and what `fetch` throws when it does not answer.
   */
  ask<Name extends keyof Operations>(name: Name, given: Given<Name>): Promise<Operations[Name]['answer']>;
  /** All events that a search finds, page after page, each once. */
  events(search: string, order?: 'newest' | 'oldest'): AsyncGenerator<Event>;
}

/** A client of the query API. Its types are those of the description. */
export function openClient({ url, key, fetch: send = fetch }: ClientOptions): CairnClient {
  async function ask<Name extends keyof Operations>(
    name: Name,
    given: Given<Name>,
  ): Promise<Operations[Name]['answer']> {
    const { method, path, isStream } = OPERATIONS[name];
    const parts = (given.path ?? {}) as Readonly<Record<string, string>>;
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, part: string) =>
      encodeURIComponent(String(parts[part])),
    );
    const query = new URLSearchParams();
    for (const [one, value] of Object.entries(given.query ?? {}))
      if (value !== undefined) query.set(one, String(value));
    const answer = await send(`${url.replace(/\/$/, '')}${filled}${query.size === 0 ? '' : `?${query}`}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(given.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(given.headers as Readonly<Record<string, string>> | undefined),
      },
      ...(given.body === undefined ? {} : { body: JSON.stringify(given.body) }),
      ...(given.signal && { signal: given.signal }),
    });
    if (!answer.ok) throw new ApiProblem((await answer.json()) as Problem);
    if (isStream) return answer as Operations[Name]['answer'];
    return (answer.status === 204 ? null : await answer.json()) as Operations[Name]['answer'];
  }

  return {
    ask,
    async *events(search, order = 'newest') {
      let cursor: string | undefined;
      do {
        const page = await ask('searchEvents', {
          query: { search, order, limit: 1_000, ...(cursor === undefined ? {} : { cursor }) },
        });
        yield* page.events;
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
    },
  };
}
