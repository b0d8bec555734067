import type { ClickHouse } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import type { RecordDraft } from '@cairn/recorder';
import { expect, test } from '@jest/globals';
import { cairn } from './testing/run-cairn.ts';

/** The table of keys in memory: the latest version of each. */
class Keys {
  readonly rows = new Map<string, Record<string, unknown>>();
  readonly told: RecordDraft[] = [];
  /** Which event is not recorded, from 0. */
  deafAt: number | undefined;
  isAway = false;
  storeFails: 'unapplied' | 'unreported' | undefined;
  #asked = 0;

  async run(...args: string[]) {
    const trail = {
      insertRows: async (_table: string, rows: readonly Record<string, unknown>[]) => {
        if (this.storeFails !== 'unapplied') for (const row of rows) this.rows.set(String(row['id']), row);
        if (this.storeFails !== undefined)
          throw new Failure({ code: 'clickhouse.unreachable', retry: 'later', message: 'away' });
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
          this.#asked += 1;
          if (this.deafAt === this.#asked - 1) throw new Error('the spool is full');
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

const statuses = ({ told }: Keys) => told.map(({ phase, result_status: status }) => [phase, status]);
const isRevoked = (row: Record<string, unknown> | undefined) => Number(row?.['revoked_ms']) > 0;

test('a key that is made is a decision and an outcome of its organisation, which hold nothing of its text', async () => {
  const keys = new Keys();
  const { code, stdout } = await keys.create();
  expect(code).toBe(0);
  const [, id, secret] = stdout.trim().split('_');
  expect(statuses(keys)).toEqual([
    ['decision', 'pending'],
    ['outcome', 'success'],
  ]);
  for (const event of keys.told) {
    expect(event).toMatchObject({ org_id: 'acme', kind: 'admin', service: 'cli', method: 'keys/create' });
    expect(JSON.parse(event.detail!)).toMatchObject({ key: id, key_role: 'viewer', scopes: ['trail'] });
    expect(event.call_id).toEqual(keys.told[0]!.call_id);
  }
  expect(JSON.stringify(keys.told)).not.toContain(secret);
});

test('no key is made whose decision is not recorded, and none is shown whose outcome is not', async () => {
  const away = new Keys();
  away.isAway = true;
  expect([(await away.create()).code, away.rows.size]).toEqual([3, 0]);
  for (const [deafAt, made] of [
    [0, 0],
    [1, 1],
  ] as const) {
    const deaf = new Keys();
    deaf.deafAt = deafAt;
    const said = await deaf.create();
    expect([said.code, said.stdout, deaf.rows.size]).toEqual([1, '', made]);
  }
});

test.each(['unapplied', 'unreported'] as const)(
  'a key of which ClickHouse does not say that it has it is not shown, and the trail says that nobody knows (%s)',
  async (how) => {
    const keys = new Keys();
    keys.storeFails = how;
    const said = await keys.create();
    expect([said.code, said.stdout]).toEqual([3, '']);
    expect(statuses(keys)).toEqual([
      ['decision', 'pending'],
      ['outcome', 'unknown'],
    ]);
  },
);

test('a key is revoked also when that cannot be recorded: its row then says what the trail is owed', async () => {
  for (const fault of [{ isAway: true }, { deafAt: 2 }]) {
    const keys = new Keys();
    const { stdout } = await keys.create();
    const id = stdout.split('_')[1]!;
    Object.assign(keys, fault);
    const said = await keys.run('revoke', id, '--org', 'acme');
    expect([said.code === 0, said.stdout, said.stderr]).toEqual([
      false,
      `revoked ${id}\n`,
      expect.stringContaining('It is not recorded'),
    ]);
    expect(isRevoked(keys.rows.get(id))).toBe(true);
    expect(JSON.parse(String(keys.rows.get(id)!['revocation_owed']))).toMatchObject({ service: 'cli' });
    expect(keys.told).toHaveLength(2);
  }
});

test('a revocation stands between its decision and its outcome, and owes the trail nothing', async () => {
  const keys = new Keys();
  const id = (await keys.create()).stdout.split('_')[1]!;
  keys.deafAt = 3;
  expect((await keys.run('revoke', id, '--org', 'acme')).code).toBe(1);
  expect([isRevoked(keys.rows.get(id)), keys.rows.get(id)!['revocation_owed']]).toEqual([true, undefined]);
  expect(statuses(keys).slice(2)).toEqual([['decision', 'pending']]);
  keys.deafAt = undefined;
  expect((await keys.run('revoke', id, '--org', 'acme')).code).toBe(0);
  expect(statuses(keys).slice(3)).toEqual([
    ['decision', 'pending'],
    ['outcome', 'success'],
  ]);
});

test('without the name of the installation no key is made', async () => {
  const said = await cairn(['access', 'create', '--org', 'acme', '--role', 'viewer', '--name', 'ci'], {
    env: {},
  });
  expect([said.code, said.stderr]).toEqual([64, expect.stringContaining('CAIRN_DEPLOYMENT')]);
});
