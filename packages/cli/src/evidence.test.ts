// What `cairn proof`, `cairn bundle`, `cairn export` and `cairn keys` write, and what becomes of it when it is changed.

import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSigner } from '@cairn/archive';
import { decodeDatum, formatUuid } from '@cairn/event';
import {
  bundleEventsName,
  bundleForm,
  type EvidenceVerdict,
  noteSignerOf,
  ProvenEventsWriter,
  parseStatement,
  readProvenEvents,
  readUstarHeader,
  sha256Hex,
  signBundle,
  splitNote,
  ustarHeader,
  ustarPadding,
} from '@cairn/ledger';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DEPLOYMENT, Folder, ORIGIN, type World, worldOf } from './testing/archive-on-disk.ts';
import { cairn } from './testing/run-cairn.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
let world: World;
let archive: string;
let root: string;
let archiveKey: string;
beforeAll(() => {
  world = worldOf(30, 40);
  archive = folder.writeBucket('archive', world.archive.bucket);
  root = world.archive.keys.root.key.vkey;
  archiveKey = folder.writeKey('archive.pem', world.archive.keys.archive.privateKey);
});

const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, bytes[at]! ^ 1);

describe('cairn proof', () => {
  const eventId = (at: number): string => formatUuid(decodeDatum(world.datums[at]!).event_id);

  test('writes the proof of an event and of its checkpoint in the anchor log, which hold', async () => {
    const out = folder.file('proof');
    const asked = ['proof', eventId(90), '--from', archive, '--root', root, '--out', out, '--scan', '--json'];
    const said = await cairn(asked);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    const { leaf, files } = JSON.parse(said.stdout) as { leaf: number; files: string[] };
    // The ids of the gateways' events are alike; the first in the log is found.
    expect(leaf).toBe(90);
    expect(files.map((file) => file.slice(out.length + 38))).toEqual([
      'tlog-proof',
      'anchor.tlog-proof',
      'anchor.00000000000000000003.note',
    ]);
    for (const [file, origin] of [
      [files[0]!, ORIGIN],
      [files[1]!, `${DEPLOYMENT}/anchors`],
    ] as const) {
      const checked = await cairn(['proof', '--check', file, '--from', archive, '--root', root, '--json']);
      expect(checked.code).toBe(0);
      expect(JSON.parse(checked.stdout)).toMatchObject({ verdict: 'intact', origin });
    }
  });

  test('asks ClickHouse where the event is, and looks itself where that does not answer', async () => {
    const said = await cairn(
      ['proof', eventId(3), '--from', archive, '--root', root, '--out', folder.file('asked')],
      {
        env: { CLICKHOUSE_URL: 'http://127.0.0.1:9' },
      },
    );
    expect(said.code).toBe(0);
  });

  test('says so when the event is not in the archive', async () => {
    const none = '018f0000-0000-7000-8000-000000000001';
    const said = await cairn(['proof', none, '--from', archive, '--root', root, '--scan']);
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toMatch(/^No event 018f0000/);
  });

  test('is refused with any byte of it changed, except in lines of signatures by others', async () => {
    const out = folder.file('flips');
    await cairn(['proof', eventId(90), '--from', archive, '--root', root, '--out', out, '--scan']);
    const name = `${eventId(90)}.tlog-proof`;
    const bytes = new Uint8Array(readFileSync(join(out, name)));
    const key = world.archive.keys.log.key.vkey;
    for (let at = 0; at < bytes.length; at += 23) {
      const file = folder.write('flipped.tlog-proof', flipped(bytes, at));
      const said = await cairn(['proof', '--check', file, '--key', key]);
      expect([at, said.code]).not.toEqual([at, 0]);
    }
  });
});

const BUNDLE = ['--org', 'acme', '--from', '2026-11-18', '--to', '2026-11-19'];

async function bundled(...more: string[]): Promise<string> {
  const file = folder.file(`bundle-${Math.random()}.tar`);
  const said = await cairn([
    'bundle',
    file,
    ...BUNDLE,
    '--archive',
    archive,
    '--key',
    archiveKey,
    '--root',
    root,
    ...more,
  ]);
  expect([said.code, said.stderr]).toEqual([0, '`cairn verify` checks it offline.\n']);
  return file;
}

async function verdictOn(
  file: string,
  ...more: string[]
): Promise<{ code: number; verdict: EvidenceVerdict }> {
  const said = await cairn(['verify', file, '--root', root, '--json', ...more]);
  return { code: said.code, verdict: JSON.parse(said.stdout) as EvidenceVerdict };
}

