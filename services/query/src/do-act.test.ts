// Every act, through the whole API, over stores and a recorder that fail at each step in both ways: not applied, and applied but
// reported as failed.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ClickHouse } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { HoldHistory, KeyHistory, personKeyName } from '@cairn/ledger';
import type { RecordDraft } from '@cairn/recorder';
import { createLog } from '@cairn/runtime';
import { afterEach, describe, expect, test } from '@jest/globals';
import { DEPLOYMENT, Keys, seedFrom, signerOf } from '../../../packages/ledger/test/deployment.ts';
import type { Caller } from './authenticate.ts';
import type { ApiArchive } from './open-archive.ts';
import { serveApi } from './serve-api.ts';
import { claimsInMemory, type SharedClaims } from './shared-claims.ts';
import { tellRevocations } from './tell-revocations.ts';

type Fails = 'unapplied' | 'unreported' | undefined;
const CALLER: Caller = {
  orgId: 'acme',
  role: 'admin',
  scopes: ['trail', 'keys', 'holds'],
  id: 'key:1',
  auth: 'api_key',
};
const KEY_ID = '0123456789abcdef';
const SAVED_ID = '018f0000-0000-4000-8000-000000000001';
const NOW_MS = 1_795_000_000_000;

/** Does something that fails as it is told to. */
async function failing(how: Fails, work: () => void): Promise<void> {
  if (how !== 'unapplied') work();
  if (how !== undefined) throw new Failure({ code: 'store.away', retry: 'later', message: 'it went away' });
}

/** What the acts write to: the latest version of each row, and statements about holds. */
class World {
  readonly rows = new Map<string, Record<string, unknown>>();
  readonly notes = new Map<string, Uint8Array>();
  readonly trail: RecordDraft[] = [];
  storeFails: Fails;
  /** How the nth event is recorded, from 0. */
  recorderFails: readonly Fails[] = [];
  #asked = 0;

  constructor() {
    const made = { created_at: '', expires_at: '', created_ms: 1, expires_ms: NOW_MS * 2 };
    this.put({ id: KEY_ID, org_id: 'acme', role: 'viewer', scopes: [], ...made, revoked_ms: 0, version: 0 });
    this.put({
      id: SAVED_ID,
      org_id: 'acme',
      name: 'x',
      search: '',
      owner: 'key:1',
      is_deleted: 0,
      version: 7,
    });
  }

  put(row: Record<string, unknown>): void {
    const before = this.rows.get(String(row['id']));
    if (Number(row['version']) >= Number(before?.['version'] ?? 0))
      this.rows.set(String(row['id']), { ...row, created_ms: 1, expires_ms: NOW_MS * 2 });
  }

  readonly clickhouse = {
    query: async (sql: string, { id }: { id?: string } = {}) => {
      if (sql.includes('count()')) return [{ saved: 1 }];
      if (sql.includes('revocation_owed !='))
        return [...this.rows.values()].filter((row) => (row['revocation_owed'] ?? '') !== '');
      const row = this.rows.get(id ?? '');
      return row === undefined || row['is_deleted'] === 1 ? [] : [{ ...row, saved_at: row['version'] }];
    },
    insertRows: (_table: string, given: Record<string, unknown>[]) =>
      failing(this.storeFails, () => {
        for (const row of given) this.put(row);
      }),
  } as unknown as ClickHouse;

