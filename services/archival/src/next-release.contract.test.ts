// A schema more is released and comes in the midst of a segment: gateways and archival of this release and of one that is built
// of these sources, judged by the verifiers of that release and by fastavro.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EvidenceVerdict } from '@cairn/ledger';
import { REPOSITORY } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pythonWithFastavro } from '../../../packages/event/test/python-environment.ts';
import type { Upgraded } from '../test/archive-upgrade.ts';
import { makeNextRelease } from '../test/next-release.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-next-release-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const release = join(directory, 'release');
const bucket = join(directory, 'bucket');
const root = join(directory, 'root.vkey');
let schemas: readonly { readonly id: number; readonly file: string }[];
let upgraded: Upgraded;

beforeAll(() => {
  schemas = makeNextRelease(REPOSITORY, release);
  const script = join(release, 'services', 'archival', 'test', 'archive-upgrade.ts');
  upgraded = JSON.parse(execFileSync(process.execPath, [script, REPOSITORY, bucket], { encoding: 'utf8' }));
  writeFileSync(root, upgraded.root);
}, 240_000);

/** `cairn verify` of a release. */
function verified(by: string): { code: number | null; verdict: EvidenceVerdict } {
  const main = join(by, 'packages', 'cli', 'src', 'main.ts');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [main, 'verify', bucket, '--root', root, '--json'],
    { encoding: 'utf8' },
  );
  if (stdout === '') throw new Error(`no verdict was given: ${stderr}`);
  return { code: status, verdict: JSON.parse(stdout) };
}

describe('an archive that was continued by the next release', () => {
  test('has one segment before it, and behind it segments of both schemas, an object for each', () => {
    const [first, ...others] = upgraded.segments.map(({ objects }) => objects.map(({ schema }) => schema));
    expect(first).toEqual([1]);
    expect(others.length).toBeGreaterThan(1);
    expect(others).toContainEqual([1, 2]);
    const held = upgraded.segments.flatMap(({ objects }) => objects.map(({ leaves }) => leaves));
    expect(held.reduce((sum, leaves) => sum + leaves, 0)).toBe(upgraded.leaves.length);
  });

  test('is intact, every leaf proven and every stream signed to its end, by both verifiers', () => {
    const ours = verified(release);
    expect([ours.code, ours.verdict.logs.map(({ findings }) => findings)]).toEqual([0, [[]]]);
    const [log] = ours.verdict.logs;
    expect([log?.size, log?.proven]).toEqual([upgraded.leaves.length, upgraded.leaves.length]);
    const ends = log?.streams.map(({ gateway, verdict, last_seq: last, authenticated_to: signed }) => [
      gateway,
      verdict,
      signed === last,
    ]);
    expect(ends).toEqual([
      ['gw-early', 'intact', true],
      ['gw-early', 'intact', true],
      ['gw-late', 'intact', true],
    ]);
    const second = spawnSync('go', ['run', '.', '--json', '--quiet', '--root-key', upgraded.root, bucket], {
      cwd: join(release, 'tools', 'verifier-go'),
      encoding: 'utf8',
    });
    expect([second.stderr, JSON.parse(second.stdout || 'null')]).toEqual(['', ours.verdict]);
  }, 240_000);

  test('is read by fastavro, each object under its writer’s schema, and every leaf hash is rebuilt', () => {
    const python = pythonWithFastavro();
    const reread = join(REPOSITORY, 'packages', 'ledger', 'test', 'reread.py');
    const rows = upgraded.segments.flatMap(({ objects }) =>
      objects.flatMap(({ key, schema }) => {
        const { file } = schemas.find(({ id }) => id === schema)!;
        const said = execFileSync(python, [reread, join(bucket, key), file], { encoding: 'utf8' });
        return (JSON.parse(said) as [number, string, number][]).map(([offset, hash]) => ({
          offset,
          schema,
          hash,
        }));
      }),
    );
    rows.sort((one, other) => one.offset - other.offset);
    expect(rows.map(({ schema, hash }) => ({ schema, hash }))).toEqual(upgraded.leaves);
  }, 180_000);

  test('is not verifiable by the release before from the first segment of the new schema on, and not called broken', () => {
    const { code, verdict } = verified(REPOSITORY);
    expect([code, verdict.verdict]).toEqual([2, 'not verifiable here']);
    const unknown = upgraded.segments.filter(({ objects }) => objects.some(({ schema }) => schema === 2));
    const found = verdict.logs[0]!.findings.filter(({ reason }) => reason === 'unknown-schema');
    expect(found.map(({ leaf }) => leaf)).toEqual(unknown.map(({ first }) => first));
    const known = upgraded.segments.filter((segment) => !unknown.includes(segment));
    const held = known.flatMap(({ objects }) => objects.map(({ leaves }) => leaves));
    expect(verdict.logs[0]!.proven).toBe(held.reduce((sum, leaves) => sum + leaves, 0));
  }, 60_000);
});

test('a release that does not know the schema makes no leaf of its events, and says why', () => {
  const { before, leaves } = upgraded;
  const known = leaves.filter(({ schema }) => schema === 1);
  expect(before.leaves).toEqual(known);
  expect(before.reasons).toEqual(leaves.filter(({ schema }) => schema === 2).map(() => 'schema.unknown'));
});
