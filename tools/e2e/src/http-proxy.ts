import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { loseAnswer, passOn, serveOnLoopback } from './pass-on.ts';

/** A request to ClickHouse, as its HTTP interface has it. */
export interface ProxiedStatement {
  /** The statement, without rows that stand behind it. */
  readonly sql: string;
  /** Settings of the request, by name. */
  readonly settings: URLSearchParams;
}

/** What becomes of a statement and its answer. */
export type StatementFate =
  /** `sql` in the place of what was asked, with more settings. */
  | {
      readonly do: 'pass';
      readonly sql?: string;
      readonly settings?: Readonly<Record<string, string>>;
    }
  /** The client's connection is cut, and ClickHouse never sees the statement. */
  | { readonly do: 'cut' }
  /** ClickHouse does what it was asked; the client's connection is cut in place of the answer, after `applied`. */
  | { readonly do: 'lose-answer'; readonly applied?: () => Promise<void> };

export interface HttpProxy extends AsyncDisposable {
  /** For clients, in the place of ClickHouse's URL. */
  readonly url: string;
  /** Decides about each statement, and may take its time: the statement waits. At first all pass. */
  decide: (statement: ProxiedStatement) => Promise<StatementFate> | StatementFate;
  /** How many statements met each fate. */
  readonly met: ReadonlyMap<StatementFate['do'], number>;
}

/** A proxy in front of ClickHouse, which may be away for a while. A client that goes away takes its statement along. */
export async function startHttpProxy(target: string): Promise<HttpProxy> {
  const met = new Map<StatementFate['do'], number>();

  const serve = async (asked: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const url = new URL(asked.url ?? '/', target);
    // The statement stands in the address when a body of rows follows, and is the body otherwise.
    const inAddress = url.searchParams.get('query');
    // Whole, so that whatever becomes of the client meanwhile, the statement can still arrive.
    const body = await buffer(asked);
    const fate = await proxy.decide({ sql: inAddress ?? body.toString(), settings: url.searchParams });
    met.set(fate.do, (met.get(fate.do) ?? 0) + 1);
    if (fate.do === 'cut' || asked.socket.destroyed) {
      asked.socket.destroy();
      return;
    }
    const sql = fate.do === 'pass' ? fate.sql : undefined;
    if (sql !== undefined && inAddress !== null) url.searchParams.set('query', sql);
    const settings = fate.do === 'pass' ? (fate.settings ?? {}) : {};
    for (const [name, value] of Object.entries(settings)) url.searchParams.set(name, value);

    const { host: _host, 'content-length': _length, ...headers } = asked.headers;
    const passedOn = request(url, { method: asked.method ?? 'POST', headers, agent: false }, async (got) => {
      if (fate.do === 'lose-answer') await loseAnswer(got, answer, fate.applied);
      else passOn(got, answer);
    });
    passedOn.on('error', () => answer.destroy());
    if (fate.do === 'pass') answer.on('close', () => passedOn.destroy());
    passedOn.end(inAddress === null ? (sql ?? body) : body);
  };

  const server = await serveOnLoopback(serve);
  const proxy: HttpProxy = {
    url: server.url,
    decide: () => ({ do: 'pass' }),
    met,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return proxy;
}
