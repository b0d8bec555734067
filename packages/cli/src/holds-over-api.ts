import type { Hold } from '@cairn/client';
import { type HoldWords, type NoteSigner, signHold } from '@cairn/ledger';
import { apiAccessOf, askApi } from './ask-api.ts';
import type { CliConfig } from './config.ts';

/** Whether holds are asked of the query API, and not of an archive. */
export const isApi = (where: string): boolean => /^https?:\/\//.test(where);

export const STATES: Readonly<Record<Hold['state'], string>> = {
  stands: 'stands',
  'release-asked': 'stands, one release signed',
  released: 'released',
};

/**
 * Signs a statement here and sends the note. Another one that came between takes its number: then it is refused, and run again.
 *
 * @returns the hold as it is now.
 * @throws Failure as `askApi`.
 */
export async function stateOverApi(
  config: Pick<CliConfig, 'api'>,
  url: string,
  words: HoldWords,
  signer: NoteSigner,
): Promise<Hold> {
  const access = apiAccessOf({ api: { ...config.api, url } });
  const { next } = (await (await askApi(access, '/v1/holds')).json()) as {
    next: { number: number; previous: string };
  };
  const note = Buffer.from(signHold(words, next, signer)).toString();
  const { hold } = (await (await askApi(access, '/v1/holds', { note })).json()) as { hold: Hold };
  return hold;
}

/** Holds of the organisation of the key. @throws Failure as `askApi`. */
export async function listOverApi(config: Pick<CliConfig, 'api'>, url: string): Promise<readonly Hold[]> {
  const answer = await askApi(apiAccessOf({ api: { ...config.api, url } }), '/v1/holds');
  return ((await answer.json()) as { holds: readonly Hold[] }).holds;
}
