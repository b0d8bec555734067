// `cairn verify` and the verifier in Go, which share no code, give one verdict on the same files.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkpointName, type EvidenceVerdict, manifestName, segmentName } from '@cairn/ledger';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Folder, ORIGIN, worldOf } from './testing/archive-on-disk.ts';
import { secondVerifier } from './testing/go-tools.ts';
import { cairn } from './testing/run-cairn.ts';

const folder = new Folder();
const { archive } = worldOf(30, 40);
const root = archive.keys.root.key.vkey;
let bundle: Uint8Array;
beforeAll(async () => {
  const from = folder.writeBucket('archive', archive.bucket);
  const key = folder.writeKey('archive.pem', archive.keys.archive.privateKey);
  const asked = [
    '--org',
    'acme',
    '--from',
    '2026-11-18',
    '--to',
    '2026-11-19',
    '--archive',
    from,
    '--key',
    key,
  ];
  const said = await cairn(['bundle', folder.file('bundle.tar'), ...asked, '--root', root]);
  expect(said.code).toBe(0);
  bundle = new Uint8Array(readFileSync(folder.file('bundle.tar')));
});
afterAll(() => folder[Symbol.dispose]());

async function verified(where: string): Promise<{ code: number | null; verdict: EvidenceVerdict }> {
  const { code, stdout } = await cairn(['verify', where, '--root', root, '--json']);
  return { code, verdict: JSON.parse(stdout) as EvidenceVerdict };
}

describe('both verifiers', () => {
  test.each(['archive', 'bundle.tar'])(
    'say the same of a whole %s, to the last number',
    async (name) => {
      const ours = await verified(folder.file(name));
      expect(ours.code).toBe(0);
      expect(secondVerifier(folder.file(name), root)).toEqual(ours);
    },
    120_000,
  );

  test.each<[string, string]>([
    ['segment', segmentName(ORIGIN, 40, 1)],
    ['manifest', manifestName(ORIGIN, 40)],
    ['checkpoint', checkpointName(ORIGIN, 80)],
  ])(
    'give the same verdict on an archive whose %s is changed or gone',
    async (_, name) => {
      for (const at of [60, 200, -1]) {
        const directory = folder.writeBucket(`${name}-${at}`.replaceAll('/', '-'), archive.bucket);
        const bytes = new Uint8Array(archive.bucket.get(name)!);
        if (at < 0) rmSync(join(directory, name));
        else writeFileSync(join(directory, name), bytes.with(at, bytes[at]! ^ 1));
        const ours = await verified(directory);
        const theirs = secondVerifier(directory, root) as typeof ours;
        const short = ({ code, verdict }: typeof ours) => [
          code,
          verdict.verdict,
          verdict.logs[0]?.first_bad?.leaf,
        ];
        expect([at, ...short(theirs)]).toEqual([at, ...short(ours)]);
      }
    },
    120_000,
  );

  test('give the same verdict on a bundle with a byte changed, place after place', async () => {
    const file = folder.file('changed.tar');
    for (let at = 100; at < bundle.length; at += 1_009) {
      writeFileSync(file, bundle.with(at, bundle[at]! ^ 4));
      const ours = await verified(file);
      const theirs = secondVerifier(file, root) as typeof ours;
      expect([at, theirs.code, theirs.verdict.verdict]).toEqual([at, ours.code, ours.verdict.verdict]);
    }
  }, 120_000);
});
