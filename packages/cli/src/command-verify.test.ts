import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkpointName, type EvidenceVerdict, manifestName, segmentName } from '@cairn/ledger';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Folder, ORIGIN, type World, worldOf } from './testing/archive-on-disk.ts';
import { cairn } from './testing/run-cairn.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
let world: World;
let root: string;
beforeAll(() => {
  world = worldOf(30, 40);
  root = world.archive.keys.root.key.vkey;
});

/** What cairn says of the archive after it was meddled with. */
async function verified(
  meddle: (directory: string) => void = () => {},
  ...more: string[]
): Promise<{ readonly code: number; readonly verdict: EvidenceVerdict }> {
  const directory = folder.writeBucket(`a${Math.random()}`, world.archive.bucket);
  meddle(directory);
  const said = await cairn(['verify', directory, '--root', root, '--json', ...more]);
  expect(said.stderr).toBe('');
  return { code: said.code, verdict: JSON.parse(said.stdout) as EvidenceVerdict };
}

const flip = (path: string, at: number): void => {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
};

describe('cairn verify of an archive', () => {
  test('says intact with exit code 0, and counts every event of each gateway and day', async () => {
    const { code, verdict } = await verified();
    expect(code).toBe(0);
    expect(verdict).toMatchObject({
      kind: 'cairn/verdict',
      verdict: 'intact',
      keys: { verdict: 'intact', statements: 6 },
      anchors: { verdict: 'intact', size: 3 },
      logs: [{ origin: ORIGIN, size: 96, proven: 96, anchored_to: 96, first_bad: null, verdict: 'intact' }],
    });
    expect(verdict.logs[0]!.population).toEqual([
      { org: 'acme', gateway: 'gw-1', day: '2026-11-18', events: 32 },
      { org: 'acme', gateway: 'gw-2', day: '2026-11-18', events: 32 },
      { org: 'globex', gateway: 'gw-1', day: '2026-11-18', events: 32 },
    ]);
    expect(verdict.logs[0]!.streams.every(({ authenticated_to }) => authenticated_to === 31)).toBe(true);
  });

  test('says it to people, and shows what could move the cursor as code points', async () => {
    const directory = folder.writeBucket('people', world.archive.bucket);
    const said = await cairn(['verify', directory, '--root', folder.write('root.vkey', `${root}\n`)]);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout).toMatch(/^audit\.example: intact\n/);
    expect(said.stdout).toMatch(/96 leaves, 96 proven, 0 deleted under policy, 96 anchored/);
    expect(said.stdout).toMatch(/acme +gw-2 +1 +0-31 +31 +32 +0 +intact/);
  });

  test.each<[string, (directory: string) => void, string, string]>([
    [
      'a segment that is not there',
      (at) => rmSync(join(at, segmentName(ORIGIN, 40, 1))),
      'missing',
      segmentName(ORIGIN, 40, 1),
    ],
    [
      'a segment with one bit turned',
      (at) => flip(join(at, segmentName(ORIGIN, 40, 1)), 9_000),
      'object-altered',
      segmentName(ORIGIN, 40, 1),
    ],
    [
      'a manifest that is not there',
      (at) => rmSync(join(at, manifestName(ORIGIN, 40))),
      'missing',
      manifestName(ORIGIN, 40),
    ],
    [
      'a manifest with one bit turned',
      (at) => flip(join(at, manifestName(ORIGIN, 40)), 300),
      'bad-signature',
      manifestName(ORIGIN, 40),
    ],
    [
      'a checkpoint with one bit turned',
      (at) => flip(join(at, checkpointName(ORIGIN, 80)), 50),
      'bad-signature',
      checkpointName(ORIGIN, 80),
    ],
    [
      'a log that was rolled back',
      (at) => rmSync(join(at, checkpointName(ORIGIN, 96))),
      'rollback',
      checkpointName(ORIGIN, 96),
    ],
  ])('says broken with exit code 1 of %s, and names it', async (_, meddle, reason, object) => {
    const { code, verdict } = await verified(meddle);
    expect(code).toBe(1);
    expect(verdict.verdict).toBe('broken');
    expect(verdict.logs[0]!.findings).toContainEqual(
      expect.objectContaining({ class: 'broken', reason, object }),
    );
    expect(verdict.logs[0]!.first_bad).not.toBeNull();
  });

  test('goes on behind a damage: what is not touched is still proven', async () => {
    const { verdict } = await verified((at) => flip(join(at, segmentName(ORIGIN, 40, 1)), 9_000));
    expect(verdict.logs[0]!.proven).toBe(56);
  });

  test('says broken of a key history with one bit turned, and believes no statement behind it', async () => {
    const { code, verdict } = await verified((at) => flip(join(at, 'key/00000000000000000001.note'), 30));
    expect(code).toBe(1);
    expect(verdict.keys).toMatchObject({
      verdict: 'broken',
      statements: 1,
      findings: [{ reason: 'key-form' }],
    });
  });

  test('says not verifiable here, exit code 2, under the key of another root', async () => {
    const other = worldOf(1, 10).archive.keys.root.key.vkey;
    expect(other).toBe(root);
    const { keys } = world.archive;
    const directory = folder.writeBucket('other', world.archive.bucket);
    rmSync(join(directory, 'key'), { recursive: true });
    const said = await cairn(['verify', directory, '--root', keys.root.key.vkey, '--json']);
    expect(said.code).toBe(2);
    expect((JSON.parse(said.stdout) as EvidenceVerdict).logs[0]!.findings[0]).toMatchObject({
      reason: 'unknown-key',
    });
  });

  test('demands anchors and timestamps only when it is told to', async () => {
    const without = (at: string): void => rmSync(join(at, 'anchor'), { recursive: true });
    expect((await verified(without)).code).toBe(0);
    const { code, verdict } = await verified(without, '--anchored');
    expect(code).toBe(2);
    expect(verdict.logs[0]!.reasons).toEqual({ 'not-anchored': 1 });
  });

  test('finds that a checkpoint which the auditor kept has another root', async () => {
    const other = worldOf(29, 40);
    const kept = folder.write('kept.note', other.archive.bucket.get(checkpointName(ORIGIN, 93))!);
    expect((await verified(undefined, '--kept', kept)).verdict.logs[0]!.reasons).toEqual({ missing: 1 });
    const same = folder.write('same.note', world.archive.bucket.get(checkpointName(ORIGIN, 80))!);
    expect((await verified(undefined, '--kept', same)).code).toBe(0);
  });

  test('keeps the verdict intact where a segment was deleted under policy, with its count', async () => {
    const own = worldOf(30, 40);
    own.archive.expire(0);
    const directory = folder.writeBucket('expired', own.archive.bucket);
    const said = await cairn(['verify', directory, '--root', root, '--json']);
    const [log] = (JSON.parse(said.stdout) as EvidenceVerdict).logs;
    expect(said.code).toBe(0);
    expect(log).toMatchObject({ verdict: 'intact', deleted: 40, proven: 56, reasons: { deleted: 1 } });
    expect(log!.population.filter(({ day }) => day === '').map(({ events }) => events)).toEqual([14, 13, 13]);
  });

  test('refuses to begin without a root key', async () => {
    const said = await cairn(['verify', folder.path]);
    expect(said).toMatchObject({ code: 64, stdout: '' });
    expect(said.stderr).toMatch(/no root key is given.*--root/);
  });
});
