import { ROLES } from '@cairn/access';
import { afterAll, beforeAll } from '@jest/globals';
import { type ApiRig, startApi } from './api-rig.ts';

export interface ApiForTests {
  /** From the first test on. */
  readonly api: ApiRig;
  /** A key of each role, by its name, and of another organisation's auditor as `stranger`. */
  readonly keys: Readonly<Record<string, string>>;
  /** Body of an answer to the auditor, or to whose key is given. @throws Error when it is a problem. */
  json<T = Record<string, never>>(
    path: string,
    key?: string,
    options?: Parameters<ApiRig['ask']>[1],
  ): Promise<T>;
  /** The first row of what ClickHouse answers, past the API. */
  one<T>(sql: string, parameters?: Readonly<Record<string, unknown>>): Promise<T>;
}

/** The API over so many realistic events, for the tests of one file. */
export function apiForTests(events: number): ApiForTests {
  let api: ApiRig | undefined;
  const keys: Record<string, string> = {};
  const started = (): ApiRig => {
    if (api === undefined) throw new Error('the API is not there before the first test');
    return api;
  };
  beforeAll(async () => {
    api = await startApi({ events });
    for (const role of ROLES) keys[role] = await api.key(role);
    keys['stranger'] = await api.key('auditor', { orgId: 'org-2' });
  }, 120_000);
  afterAll(async () => {
    await api?.[Symbol.asyncDispose]();
  });
  return {
    get api() {
      return started();
    },
    keys,
    json: (path, key = keys['auditor']!, options = {}) => started().json(path, { key, ...options }),
    async one<T>(sql: string, parameters = {}) {
      const settings = { output_format_json_quote_64bit_integers: 0 };
      const [row] = await started().clickhouse.query<T>(sql, parameters, settings);
      return row!;
    },
  };
}
