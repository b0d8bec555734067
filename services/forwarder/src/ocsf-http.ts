import type { Destination, DestinationHttp } from './destination.ts';
import { posted, verdictOf } from './http-verdict.ts';

export interface OcsfHttpOptions {
  readonly http: DestinationHttp;
  readonly url: string;
  /** The whole of the `authorization` header; undefined for none. */
  readonly authorization: string | undefined;
  readonly limits: Destination['limits'];
  readonly nowMs: () => number;
}

/** OCSF over HTTP: a POST of newline-delimited JSON; any 2xx takes all of it, and 400, 413 and 422 are about the content. */
export function ocsfHttp({ http, url, authorization, limits, nowMs }: OcsfHttpOptions): Destination {
  const target = new URL(url);
  return {
    limits,
    async send(items) {
      const body = items.map(({ text }) => `${text}\n`).join('');
      const headers = {
        'content-type': 'application/x-ndjson',
        ...(authorization === undefined ? {} : { authorization }),
      };
      const said = await posted(http, target, headers, body, true);
      return 'verdict' in said ? said.verdict : verdictOf(said.answer, nowMs());
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}