describe('cairn bundle', () => {
  test('writes one file that verifies offline: events of the organisation alone, proven and anchored', async () => {
    const { code, verdict } = await verdictOn(await bundled());
    expect(verdict).toMatchObject({
      verdict: 'intact',
      bundle: { org: 'acme', verdict: 'intact', findings: [] },
      keys: { verdict: 'intact', statements: 6 },
      anchors: { verdict: 'intact', size: 3 },
      logs: [{ origin: ORIGIN, size: 96, proven: 64, anchored_to: 96, verdict: 'intact', findings: [] }],
    });
    expect(code).toBe(0);
    expect(verdict.logs[0]!.population.map(({ org, gateway, events }) => [org, gateway, events])).toEqual([
      ['acme', 'gw-1', 32],
      ['acme', 'gw-2', 32],
    ]);
  });

  test('is read by tar, and holds no event and no name of another organisation', async () => {
    const file = await bundled();
    const { execFileSync } = await import('node:child_process');
    const names = execFileSync('tar', ['-tf', file], { encoding: 'utf8' }).trimEnd().split('\n');
    expect(names.slice(0, 3)).toEqual(['bundle.note', 'VERIFY.md', 'key/00000000000000000000.note']);
    expect(names).toContain('policy/retention.yaml');
    expect(names).toContain('anchor/proof/audit.events.standard/0/00000000000000000096.tlog-proof');
    const members = names.filter((name) => !name.startsWith('key/') && !name.startsWith('policy/'));
    const text = execFileSync('tar', ['-xOf', file, ...members], { encoding: 'latin1' });
    expect(text).not.toContain('globex');
  });

  test('of a part of the time begins a stream in its middle, and is intact nevertheless', async () => {
    // The segments of leaves 40 to 79 and 80 to 95.
    const file = await bundled('--from', '2026-11-18T11:06:40.400Z', '--to', '2026-11-19');
    const { code, verdict } = await verdictOn(file);
    expect(verdict.logs[0]).toMatchObject({ verdict: 'intact', reasons: {} });
    expect(code).toBe(0);
    expect(verdict.logs[0]!.streams[0]!.first_seq).toBeGreaterThan(0);
  });

  test('is not verifiable here under another key of the archive', async () => {
    const other = folder.file('other.pem');
    await cairn(['keys', 'create', other, '--role', 'archive', '--deployment', DEPLOYMENT]);
    const file = folder.file('stranger.tar');
    const said = await cairn([
      'bundle',
      file,
      ...BUNDLE,
      '--archive',
      archive,
      '--key',
      other,
      '--root',
      root,
    ]);
    expect(said.stderr).toMatch(/does not have this archive key/);
    const { code, verdict } = await verdictOn(file);
    expect(code).toBe(2);
    expect(verdict.bundle!.findings).toEqual([
      expect.objectContaining({ reason: 'unknown-key', object: 'bundle.note' }),
    ]);
  });

  test('says not verifiable here of a log whose checkpoint nothing anchors', async () => {
    const bare = new Map([...world.archive.bucket].filter(([name]) => !name.startsWith('anchor/')));
    const file = await bundled('--archive', folder.writeBucket('bare', bare));
    const { code, verdict } = await verdictOn(file);
    expect(code).toBe(2);
    expect(verdict.logs[0]!.reasons).toEqual({ 'not-anchored': 1 });
  });

  test('signed anew by the archive without one of its events is broken: the number is missing, the rest is proven', async () => {
    const file = await bundled();
    const changed = folder.file('left-out.tar');
    await leaveOut(file, changed, 51);
    const { code, verdict } = await verdictOn(changed);
    expect(code).toBe(1);
    expect(verdict.bundle!.findings).toEqual([]);
    expect(verdict.logs[0]).toMatchObject({ verdict: 'broken', proven: 63, reasons: { gap: 1 } });
  });

  test('with any byte changed is not intact, and what is changed is named', async () => {
    const bytes = new Uint8Array(readFileSync(await bundled()));
    const file = folder.file('flipped.tar');
    for (let at = 0; at < bytes.length; at += 997) {
      writeFileSync(file, flipped(bytes, at));
      const { code, verdict } = await verdictOn(file);
      expect([at, code]).not.toEqual([at, 0]);
      expect(verdict.bundle!.findings[0]?.object).not.toBe('');
    }
  });

  test('is read until it is broken when that is the question: the altered member alone is named, and an intact one is read whole', async () => {
    const whole = await bundled();
    expect(await verdictOn(whole, '--until-broken')).toEqual(await verdictOn(whole));
    const file = folder.file('until.tar');
    const bytes = readFileSync(whole);
    const name = bundleEventsName(ORIGIN, 40, 1);
    // Behind the header of the member, which is one block.
    writeFileSync(file, flipped(new Uint8Array(bytes), bytes.indexOf(`${name}\0`) + 512 + 700));
    const { code, verdict } = await verdictOn(file, '--until-broken');
    expect([code, verdict.verdict]).toEqual([1, 'broken']);
    expect(verdict.bundle!.findings).toEqual([
      expect.objectContaining({ reason: 'bundle-form', object: name }),
    ]);
    expect(verdict.logs.flatMap(({ findings, streams }) => [...findings, ...streams])).toEqual([]);
    const { bundle } = (await verdictOn(file)).verdict;
    expect(bundle!.findings).toEqual(verdict.bundle!.findings);
  });

  test('cut anywhere, or with something behind it, is broken', async () => {
    const bytes = new Uint8Array(readFileSync(await bundled()));
    const file = folder.file('cut.tar');
    for (const end of [0, 100, 512, 5_000, bytes.length - 1_024, bytes.length - 512, bytes.length - 1]) {
      writeFileSync(file, bytes.subarray(0, end));
      expect([end, (await verdictOn(file)).code]).toEqual([end, 1]);
    }
    writeFileSync(file, Buffer.concat([bytes, Buffer.alloc(512)]));
    expect((await verdictOn(file)).code).toBe(1);
  });

  test('refuses a range in which a segment was deleted, and one without events', async () => {
    const own = worldOf(30, 40);
    own.archive.expire(0);
    const expired = folder.writeBucket('expired', own.archive.bucket);
    const args = ['bundle', folder.file('none.tar'), '--key', archiveKey, '--root', root, '--archive'];
    const deleted = await cairn([...args, expired, ...BUNDLE]);
    expect(deleted).toMatchObject({ code: 1, stdout: '' });
    expect(deleted.stderr).toMatch(/leaves 0 to 39 .* are not there any more/);
    const empty = await cairn([...args, archive, ...BUNDLE.with(3, '2025-01-01').with(5, '2025-01-02')]);
    expect(empty.stderr).toMatch(/no segment holds events/);
    expect(statSync(folder.file('none.tar'), { throwIfNoEntry: false })).toBeUndefined();
  });
});

