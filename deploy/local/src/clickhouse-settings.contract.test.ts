import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { errorOf, type Rig, startRig } from './clickhouse-rig.contract.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
}, 120_000);
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]();
});

describe('settings', () => {
  const comment = "SELECT getSetting('log_comment'), getSetting('max_threads')";

  test('hold for their own request and not for the next', async () => {
    const answer = await rig.client.query({
      query: comment,
      format: 'JSONCompactEachRow',
      clickhouse_settings: { log_comment: "it's \\ mine\n", max_threads: 3 },
    });
    expect(await answer.json()).toEqual([["it's \\ mine\n", 3]]);
    expect((await rig.rows(comment))[0]?.[0]).toBe('');
  });

  test('of 20 clients at once never mix', async () => {
    const clients = Array.from({ length: 20 }, () => rig.connect());
    const wrong = await Promise.all(
      clients.map(async (client, place) => {
        let mixed = 0;
        for (let turn = 0; turn < 20; turn += 1) {
          const own = turn % 2 === 0 ? `client ${place} turn ${turn}` : '';
          const answer = await client.query({
            query: "SELECT getSetting('log_comment'), {own:String}",
            query_params: { own },
            format: 'JSONCompactEachRow',
            ...(own === '' ? {} : { clickhouse_settings: { log_comment: own } }),
          });
          const [row] = await answer.json<[string, string]>();
          if (row?.[0] !== own || row[1] !== own) mixed += 1;
        }
        return mixed;
      }),
    );
    expect(wrong).toEqual(clients.map(() => 0));
  });

  test('that nobody knows, or with a wrong value, are refused', async () => {
    const asked = (settings: Record<string, string | number>) =>
      errorOf(rig.client.query({ query: 'SELECT 1', clickhouse_settings: settings }));
    expect(await asked({ no_such_setting: 1 })).toBe('115 UNKNOWN_SETTING');
    expect(await asked({ max_threads: 'many' })).toBe('27 CANNOT_PARSE_INPUT_ASSERTION_FAILED');
  });
});

describe('sessions', () => {
  test('keep settings and temporary tables, and the settings of one request do not stay', async () => {
    const client = rig.connect({ session_id: 'kept' });
    const setting = async (settings = {}): Promise<unknown> => {
      const answer = await client.query({
        query: "SELECT getSetting('max_threads')",
        format: 'JSONCompactEachRow',
        clickhouse_settings: settings,
      });
      return (await answer.json<[unknown]>())[0]?.[0];
    };
    await client.command({ query: 'CREATE TEMPORARY TABLE mine (a UInt8)' });
    await client.insert({ table: 'mine', values: [{ a: 7 }], format: 'JSONEachRow' });
    await client.command({ query: 'SET max_threads = 5' });
    expect(await setting({ max_threads: 9 })).toBe(9);
    expect(await setting()).toBe(5);
    const rows = await client.query({ query: 'SELECT a FROM mine', format: 'JSONEachRow' });
    expect(await rows.json()).toEqual([{ a: 7 }]);
    expect(await errorOf(rig.client.query({ query: 'SELECT a FROM mine' }))).toBe('60 UNKNOWN_TABLE');
  });

  test('serve one request at a time', async () => {
    const client = rig.connect({ session_id: 'locked' });
    const first = client.query({ query: 'SELECT sleep(1)' });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await errorOf(client.query({ query: 'SELECT 1' }))).toBe('373 SESSION_IS_LOCKED');
    await first;
  });

  test('end when idle or closed, and one that must exist is refused when it does not', async () => {
    const ask = (more: string) => fetch(`${rig.url}/?query=SELECT+1&session_id=short${more}`);
    expect((await ask('&session_check=1')).headers.get('x-clickhouse-exception-code')).toBe('372');
    expect((await ask('&session_timeout=1')).status).toBe(200);
    expect((await ask('&session_check=1&session_timeout=1')).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect((await ask('&session_check=1')).headers.get('x-clickhouse-exception-code')).toBe('372');
    expect((await ask('&close_session=1')).status).toBe(200);
    expect((await ask('&session_check=1')).headers.get('x-clickhouse-exception-code')).toBe('372');
  });
});
