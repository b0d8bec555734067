import { type Event, OPERATIONS, type Operations, type Problem } from './api.gen.ts';
import { type Block, blocksOf, type TailedEvent } from './tail.ts';

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
  /**
   * Events that a search finds as they become queryable, each once. Cut off, it goes on behind the last one by itself, as long as nobody
   * ends it.
   *
   * @param after `id` of the last event that came to an earlier tail; without it, from now on.
   * @param signal ends it.
   * @throws ApiProblem when the API refuses; `cursor.expired` when events behind `after` have left ClickHouse.
   */
  tail(search: string, options?: TailOptions): AsyncGenerator<TailedEvent>;
}

export interface TailOptions {
  readonly after?: string;
  readonly signal?: AbortSignal;
}

/** Until the service says how long to wait. */
const RETRY_MS = 2_000;
/** Statuses that pass by themselves. */
const PASSING: ReadonlySet<number> = new Set([429, 502, 503, 504]);

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
    if (!answer.ok) throw new ApiProblem(await problemIn(answer));
    if (isStream) return answer as Operations[Name]['answer'];
    return (answer.status === 204 ? null : await answer.json()) as Operations[Name]['answer'];
  }

  /** Undefined when nobody answers now, or who does asks to come again. @throws ApiProblem */
  async function openBlocks(search: string, lastId: string | undefined, signal: AbortSignal | undefined) {
    try {
      const { body } = await ask('tailEvents', {
        query: { search },
        headers: lastId === undefined ? {} : { 'Last-Event-ID': lastId },
        ...(signal && { signal }),
      });
      return blocksOf(body as unknown as AsyncIterable<Uint8Array>);
    } catch (error) {
      if (error instanceof ApiProblem && !PASSING.has(error.problem.status)) throw error;
      return undefined;
    }
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
    async *tail(search, { after, signal } = {}) {
      let [lastId, retryMs] = [after, RETRY_MS];
      const isEnded = (): boolean => signal?.aborted === true;
      while (!isEnded()) {
        const blocks = await openBlocks(search, lastId, signal);
        try {
          for (let block = await nextOf(blocks); block !== undefined; block = await nextOf(blocks)) {
            lastId = block.id ?? lastId;
            retryMs = block.retryMs ?? retryMs;
            if (block.data !== undefined) yield { id: lastId ?? '', event: JSON.parse(block.data) as Event };
          }
        } finally {
          // Who takes no more ends the request; that it broke off by then is no news.
          await blocks?.return(undefined).catch(() => {});
        }
        if (!isEnded()) await pause(retryMs, signal);
      }
    },
  };
}

/** Undefined at the end, and when the connection broke. */
async function nextOf(blocks: AsyncGenerator<Block> | undefined): Promise<Block | undefined> {
  const next = await blocks?.next().catch(() => undefined);
  return next === undefined || next.done === true ? undefined : next.value;
}

/** What is no problem comes from something between: a proxy's page. */
async function problemIn(answer: Response): Promise<Problem> {
  const problem = (await answer.json().catch(() => undefined)) as Problem | undefined;
  if (typeof problem?.code === 'string') return problem;
  const { status } = answer;
  const title = 'No answer of the query API';
  return { type: 'about:blank', title, status, detail: title, instance: '', code: 'unknown' };
}

const pause = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
