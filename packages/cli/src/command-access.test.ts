import type { ClickHouse } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import type { RecordDraft } from '@cairn/recorder';
import { expect, test } from '@jest/globals';
import { cairn } from './testing/run-cairn.ts';

/** The table of keys in memory: the latest version of each. */
class Keys {
  readonly rows = new Map<string, Record<string, unknown>>();
  readonly told: RecordDraft[] = [];
  isDeaf = false;
  isAway = false;

  async run(...args: string[]) {
    const trail = {
      insertRows: async (_table: string, rows: readonly Record<string, unknown>[]) => {
        for (const row of rows) this.rows.set(String(row['id']), row);
      },
      query: async (_sql: string, { id }: { id: string }) => {
        const row = this.rows.get(id);
        if (row === undefined) return [];
        return [{ ...row, created_ms: 0, expires_ms: 1, revoked_ms: row['revoked_ms'] }];
      },
      [Symbol.asyncDispose]: async () => {},
    } as unknown as ClickHouse;
    const openActs = async (deployment: string, orgId: string) => {
      if (this.isAway) throw new Failure({ code: 'log.unreachable', retry: 'later', message: 'away' });
      expect([deployment, orgId]).toEqual(['demo', 'acme']);
      return {
        record: async (draft: RecordDraft) => {
          if (this.isDeaf) throw new Error('the spool is full');
          this.told.push(draft);
        },
        [Symbol.asyncDispose]: async () => {},
      };
    };
    const parts = { openTrail: () => trail, openActs };
    return cairn(['access', ...args], { env: { CAIRN_DEPLOYMENT: 'demo' }, parts });
  }

  create() {
    return this.run('create', '--org', 'acme', '--role', 'viewer', '--name', 'ci');
  }
}

test('a key that is made is an event of its organisation, which holds nothing of its text', async () => {
  const keys = new Keys();
  const { code, stdout } = await keys.create();
  expect(code).toBe(0);
  const [, id, secret] = stdout.trim().split('_');
  expect(keys.told).toMatchObject([
    { org_id: 'acme', kind: 'admin', service: 'cli', method: 'keys/create', result_status: 'success' },
  ]);
  expect(JSON.parse(keys.told[0]!.detail!)).toMatchObject({ key: id, key_role: 'viewer', scopes: ['trail'] });
  expect(JSON.stringify(keys.told)).not.toContain(secret);
});

test('a key whose event is not recorded is not shown and does not count, and without Kafka none is made', async () => {
  const deaf = new Keys();
  deaf.isDeaf = true;
  const said = await deaf.create();
  expect([said.code, said.stdout]).toEqual([1, '']);
  expect([...deaf.rows.values()].map(({ revoked_ms: at }) => Number(at) > 0)).toEqual([true]);
  const away = new Keys();
  away.isAway = true;
  expect((await away.create()).code).toBe(3);
  expect(away.rows.size).toBe(0);
});

test('a key is revoked also when that cannot be recorded, which is said, and the same again records it', async () => {
  const keys = new Keys();
  const { stdout } = await keys.create();
  const id = stdout.split('_')[1]!;
  keys.isAway = true;
  expect(await keys.run('revoke', id, '--org', 'acme')).toMatchObject({ code: 3, stdout: `revoked ${id}\n` });
  expect(Number(keys.rows.get(id)!['revoked_ms'])).toBeGreaterThan(0);
  keys.isAway = false;
  expect((await keys.run('revoke', id, '--org', 'acme')).code).toBe(0);
  expect(keys.told.map(({ method }) => method)).toEqual(['keys/create', 'keys/revoke']);
});

test('without the name of the installation no key is made', async () => {
  const said = await cairn(['access', 'create', '--org', 'acme', '--role', 'viewer', '--name', 'ci'], {
    env: {},
  });
  expect([said.code, said.stderr]).toEqual([64, expect.stringContaining('CAIRN_DEPLOYMENT')]);
});