/** The bundle again without the event of a leaf, all of it signed by the true key of the archive. */
async function leaveOut(from: string, to: string, leaf: number): Promise<void> {
  const bytes = new Uint8Array(readFileSync(from));
  const members: { name: string; bytes: Uint8Array }[] = [];
  for (let at = 0; ; ) {
    const member = readUstarHeader(bytes.subarray(at, at + 512));
    if (member === undefined) break;
    at += 512;
    members.push({ name: member.name, bytes: bytes.slice(at, at + member.size) });
    at += member.size + ustarPadding(member.size);
  }
  const range = { origin: ORIGIN, first: 40, end: 80 };
  const name = bundleEventsName(ORIGIN, 40, 1);
  const place = members.findIndex((member) => member.name === name);
  const writer = new ProvenEventsWriter(1);
  for (const event of readProvenEvents(range, 1, members[place]!.bytes))
    if (event.index !== leaf) writer.add(event, event.index);
  members[place] = { name, bytes: writer.close(range) };
  const [note, ...others] = members;
  const bundle = parseStatement(splitNote(note!.bytes).text, bundleForm);
  const listed = others.map(({ name, bytes }) => ({ name, sha256: sha256Hex(bytes), size: bytes.length }));
  const signed = signBundle({ ...bundle, members: listed }, world.archive.keys.archive);
  const parts = [{ name: 'bundle.note', bytes: signed }, ...others].flatMap(({ name, bytes }) => [
    ustarHeader({ name, size: bytes.length }),
    bytes,
    new Uint8Array(ustarPadding(bytes.length)),
  ]);
  writeFileSync(to, Buffer.concat([...parts, new Uint8Array(1_024)]));
}

describe('cairn export tlog', () => {
  test('writes tiles, bundles of entries and the checkpoint, and refuses a folder that holds something', async () => {
    const directory = folder.file('tiles');
    const args = ['export', 'tlog', directory, '--from', archive, '--root', root];
    expect((await cairn(args)).code).toBe(0);
    expect(statSync(join(directory, 'tile/0/000.p/96')).size).toBe(96 * 32);
    expect(statSync(join(directory, 'tile/entries/000.p/96')).size).toBeGreaterThan(96 * 150);
    expect(readFileSync(join(directory, 'checkpoint'), 'utf8')).toMatch(
      /^audit\.example\/audit\.events\.standard\/0\n96\n/,
    );
    expect((await cairn(args)).stderr).toMatch(/is not empty/);
  });
});

