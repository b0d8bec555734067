import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { isFailure, messageOf } from '@cairn/failure';
import { visible } from '@cairn/session';
import { retryAfterMs } from '@cairn/webhook';
import type { DestinationHttp, Verdict } from './destination.ts';

export type Answer = Awaited<ReturnType<DestinationHttp['post']>>;

const compressed = promisify(gzip);
const REASON_MAX = 300;

/** A path below a receiver's address, which may itself have one: a proxy in front of several. */
export function below(url: string, path: string): URL {
  return new URL(`${url.replace(/\/+$/, '')}${path}`);
}

/** What a receiver said, for a person: shortened, and with nothing in it that a terminal would obey. */
export const saidBy = (text: string): string => visible(text).slice(0, REASON_MAX);

/** One POST. @returns the answer, or the verdict where there was none. */
export async function posted(
  http: DestinationHttp,
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
  isCompressed: boolean,
): Promise<{ readonly answer: Answer } | { readonly verdict: Verdict }> {
  try {
    const bytes = isCompressed ? await compressed(body) : Buffer.from(body);
    const encoding = isCompressed ? { 'content-encoding': 'gzip' } : {};
    const answer = await http.post(url, { 'user-agent': 'cairn-forwarder', ...headers, ...encoding }, bytes);
    return { answer };
  } catch (error) {
    const reason = isFailure(error) ? `${error.code}: ${messageOf(error)}` : messageOf(error);
    return {
      verdict: {
        kind: 'unavailable',
        reason: saidBy(reason),
        stopped: isFailure(error, 'http.refused-address'),
      },
    };
  }
}

/** Statuses that say something about the content; 413 says that there is too much of it. */
export const REFUSALS: ReadonlySet<number> = new Set([400, 413, 422]);
/** Statuses that mean: the same again, later. */
const BUSY: ReadonlySet<number> = new Set([408, 425, 429]);

/**
 * What a status means where the receiver's protocol says nothing else. What is neither success, refusal of the content nor a passing
 * trouble (a token that is not valid, a path that does not exist, a redirect) stops the destination: nothing is set aside for it.
 */
export function verdictOf({ status, retryAfter, excerpt }: Answer, nowMs: number): Verdict {
  if (status >= 200 && status <= 299) return { kind: 'taken' };
  const reason = `${status} ${saidBy(excerpt)}`.trim();
  if (REFUSALS.has(status)) return { kind: 'refused', reason };
  const isPassing = BUSY.has(status) || status >= 500;
  return {
    kind: 'unavailable',
    reason,
    retryAfterMs: retryAfterMs(retryAfter, nowMs),
    stopped: !isPassing,
  };
}
