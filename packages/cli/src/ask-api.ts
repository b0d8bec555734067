import type { Problem } from '@cairn/client';
import { Failure, messageOf } from '@cairn/failure';
import { visible } from '@cairn/session';
import { InvalidArgumentError, Option } from 'commander';
import type { CliConfig } from './config.ts';

export interface ApiAccess {
  readonly url: string;
  readonly key: string;
}

/** Of `apiOption`: an address, or true for the one of the environment. */
export type ApiChoice = string | true;

/** `--api` or `--api <url>`: the same for every command that can ask the query API. */
export const apiOption = (more = ''): Option =>
  new Option(
    '--api [url]',
    `the query API, with the key in CAIRN_API_KEY; its address, default CAIRN_API_URL or the local one${more}`,
  ).argParser(apiUrl);

function apiUrl(text: string): string {
  if (/^https?:\/\/\S+$/.test(text)) return text;
  throw new InvalidArgumentError(
    'It must be an address such as https://cairn.example. Without one, write --api last.',
  );
}

/**
 * @param choice the address on the command line; without one that of the environment.
 * @throws Failure `config.invalid` when no key is named.
 */
export function apiAccessOf(
  { api: { url, key } }: Pick<CliConfig, 'api'>,
  choice: ApiChoice | undefined = true,
): ApiAccess {
  if (key !== undefined) return { url: choice === true ? url : choice, key };
  throw new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: 'no key for the query API is named',
    mend: 'Set CAIRN_API_KEY or CAIRN_API_KEY_FILE; `cairn access create` makes one.',
  });
}

/** The API said no, or failed. */
export class ApiRefusal extends Failure {
  /** When it may be asked again, as it said; undefined where it did not. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, problem: Partial<Problem>, retryAfter: string | null) {
    const seconds = retryAfter !== null && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined;
    super({
      code: 'api.refused',
      retry: status === 429 || status >= 500 ? 'later' : 'no',
      message: `the query API refused (${status}${problem.code === undefined ? '' : ` ${visible(problem.code)}`}): ${toldBy(problem)}`,
      ...(seconds === undefined ? {} : { mend: `Ask again in ${seconds} s.` }),
    });
    this.retryAfterMs = seconds === undefined ? undefined : seconds * 1_000;
  }
}

/** A problem (RFC 9457) in one line: what is wrong, and at which column where it is one of a text. */
function toldBy({ code, detail, position, status, instance }: Partial<Problem>): string {
  if (code === undefined) return 'its answer is no problem as docs/api.md has them. Is this its address?';
  const text = visible(detail ?? '');
  const column = position === undefined || text.startsWith('column ') ? '' : `column ${position + 1}: `;
  // Its log says more under this id.
  const request = (status ?? 0) >= 500 && instance !== undefined ? ` (request ${visible(instance)})` : '';
  return `${column}${text}${request}`;
}

/**
 * Asks the query API.
 *
 * @param path with its query.
 * @param body what is posted, as JSON; without one it is read.
 * @throws Failure `api.refused` (no, or later where it may pass; an `ApiRefusal`), `api.unreachable` (later)
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
      mend: 'Check its address (--api, CAIRN_API_URL), and that services/query runs.',
      cause: error,
    });
  }
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as Partial<Problem>;
  throw new ApiRefusal(answer.status, problem, answer.headers.get('retry-after'));
}
