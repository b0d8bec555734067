import type { Destination, DestinationHttp, Item, Verdict } from './destination.ts';
import { below, posted, REFUSALS, saidBy, verdictOf } from './http-verdict.ts';

export interface ElasticOptions {
  readonly http: DestinationHttp;
  /** Base of the cluster, such as `https://elastic.example:9200`. */
  readonly url: string;
  /** Data stream or index. */
  readonly index: string;
  /** `ApiKey` and its key, or `Basic` and its credentials; undefined for a cluster without security. */
  readonly authorization: string | undefined;
  readonly limits: Destination['limits'];
  readonly nowMs: () => number;
}

/**
 * `_bulk` of Elasticsearch and OpenSearch. Documents are created under the event's id, which is all that a data stream allows and
 * makes an event that comes twice one document: the second answers 409, it is there. HTTP 200 says nothing; each item has a status of
 * its own.
 */
export function elasticBulk(options: ElasticOptions): Destination {
  const { http, index, authorization, limits, nowMs } = options;
  const bulk = below(options.url, `/${encodeURIComponent(index)}/_bulk`);
  bulk.searchParams.set('filter_path', 'items.*.status,items.*.error.type,items.*.error.reason');
  return {
    limits,
    async send(items) {
      const body = items
        .map(({ eventId, text }) => `${JSON.stringify({ create: { _id: eventId } })}\n${text}\n`)
        .join('');
      const headers = {
        'content-type': 'application/x-ndjson',
        ...(authorization === undefined ? {} : { authorization }),
      };
      const said = await posted(http, bulk, headers, body, false);
      if ('verdict' in said) return said.verdict;
      const verdict = verdictOf(said.answer, nowMs());
      return verdict.kind === 'taken' ? sorted(said.answer.excerpt, items) : verdict;
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

interface BulkItem {
  readonly create?: {
    readonly status?: unknown;
    readonly error?: { readonly type?: unknown; readonly reason?: unknown };
  };
}

/**
 * Errors that come with 400 and say something about the index or the cluster, not about the document: it is closed, or may have no more
 * shards. To set every document aside for that would empty the log into the parking.
 */
const ABOUT_THE_INDEX: ReadonlySet<string> = new Set(['index_closed_exception', 'validation_exception']);

/** An answer that does not speak of every item speaks of none: the batch goes again, which creates nothing twice. */
function sorted(text: string, items: readonly Item[]): Verdict {
  const answers = itemsOf(text);
  if (answers?.length !== items.length)
    return { kind: 'unavailable', reason: 'the answer does not speak of every item' };
  const refused: { index: number; reason: string }[] = [];
  const again: number[] = [];
  let reason = '';
  for (const [index, { create }] of answers.entries()) {
    const status = Number(create?.status);
    const said = saidBy(
      `${status} ${String(create?.error?.type ?? '')} ${String(create?.error?.reason ?? '')}`,
    );
    // 409: a document of this id is there.
    if ((status >= 200 && status <= 299) || status === 409) continue;
    const type = create?.error?.type;
    if (REFUSALS.has(status) && !(typeof type === 'string' && ABOUT_THE_INDEX.has(type)))
      refused.push({ index, reason: said });
    else {
      again.push(index);
      reason = said;
    }
  }
  return { kind: 'sorted', refused, again, reason };
}

function itemsOf(text: string): readonly BulkItem[] | undefined {
  try {
    const { items } = JSON.parse(text) as { readonly items?: unknown };
    return Array.isArray(items) ? (items as BulkItem[]) : undefined;
  } catch {
    return undefined;
  }
}