  readonly recorder = {
    record: (draft: RecordDraft) => {
      const how = this.recorderFails[this.#asked];
      this.#asked += 1;
      return failing(how, () => void this.trail.push(draft));
    },
  };

  readonly archive = {
    state: async () => ({ history: HISTORY }),
    evidence: {
      list: async function* (this: void) {
        for (const name of world.notes.keys()) yield { name, version: '' };
      },
      read: async (name: string) => this.notes.get(name),
      create: async (name: string, bytes: Uint8Array) => {
        await failing(this.storeFails, () => void this.notes.set(name, bytes));
        return 'created';
      },
    },
  } as unknown as ApiArchive;

  /** What of all this changes. */
  get state(): string {
    const rows = [...this.rows.values()].map(({ created_ms: _1, expires_ms: _2, ...row }) => row);
    return JSON.stringify([rows, [...this.notes.keys()]]);
  }
}

const keys = new Keys();
const JANE = signerOf(personKeyName(DEPLOYMENT, 'jane.doe'), seedFrom(10));
keys.add('person', 'jane.doe', JANE.key);
const HISTORY = KeyHistory.of(DEPLOYMENT, keys.notes, keys.root.key);
const NOTE = Buffer.from(
  new HoldHistory(HISTORY).sign(
    {
      ...{ act: 'place', hold: 'acme-1', org: 'acme', by: 'jane.doe', reason: 'A letter', at: NOW_MS },
      ...{ session: null, agent: null, from: null, to: null },
    },
    JANE,
  ),
).toString();

let server: Server | undefined;
let world: World;
let lines: string[];
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function ask(
  { method, path, body, ifMatch }: Asked,
  claims: SharedClaims = claimsInMemory(() => NOW_MS),
): Promise<Response> {
  const app = serveApi({
    claims,
    config: {
      org: 'cairn',
      deployment: 'test',
      limits: { perKeyAMinute: 100, perAddressAMinute: 1_000, streamsMax: 1 },
    },
    clickhouse: world.clickhouse,
    analyst: world.clickhouse,
    archive: world.archive,
    subjectKeys: undefined,
    authenticator: { callerOf: async () => CALLER },
    recorder: world.recorder,
    log: createLog({ name: 'query', destination: { write: (line: string) => void lines.push(line) } }),
    nowMs: () => NOW_MS,
    onAnswered: () => {},
    stopping: new AbortController().signal,
  });
  server = createServer(app);
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, {
    method,
    headers: {
      authorization: 'Bearer right',
      'content-type': 'application/json',
      ...(ifMatch !== undefined && { 'if-match': ifMatch }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  readonly ifMatch?: string;
  readonly recorded: string;
}
const ACTS: readonly (readonly [string, Asked])[] = [
  [
    'making a key',
    { method: 'POST', path: '/v1/keys', body: { name: 'ci', role: 'viewer' }, recorded: 'keys/create' },
  ],
  ['revoking a key', { method: 'DELETE', path: `/v1/keys/${KEY_ID}`, recorded: 'keys/revoke' }],
  [
    'saving a search',
    {
      method: 'POST',
      path: '/v1/saved-searches',
      body: { name: 'y', search: 'tool:x' },
      recorded: 'saved/create',
    },
  ],
  [
    'changing a saved search',
    {
      method: 'PUT',
      path: `/v1/saved-searches/${SAVED_ID}`,
      body: { name: 'z', search: 'tool:x' },
      ifMatch: '"7"',
      recorded: 'saved/change',
    },
  ],
  [
    'deleting a saved search',
    { method: 'DELETE', path: `/v1/saved-searches/${SAVED_ID}`, recorded: 'saved/delete' },
  ],
  ['stating a hold', { method: 'POST', path: '/v1/holds', body: { note: NOTE }, recorded: 'holds/state' }],
];

/** What fails, and what must be so behind it: whether the store has it, and what the trail says of it. */
const FAULTS = [
  { what: 'nothing fails', isDone: true, trail: ['pending', 'success'] },
  { what: 'the decision is not recorded', recorder: ['unapplied'], isDone: false, trail: [] },
  {
    what: 'the decision is recorded and reported as failed',
    recorder: ['unreported'],
    isDone: false,
    trail: ['pending'],
  },
  { what: 'the store does not do it', store: 'unapplied', isDone: false, trail: ['pending', 'unknown'] },
  {
    what: 'the store does it and reports a failure',
    store: 'unreported',
    isDone: true,
    trail: ['pending', 'unknown'],
  },
  {
    what: 'the outcome is not recorded',
    recorder: [undefined, 'unapplied'],
    isDone: true,
    trail: ['pending'],
  },
  {
    what: 'the outcome is recorded and reported as failed',
    recorder: [undefined, 'unreported'],
    isDone: true,
    trail: ['pending', 'success'],
  },
  {
    what: 'the store does not do it, nor is that recorded',
    store: 'unapplied',
    recorder: [undefined, 'unapplied'],
    isDone: false,
    trail: ['pending'],
  },
] as const satisfies readonly {
  readonly what: string;
  readonly store?: Fails;
  readonly recorder?: readonly Fails[];
  readonly isDone: boolean;
  readonly trail: readonly string[];
}[];

describe.each(ACTS)('%s', (_, act) => {
  test.each(FAULTS)(
    'is told as what it came to, in the trail and to who asked, when $what',
    async (fault) => {
      world = new World();
      lines = [];
      world.storeFails = 'store' in fault ? fault.store : undefined;
      world.recorderFails = 'recorder' in fault ? fault.recorder : [];
      const before = world.state;
      const answer = await ask(act);
      const text = await answer.text();

      expect(world.trail.map(({ result_status: status }) => status)).toEqual(fault.trail);
      expect(
        new Set(world.trail.map(({ call_id: id }) => Buffer.from(id as Uint8Array).toString('hex'))).size,
      ).toBe(Math.min(fault.trail.length, 1));
      for (const event of world.trail)
        expect(event).toMatchObject({ method: act.recorded, user_id: 'key:1' });
      expect(world.trail.map(({ phase }) => phase)).toEqual(
        ['decision', 'outcome'].slice(0, fault.trail.length),
      );

      // The one act that does not wait for its decision: what was asked to be revoked does not go on counting.
      const isRevoked = act.recorded === 'keys/revoke' && fault.what.startsWith('the decision');
      expect(world.state !== before).toBe(fault.isDone || isRevoked);
      if (fault.what === 'nothing fails') return expect(answer.status).toBeLessThan(300);
      expect(answer.status).toBe(503);
      const isUntouched = fault.what.startsWith('the decision') && !isRevoked;
      expect(JSON.parse(text).code).toBe(isUntouched ? 'unavailable' : 'act.unconfirmed');
      // Nobody is told a key that the trail does not have whole.
      expect(text).not.toMatch(/cairn_[0-9a-f]/);
      expect(lines.join('')).toContain('it went away');
    },
  );
});

describe('an act that is refused when it is done', () => {
  test('since somebody else came first is recorded as not done, once, under its decision', async () => {
    world = new World();
    lines = [];
    const changing = ACTS[3]![1];
    const before = world.state;
    const claims = { ...claimsInMemory(() => NOW_MS), claim: async () => 'key:2' };
    const answer = await ask(changing, claims);
    expect([answer.status, world.state]).toEqual([412, before]);
    expect(world.trail).toMatchObject([
      { phase: 'decision', result_status: 'pending' },
      { phase: 'outcome', result_status: 'failure', error_code: 'precondition.failed' },
    ]);
  });
});

describe('an act that is refused, which cannot be recorded', () => {
  test.each(['unapplied', 'unreported'] as const)(
    'is answered as unavailable, and not with the refusal (%s)',
    async (how) => {
      world = new World();
      lines = [];
      world.recorderFails = [undefined, how];
      const claims = { ...claimsInMemory(() => NOW_MS), claim: async () => 'key:2' };
      const answer = await ask(ACTS[3]![1], claims);
      expect([answer.status, await answer.json()]).toMatchObject([503, { code: 'unavailable' }]);
      expect(world.trail).toHaveLength(how === 'unreported' ? 2 : 1);
    },
  );
});

describe('a revocation that could not be recorded', () => {
  /** One that was asked for while the recorder was away. */
  async function revoked(): Promise<World> {
    world = new World();
    lines = [];
    world.recorderFails = ['unapplied'];
    await ask(ACTS[1]![1]);
    expect(world.rows.get(KEY_ID)).toMatchObject({ revoked_ms: NOW_MS });
    return world;
  }
  const owes = () => (world.rows.get(KEY_ID)!['revocation_owed'] ?? '') !== '';

  test.each(['unapplied', 'unreported'] as const)(
    'and that the store answers as failed (%s) is told as what nobody knows',
    async (how) => {
      world = new World();
      lines = [];
      world.recorderFails = ['unapplied'];
      world.storeFails = how;
      const answer = await ask(ACTS[1]![1]);
      expect([answer.status, await answer.json()]).toMatchObject([503, { code: 'act.unconfirmed' }]);
      expect([world.rows.get(KEY_ID)!['revoked_ms'] !== 0, owes()]).toEqual(
        how === 'unreported' ? [true, true] : [false, false],
      );
    },
  );

  test('is recorded once the recorder is there, with who did it, and the key stays revoked', async () => {
    await revoked();
    expect(await tellRevocations(world.clickhouse, world.recorder)).toBe(1);
    expect(world.trail).toMatchObject([
      { org_id: 'acme', kind: 'admin', method: 'keys/revoke', user_id: 'key:1', result_status: 'success' },
    ]);
    expect(JSON.parse(world.trail[0]!.detail!)).toMatchObject({
      key: KEY_ID,
      revoked_at: NOW_MS,
      told_later: true,
    });
    expect([owes(), world.rows.get(KEY_ID)!['revoked_ms']]).toEqual([false, NOW_MS]);
    expect(await tellRevocations(world.clickhouse, world.recorder)).toBe(0);
  });

  test.each([
    ['the recorder is away again', ['unapplied'], undefined, 1],
    ['the recorder has it and reports a failure', ['unreported'], undefined, 2],
    ['the row is not written', [], 'unapplied', 2],
    ['the row is written and reported as failed', [], 'unreported', 1],
  ] as const)('is told at least once and never lost when %s', async (_, recorder, store, times) => {
    await revoked();
    // The first was its decision, which failed.
    world.recorderFails = [undefined, ...recorder];
    world.storeFails = store;
    await expect(tellRevocations(world.clickhouse, world.recorder)).rejects.toThrow('it went away');
    world.storeFails = undefined;
    await tellRevocations(world.clickhouse, world.recorder);
    expect([world.trail.length, owes()]).toEqual([times, false]);
    expect(new Set(world.trail.map(({ detail }) => JSON.parse(detail!).request)).size).toBe(1);
  });
});