describe('cairn keys', () => {
  const at = (name: string): string => folder.file(`keys/${name}`);
  const created = async (name: string, ...more: string[]): Promise<string> => {
    const said = await cairn(['keys', 'create', at(name), '--deployment', DEPLOYMENT, ...more]);
    expect(said.code).toBe(0);
    return said.stdout.trim();
  };
  const state = (...more: string[]) =>
    cairn([
      'keys',
      'state',
      at('archive'),
      '--root-key',
      at('root.pem'),
      '--deployment',
      DEPLOYMENT,
      ...more,
    ]);

  beforeAll(() => {
    folder.write('keys/archive/note', '');
  });

  test('makes keys with mode 0600, never in the place of another, and says their names', async () => {
    const vkey = await created('root.pem', '--role', 'root');
    expect(vkey).toMatch(/^audit\.example\/root\+[0-9a-f]{8}\+/);
    expect(statSync(at('root.pem')).mode & 0o777).toBe(0o600);
    const again = await cairn([
      'keys',
      'create',
      at('root.pem'),
      '--role',
      'root',
      '--deployment',
      DEPLOYMENT,
    ]);
    expect(again).toMatchObject({ code: 64, stdout: '' });
    const said = await cairn(['keys', 'vkey', at('root.pem'), '--role', 'root', '--deployment', DEPLOYMENT]);
    expect(said.stdout.trim()).toBe(vkey);
    const { key, privateKey } = await readSigner(at('root.pem'), `${DEPLOYMENT}/root`);
    expect(key.vkey).toBe(noteSignerOf(`${DEPLOYMENT}/root`, privateKey).key.vkey);
  });

  test('states keys one after the other, and a rotation leaves what is older as it was', async () => {
    const [one, other] = [
      await created('one.pem', '--role', 'log', '--subject', ORIGIN),
      await created('two.pem', '--role', 'log', '--subject', ORIGIN),
    ];
    expect((await state('--role', 'log', '--vkey', one)).code).toBe(0);
    expect((await state('--role', 'log', '--vkey', one, '--until', '1000', '--reason', 'rotated')).code).toBe(
      0,
    );
    expect((await state('--role', 'log', '--vkey', other, '--from', '1000')).code).toBe(0);
    const vkey = (await cairn(['keys', 'vkey', at('root.pem'), '--role', 'root', '--deployment', DEPLOYMENT]))
      .stdout;
    const shown = await cairn(['keys', 'show', at('archive'), '--root', vkey.trim(), '--json']);
    const statements = shown.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(shown.code).toBe(0);
    expect(
      statements.map(({ number, from, until, vkey: key, reason }) => ({ number, from, until, key, reason })),
    ).toEqual([
      { number: 0, from: 0, until: null, key: one, reason: '' },
      { number: 1, from: 0, until: 1_000, key: one, reason: 'rotated' },
      { number: 2, from: 1_000, until: null, key: other, reason: '' },
    ]);
  });

  test('never writes a statement that would not count', async () => {
    const archiveVkey = world.archive.keys.archive.key.vkey;
    const moved = await state(
      '--role',
      'log',
      '--vkey',
      world.archive.keys.log.key.vkey,
      '--from',
      '5',
      '--until',
      '4',
    );
    expect(moved).toMatchObject({ code: 1, stdout: '' });
    const misnamed = await state('--role', 'log', '--vkey', archiveVkey, '--subject', ORIGIN);
    expect(misnamed.stderr).toMatch(/a key of another name/);
    expect(statSync(at('archive/key/00000000000000000003.note'), { throwIfNoEntry: false })).toBeUndefined();
  });

  test('shows a history up to the statement that does not hold, with exit code 1', async () => {
    const broken = folder.writeBucket(
      'broken-keys',
      new Map([...world.archive.bucket].filter(([name]) => name.startsWith('key/'))),
    );
    rmSync(join(broken, 'key/00000000000000000002.note'));
    const shown = await cairn(['keys', 'show', broken, '--root', root]);
    expect(shown.code).toBe(1);
    expect(shown.stdout.trimEnd().split('\n')).toHaveLength(3);
    expect(shown.stderr).toMatch(/statement 2 is missing/);
  });
});
