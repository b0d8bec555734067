// The API over a real archive: cold events, proofs, bundles, holds, and what is sealed. Real ClickHouse, real bucket.
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeDatum, parseUuid } from '@cairn/event';
import {
  HoldHistory,
  manifestName,
  type NoteSigner,
  openCheckpoint,
  parseTlogProof,
  verifyTlogProof,
} from '@cairn/ledger';
import { joinBlocks, sealBlock } from '@cairn/privacy';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ORIGIN } from '../../../packages/cli/src/testing/archive-on-disk.ts';
import { cairn } from '../../../packages/cli/src/testing/run-cairn.ts';
import { type ApiRig, ORG, startApi } from '../test/api-rig.ts';
import { ARCHIVED_DAYS } from '../test/archived-world.ts';

const EVENTS = 900;
const OTHER = 'org-0';
let api: ApiRig;
let directory: string;
const keys: Record<string, string> = {};
/** Of the organisation, as the table had them before days were dropped. */
let before: Record<string, unknown>[];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-api-archive-'));
  api = await startApi({ events: 0, archived: EVENTS, isLoaded: true });
  for (const role of ['viewer', 'analyst', 'auditor', 'admin'] as const) keys[role] = await api.key(role);
  keys['stranger'] = await api.key('auditor', { orgId: OTHER });
  before = (await allPages(`${WHEN}&limit=1000&order=oldest`)).flatMap(({ events }) => events);
}, 180_000);
afterAll(async () => {
  await api?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

async function json<T = Record<string, never>>(
  path: string,
  key = keys['auditor']!,
  options: Parameters<ApiRig['ask']>[1] = {},
): Promise<T> {
  return api.json<T>(path, { key, ...options });
}

const codeOf = async (answer: Response): Promise<[number, string]> => [
  answer.status,
  ((await answer.json()) as { code: string }).code,
];

interface Page {
  readonly events: (Record<string, unknown> & {
    event_id: string;
    store: string;
    leaf_index: number | null;
  })[];
  readonly next: string | null;
  readonly rows: Record<string, number>;
  readonly segments: Record<string, number>;
}

async function allPages(query: string, key = keys['auditor']!): Promise<Page[]> {
  const pages: Page[] = [];
  for (let cursor = ''; ; ) {
    const page = await json<Page>(`/v1/events?${query}${cursor}`, key);
    pages.push(page);
    if (page.next === null) return pages;
    cursor = `&cursor=${page.next}`;
  }
}

const WHEN = `search=${encodeURIComponent('timestamp:[2026-01-01 TO 2026-02-01]')}`;

describe('completeness', () => {
  interface Completeness {
    readonly complete: boolean;
    readonly streams: Record<string, number>[];
    readonly counts: Record<string, { of: string; as_of: number | null }>;
  }
  const sum = ({ streams }: Completeness, name: string) =>
    streams.reduce((total, stream) => total + (stream[name] ?? 0), 0);

  test('counts what was accepted, stored and archived alike, and as verified what archival says it read back', async () => {
    const first = await json<Completeness>('/v1/completeness', keys['viewer']);
    const accepted = sum(first, 'accepted');
    expect(accepted).toBeGreaterThan(100);
    expect(['stored', 'archived', 'verified', 'waiting'].map((name) => sum(first, name))).toEqual([
      accepted,
      accepted,
      0,
      0,
    ]);
    expect([first.complete, first.counts['verified']!.as_of]).toEqual([true, null]);
    expect(first.counts['archived']!.as_of).toBeGreaterThan(Date.now() - 60_000);

    // What the events of the job say, in the installation's organisation. One run found something.
    const run = (from: number, to: number, found: number) =>
      JSON.stringify({
        found,
        from: manifestName(ORIGIN, from),
        leaves: 1,
        to: manifestName(ORIGIN, to),
        verified: 1,
      });
    const row = (detail: string, offset: number, org: string) => ({
      topic: 'audit.events.standard',
      partition: 9,
      offset,
      received_at: '2026-01-07 00:00:00.000',
      org_id: org,
      kind: 'admin',
      service: 'archival',
      method: 'job/verify',
      result_status: 'success',
      timestamp: '2026-01-07 00:00:00',
      event_id_random: 'abcdefghij',
      detail,
    });
    await api.clickhouse.insertRows('cairn.events', [
      row(run(0, 150, 0), 0, 'cairn'),
      row(run(300, 450, 1), 1, 'cairn'),
      row(run(600, 750, 0), 2, OTHER),
    ]);
    const second = await json<Completeness>('/v1/completeness', keys['viewer']);
    const inFirstTwo = api.world.manifests
      .filter(({ first: leaf }) => leaf <= 150)
      .flatMap(({ streams }) => streams.filter(({ org }) => org === ORG))
      .reduce((total, { events }) => total + events, 0);
    expect(sum(second, 'verified')).toBe(inFirstTwo);
    expect(second.counts['verified']!.as_of).toBe(Date.parse('2026-01-07T00:00:00Z'));
  });

  test('names a number that ClickHouse has lost, and is not complete', async () => {
    const [lost] = await api.clickhouse.query<{ gateway_id: string; seq: number; offset: number }>(
      `SELECT toString(gateway_id) AS gateway_id, seq, offset FROM cairn.events WHERE org_id = {org:String} AND seq = 5 AND append_day = '${ARCHIVED_DAYS[0]}' LIMIT 1`,
      { org: ORG },
      { output_format_json_quote_64bit_integers: 0 },
    );
    await api.clickhouse.exec(
      `ALTER TABLE cairn.events DELETE WHERE topic = 'audit.events.standard' AND partition = 0 AND offset = ${lost!.offset} SETTINGS mutations_sync = 1`,
    );
    const { complete, streams } = await json<Completeness>('/v1/completeness');
    expect(complete).toBe(false);
    expect(streams.filter(({ missing }) => missing !== 0)).toMatchObject([
      { gateway_id: lost!.gateway_id, missing: 1, archived_missing: 0 },
    ]);
  });
});

describe('a search over both stores', () => {
  test('gives each event once, as it was when it was hot, and says which store gave it and what was read', async () => {
    for (const day of ARCHIVED_DAYS.slice(0, 2))
      await api.clickhouse.exec(`ALTER TABLE cairn.events DROP PARTITION '${day}'`);

    const pages = await allPages(`${WHEN}&store=both&limit=150&order=oldest`);
    const found = pages.flatMap(({ events }) => events);
    const without = ({ store: _, leaf_index: __, ...event }: Record<string, unknown>) => event;
    expect(found.map(without)).toEqual(before.map(without));
    expect(new Set(found.map(({ event_id: id }) => id)).size).toBe(found.length);
    const cold = found.filter(({ store }) => store === 'archive');
    expect(cold.length).toBeGreaterThan(100);
    expect(
      cold.every(
        ({ leaf_index: leaf, leaf_hash: hash }) => leaf !== null && /^[0-9a-f]{64}$/.test(String(hash)),
      ),
    ).toBe(true);
    expect(found.filter(({ store }) => store === 'hot').length).toBe(found.length - cold.length);
    expect(pages.reduce((total, { rows }) => total + rows['archive']!, 0)).toBe(cold.length);
    expect(pages[0]!.segments).toMatchObject({ deleted: 0 });
    expect(pages[0]!.segments['read']).toBeGreaterThan(0);
    expect(pages[0]!.segments['served_hot']).toBeGreaterThan(0);
  });

  test('gives an organisation its own alone, hides what a role may not see, and is recorded with what was read', async () => {
    const own = new Set(before.map(({ event_id: id }) => id));
    const others = (await allPages(`${WHEN}&store=cold&limit=200`, keys['stranger'])).flatMap(
      ({ events }) => events,
    );
    expect(others.length).toBeGreaterThan(10);
    expect(others.filter((event) => event['org_id'] !== OTHER || own.has(event.event_id))).toEqual([]);
    const answer = await api.ask(`/v1/events?${WHEN}&store=cold&limit=100`, { key: keys['viewer']! });
    const { events } = (await answer.json()) as Page;
    expect(events.every((event) => (event['parameters_kept'] as unknown[]).length === 0)).toBe(true);
    const [event] = await api.recordedOf(answer.headers.get('x-request-id')!);
    expect(JSON.parse(event!.detail)).toMatchObject({
      store: 'cold',
      rows: 100,
      segments: expect.any(Number),
    });
    expect(
      (await api.ask('/v1/events?store=cold&search=parameters_kept:x', { key: keys['viewer']! })).status,
    ).toBe(403);
  });

  test('takes no cursor of another store', async () => {
    const { next } = await json<Page>(`/v1/events?${WHEN}&store=cold&limit=1`);
    expect(
      await codeOf(await api.ask(`/v1/events?${WHEN}&limit=1&cursor=${next}`, { key: keys['auditor']! })),
    ).toEqual([400, 'cursor.invalid']);
  });
});

describe('a proof of one event', () => {
  test.each(['that is hot', 'that has left ClickHouse'])(
    '%s leads from its bytes to the signed root',
    async (which) => {
      const [day] = which === 'that is hot' ? ARCHIVED_DAYS.slice(2) : ARCHIVED_DAYS;
      const wanted = before.find(({ received_at: at }) =>
        new Date(at as number).toISOString().startsWith(day!),
      )!;
      const proof = await json<Record<string, string>>(`/v1/events/${wanted['event_id']}/proof`);
      const parsed = parseTlogProof(new Uint8Array(Buffer.from(proof['proof']!)));
      const checkpoint = verifyTlogProof(parsed, [api.world.archive.keys.log.key], ORIGIN);
      expect(decodeDatum(parsed.extra.slice(10)).event_id).toEqual(parseUuid(wanted['event_id'] as string));
      expect(proof).toMatchObject({
        origin: ORIGIN,
        // Each record of this partition is a leaf.
        leaf_index: wanted['offset'],
        leaf_hash: wanted['leaf_hash'],
        size: checkpoint.size,
        anchor: { size: api.world.manifests.length },
      });
      // And the auditor's own tool says the same of the file.
      const file = join(directory, 'one.tlog-proof');
      writeFileSync(file, proof['proof']!);
      const checked = await cairn(
        ['proof', '--check', file, '--key', api.world.archive.keys.log.key.vkey, '--json'],
        {},
      );
      expect(JSON.parse(checked.stdout)).toMatchObject({ verdict: 'intact', event_id: wanted['event_id'] });
    },
  );

  test('is given of no event of another organisation, to no role that may not see what is sealed, and is recorded', async () => {
    const id = before[0]!['event_id'] as string;
    expect(await codeOf(await api.ask(`/v1/events/${id}/proof`, { key: keys['stranger']! }))).toEqual([
      404,
      'not-found',
    ]);
    for (const role of ['viewer', 'analyst', 'admin'])
      expect((await api.ask(`/v1/events/${id}/proof`, { key: keys[role]! })).status).toBe(403);
    const answer = await api.ask(`/v1/events/${id}/proof`, { key: keys['auditor']! });
    expect((await api.recordedOf(answer.headers.get('x-request-id')!))[0]).toMatchObject({
      method: 'events/prove',
    });
  });
});

describe('segments and checkpoints', () => {
  interface Segment {
    readonly first: number;
    readonly end: number;
    readonly root: string;
    readonly streams: { gateway_id: string }[];
  }

  test('are listed page by page with what they hold of the organisation, and nothing of another', async () => {
    const segments: Segment[] = [];
    for (let after = ''; ; ) {
      const page = await json<{ segments: Segment[]; next: string | null }>(
        `/v1/segments?limit=2${after}`,
        keys['viewer'],
      );
      segments.push(...page.segments);
      if (page.next === null) break;
      after = `&after=${encodeURIComponent(page.next)}`;
    }
    const wanted = api.world.manifests.filter(({ streams }) => streams.some(({ org }) => org === ORG));
    expect(segments.map(({ first, end, root }) => [first, end, root])).toEqual(
      wanted.map(({ first, end, root }) => [first, end, root]),
    );
    expect(segments.map(({ streams }) => streams.map(({ gateway_id: gateway }) => gateway))).toEqual(
      wanted.map(({ streams }) => streams.filter(({ org }) => org === ORG).map(({ gateway }) => gateway)),
    );
    expect(JSON.stringify(segments)).not.toContain('org-');
    const none = await api.key('viewer', { orgId: 'nobody' });
    expect(await json('/v1/segments', none)).toMatchObject({ segments: [], next: null });
    expect((await api.ask('/v1/segments/audit.events.standard/0/0', { key: none })).status).toBe(404);
    expect((await api.ask('/v1/checkpoints/audit.events.standard/0/150', { key: none })).status).toBe(404);
    expect(await json('/v1/segments/audit.events.standard/0/150')).toEqual(
      segments.find(({ first }) => first === 150),
    );
  });

  test('are signed: a checkpoint is the note that the log’s key signed, and its anchor leads to the anchor log', async () => {
    const { keys: signing } = api.world.archive;
    const { checkpoints } = await json<{
      checkpoints: { note: string; size: number; anchored_to: number }[];
    }>('/v1/checkpoints');
    expect(checkpoints).toHaveLength(1);
    const [latest] = checkpoints;
    expect(openCheckpoint(new Uint8Array(Buffer.from(latest!.note)), [signing.log.key], ORIGIN).size).toBe(
      EVENTS,
    );
    expect(latest).toMatchObject({ size: EVENTS, anchored_to: EVENTS });
    const one = await json<{ note: string; anchor: { proof: string } }>(
      '/v1/checkpoints/audit.events.standard/0/150',
    );
    const proof = parseTlogProof(new Uint8Array(Buffer.from(one.anchor.proof)));
    expect(Buffer.from(proof.extra).toString()).toBe(one.note);
    expect(verifyTlogProof(proof, [signing.anchor.key], signing.anchor.key.name).size).toBe(
      api.world.manifests.length,
    );
  });
});

describe('an evidence bundle', () => {
  test('verifies offline, is signed, is recorded with its hash, and leaves nothing behind', async () => {
    const span = `from=${Date.parse('2026-01-05') * 1_000}&to=${Date.parse('2026-01-07') * 1_000}`;
    const answer = await api.ask(`/v1/exports/bundle?${span}`, { key: keys['auditor']! });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/x-tar']);
    const bytes = Buffer.from(await answer.arrayBuffer());
    const file = join(directory, 'bundle.tar');
    writeFileSync(file, bytes);
    const { code, stdout } = await cairn(
      ['verify', file, '--root', api.world.archive.keys.root.key.vkey, '--json'],
      {},
    );
    expect([code, JSON.parse(stdout)]).toMatchObject([
      0,
      { verdict: 'intact', bundle: { verdict: 'intact' } },
    ]);
    // Of others it holds hashes, and in the key history the names of their gateways.
    const events = (JSON.parse(stdout).logs as { population: { org: string }[] }[]).flatMap(
      (log) => log.population,
    );
    expect(new Set(events.map(({ org }) => org))).toEqual(new Set([ORG]));
    await sleep(300);
    const told = await api.recordedOf(answer.headers.get('x-request-id')!);
    expect(told.map(({ kind, method }) => [kind, method])).toEqual([
      ['export', 'export/bundle'],
      ['export', 'export/bundle'],
    ]);
    expect(JSON.parse(told[1]!.detail)).toMatchObject({
      ended: true,
      sent: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
    expect(readdirSync(api.bundles)).toEqual([]);
  });

  test('of a time in which nothing was archived is none', async () => {
    expect(
      await codeOf(await api.ask('/v1/exports/bundle?from=0&to=1000', { key: keys['auditor']! })),
    ).toEqual([404, 'not-found']);
  });
});

describe('a legal hold', () => {
  interface Holds {
    readonly holds: { id: string; state: string }[];
    readonly next: { number: number; previous: string };
  }
  const list = () => json<Holds>('/v1/holds', keys['admin']);
  const words = {
    session: null,
    agent: null,
    from: null,
    to: null,
    reason: 'A letter',
    at: 1_795_000_000_000,
  } as const;
  let statements: Uint8Array[] = [];

  /** The note as the person's own machine makes it, out of what the API says comes next. */
  async function signed(
    person: NoteSigner,
    act: 'place' | 'release',
    hold: string,
    org: string | null,
  ): Promise<string> {
    const by = person.key.name.split('/person/')[1]!;
    const { next } = await list();
    const history = historyOf(statements);
    expect(history.next).toEqual(next);
    return Buffer.from(history.sign({ ...words, act, hold, org, by }, person)).toString();
  }
  function historyOf(notes: readonly Uint8Array[]): HoldHistory {
    const history = new HoldHistory(api.world.history);
    for (const note of notes) history.add(note);
    return history;
  }
  async function state(note: string, key = keys['admin']!): Promise<Response> {
    const answer = await api.ask('/v1/holds', { key, method: 'POST', body: { note } });
    if (answer.status === 201 && !statements.some((one) => Buffer.from(one).toString() === note))
      statements = [...statements, new Uint8Array(Buffer.from(note))];
    return answer;
  }

  test('is placed by one person’s signature and ends with two; one person alone ends nothing', async () => {
    const { jane, sam } = api.world.persons;
    const placing = await signed(jane, 'place', 'acme-1', ORG);
    const placed = await state(placing);
    expect([placed.status, await placed.json()]).toMatchObject([
      201,
      { hold: { id: 'acme-1', state: 'stands' } },
    ]);
    expect((await api.recordedOf(placed.headers.get('x-request-id')!))[0]).toMatchObject({
      kind: 'admin',
      method: 'holds/state',
      phase: 'decision',
    });
    // An answer that was lost: the same note again is recognised, and nothing is added.
    expect((await state(placing)).status).toBe(201);
    expect((await list()).next.number).toBe(1);

    expect((await state(await signed(jane, 'release', 'acme-1', null))).status).toBe(201);
    expect((await list()).holds).toMatchObject([{ state: 'release-asked' }]);
    expect(await codeOf(await state(await signed(jane, 'release', 'acme-1', null)))).toEqual([
      400,
      'hold.invalid',
    ]);
    expect((await state(await signed(sam, 'release', 'acme-1', null))).status).toBe(201);
    expect((await list()).holds).toMatchObject([{ state: 'released' }]);
  });

  test('of another organisation, or of all of them, is neither placed, released nor shown', async () => {
    const { jane } = api.world.persons;
    expect(await codeOf(await state(await signed(jane, 'place', 'other-1', OTHER)))).toEqual([
      403,
      'access.forbidden',
    ]);
    expect(await codeOf(await state(await signed(jane, 'place', 'all-1', null)))).toEqual([
      403,
      'access.forbidden',
    ]);
    const stranger = await api.key('admin', { orgId: OTHER });
    expect((await state(await signed(jane, 'place', 'other-1', OTHER), stranger)).status).toBe(201);
    expect((await list()).holds.map(({ id }) => id)).toEqual(['acme-1']);
    expect(await codeOf(await state(await signed(jane, 'release', 'other-1', null)))).toEqual([
      403,
      'access.forbidden',
    ]);
  });

  test('that nobody signed who may, or that was signed before another one, does not count', async () => {
    const { jane, sam } = api.world.persons;
    const stale = await signed(jane, 'place', 'acme-2', ORG);
    expect((await state(await signed(sam, 'place', 'acme-3', ORG))).status).toBe(201);
    expect(await codeOf(await state(stale))).toEqual([400, 'hold.invalid']);
    const forged = (await signed(sam, 'place', 'acme-4', ORG)).replace('acme-4', 'acme-5');
    expect(await codeOf(await state(forged))).toEqual([400, 'hold.invalid']);
    expect(await codeOf(await state('nothing'))).toEqual([400, 'hold.invalid']);
  });
});

describe('cairn holds at the URL of the API', () => {
  test('signs on the machine of the person and needs no archive: placed, released by two, listed', async () => {
    const { jane, sam } = api.world.persons;
    const root = api.world.archive.keys.root.key.vkey;
    const run = (args: readonly string[], signer?: NoteSigner) => {
      const pem = join(directory, 'person.pem');
      if (signer !== undefined)
        writeFileSync(pem, signer.privateKey.export({ type: 'pkcs8', format: 'pem' }));
      const by = signer?.key.name.split('/person/')[1];
      const who = by === undefined ? [] : ['--by', by, '--key', pem, '--reason', 'A letter', '--root', root];
      return cairn(['holds', ...args, ...who], {
        env: { CAIRN_API_KEY: keys['admin'], S3_ENDPOINT: 'http://127.0.0.1:1' },
      });
    };
    expect(await run(['place', api.url, 'cli-1', '--org', ORG], jane)).toMatchObject({
      code: 0,
      stdout: 'cli-1 stands\n',
    });
    expect((await run(['release', api.url, 'cli-1'], sam)).stdout).toBe('cli-1 stands, one release signed\n');
    expect((await run(['release', api.url, 'cli-1'], sam)).stderr).toMatch(/hold\.invalid.*second person/s);
    expect((await run(['release', api.url, 'cli-1'], jane)).stdout).toBe('cli-1 released\n');
    expect((await run(['list', api.url])).stdout).toMatch(/cli-1 +released +jane\.doe/);
  });
});

describe('what is sealed', () => {
  const PLAIN = 'the planted value';

  async function sealedEvent(keyOf: 'known' | 'unknown', partition: number): Promise<string> {
    const row = (org: string) =>
      `'${org}', 'audit.events.standard', ${partition}, 0, '2026-01-07 01:00:00.000', 'tool_call', '2026-01-07 01:00:00', unhex('7000800000000000${String(partition).padStart(4, '0')}')`;
    const columns = 'org_id, topic, partition, offset, received_at, kind, timestamp, event_id_random';
    await api.clickhouse.exec(`INSERT INTO cairn.events (${columns}) VALUES (${row('probe')})`);
    const [{ id } = { id: '' }] = await api.clickhouse.query<{ id: string }>(
      `SELECT toString(event_id) AS id FROM cairn.events WHERE org_id = 'probe' AND partition = ${partition}`,
    );
    const subject = 'organisation';
    const opened = (await api.subjects.keyFor(ORG, subject))!;
    const keyId = keyOf === 'known' ? opened.key.keyId : '0'.repeat(32);
    const place = { orgId: ORG, subject, field: 'parameters_sealed', eventId: parseUuid(id) } as const;
    const bytes = joinBlocks([sealBlock(opened.dataKey, keyId, place, [{ name: 'note', value: PLAIN }])]);
    await api.clickhouse.exec(
      `INSERT INTO cairn.events (${columns}, parameters_sealed) SELECT ${row(ORG)}, unhex('${Buffer.from(bytes).toString('hex')}')`,
    );
    return id;
  }
  const unseal = (id: string, role: string) =>
    api.ask(`/v1/events/${id}/unseal`, { key: keys[role]!, method: 'POST', body: { reason: 'Case 12' } });

  test('is opened for an auditor, with an event that says by whom and why and holds no value', async () => {
    const id = await sealedEvent('known', 20);
    const answer = await unseal(id, 'auditor');
    expect(await answer.json()).toEqual({
      event_id: id,
      parts: [
        {
          field: 'parameters_sealed',
          key_id: expect.stringMatching(/^[0-9a-f]{32}$/),
          subject: 'organisation',
          outcome: 'opened',
          why: null,
          values: [{ name: 'note', value: PLAIN, cut: false }],
        },
      ],
    });
    const [event] = await api.recordedOf(answer.headers.get('x-request-id')!);
    expect(event).toMatchObject({
      org_id: ORG,
      kind: 'audit_access',
      method: 'event/unseal',
      result_status: 'success',
    });
    expect(JSON.parse(event!.detail)).toMatchObject({ event: id, reason: 'Case 12', role: 'auditor' });
    expect(Buffer.concat(api.appended as Uint8Array[]).includes(PLAIN)).toBe(false);
    expect(api.lines.join('')).not.toContain(PLAIN);
  });

  test('stays sealed under a key that is not there, for another role, and for another organisation', async () => {
    const id = await sealedEvent('unknown', 21);
    expect(await (await unseal(id, 'auditor')).json()).toMatchObject({
      parts: [{ outcome: 'refused', why: 'keys.unknown', values: [] }],
    });
    for (const role of ['viewer', 'analyst', 'admin']) expect((await unseal(id, role)).status).toBe(403);
    expect((await unseal(id, 'stranger')).status).toBe(404);
    const trail = await api.key('auditor', { scopes: ['trail', 'export'] });
    const answer = await api.ask(`/v1/events/${id}/unseal`, {
      key: trail,
      method: 'POST',
      body: { reason: 'Case 12' },
    });
    expect(answer.status).toBe(403);
    expect((await api.recordedOf(answer.headers.get('x-request-id')!))[0]).toMatchObject({
      decision: 'deny',
    });
  });
});

describe('a session', () => {
  test('says of each step how far it is proven: anchored in the archive, or only signed or recorded', async () => {
    const [hot] = await api.clickhouse.query<{ id: string }>(
      `SELECT session_id AS id FROM cairn.events WHERE org_id = {org:String} AND session_id != '' AND partition = 0 GROUP BY id ORDER BY count() DESC, id LIMIT 1`,
      { org: ORG },
    );
    interface Session {
      readonly proof_as_of: number | null;
      readonly steps: { proof: string; signed: boolean }[];
    }
    const path = `/v1/sessions/${encodeURIComponent(hot!.id)}`;
    const session = await json<Session>(path);
    expect(session.steps.length).toBeGreaterThan(0);
    expect(new Set(session.steps.map(({ proof }) => proof))).toEqual(new Set(['anchored']));
    expect(session.proof_as_of).toBeGreaterThan(Date.now() - 600_000);
    // One that no segment holds: its numbers lie behind those of the archive.
    await api.clickhouse.exec(
      `INSERT INTO cairn.events (org_id, topic, partition, offset, received_at, kind, phase, timestamp, event_id_random, gateway_id, epoch, seq, session_id, service, tool_name)
       SELECT '${ORG}', 'audit.events.standard', 22, 0, '2026-01-07 02:00:00.000', 'tool_call', 'single', '2026-01-07 02:00:00', 'unarchived', 'gw-new', 1, 0, 'fresh', 'files', 'read'`,
    );
    const fresh = await json<Session>('/v1/sessions/fresh');
    expect(fresh.steps).toMatchObject([{ proof: 'recorded', signed: false }]);
  });
});
