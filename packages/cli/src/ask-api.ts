import { Failure, messageOf } from '@cairn/failure';
import { visible } from '@cairn/session';
import type { CliConfig } from './config.ts';

export interface ApiAccess {
  readonly url: string;
  readonly key: string;
}

/** @throws Failure `config.invalid` when no key is named. */
export function apiAccessOf({ api: { url, key } }: Pick<CliConfig, 'api'>): ApiAccess {
  if (key !== undefined) return { url, key };
  throw new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: 'no key for the query API is named',
    mend: 'Set CAIRN_API_KEY or CAIRN_API_KEY_FILE; `cairn access create` makes one.',
  });
}

/**
 * Asks the query API.
 *
 * @param path with its query.
 * @param body what is posted, as JSON; without one it is read.
 * @throws Failure `api.refused` (no, or later where it may pass), `api.unreachable` (later)
 */
export async function askApi({ url, key }: ApiAccess, path: string, body?: object): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const posted = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  let answer: Response;
  try {
    answer = await fetch(`${url.replace(/\/$/, '')}${path}`, { headers, ...posted });
  } catch (error) {
    throw new Failure({
      code: 'api.unreachable',
      retry: 'later',
      message: `the query API does not answer: ${messageOf((error as Error).cause ?? error)}`,
      mend: 'Check CAIRN_API_URL, and that services/query runs.',
      cause: error,
    });
  }
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string };
  throw new Failure({
    code: 'api.refused',
    retry: answer.status === 429 || answer.status >= 500 ? 'later' : 'no',
    message: `the query API refused (${answer.status} ${visible(problem.code ?? '')}): ${visible(problem.detail ?? '')}`,
  });
}
