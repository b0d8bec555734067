import type { Destination, DestinationHttp } from './destination.ts';
import { below, posted, verdictOf } from './http-verdict.ts';

export interface DatadogOptions {
  readonly http: DestinationHttp;
  /** The intake of the site, such as `https://http-intake.logs.datadoghq.eu`. */
  readonly url: string;
  readonly key: string;
  readonly limits: Destination['limits'];
  readonly nowMs: () => number;
}

/** Datadog's log intake, `/api/v2/logs`: an array of at most 1,000 logs and 5 MB, answered with 202. */
export function datadogLogs({ http, url, key, limits, nowMs }: DatadogOptions): Destination {
  const intake = below(url, '/api/v2/logs');
  return {
    limits,
    async send(items) {
      const body = `[${items.map(({ text }) => text).join(',')}]`;
      const headers = { 'dd-api-key': key, 'content-type': 'application/json' };
      const said = await posted(http, intake, headers, body, true);
      return 'verdict' in said ? said.verdict : verdictOf(said.answer, nowMs());
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}
