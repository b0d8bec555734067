import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addHold, readHolds } from '@cairn/adapters';
import { openEvidence } from '@cairn/archive';
import { HoldHistory, type HoldWords, holdName, KeyHistory, personKeyName } from '@cairn/ledger';
import { afterAll, describe, expect, test } from '@jest/globals';
import { seedFrom, signerOf } from '../../ledger/test/deployment.ts';
import { DEPLOYMENT, Folder, Keys } from './testing/archive-on-disk.ts';
import { cairn } from './testing/run-cairn.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const NO_STORE = { endpoint: 'http://127.0.0.1:1', region: 'us-east-1' } as never;
const root = new Keys().root.key.vkey;
const person = (name: string, seed: number) => signerOf(personKeyName(DEPLOYMENT, name), seedFrom(seed));
const [jane, sam, twin] = [person('jane.doe', 10), person('sam.lee', 20), person('jane', 10)];
const pems = [jane, sam, twin].map(({ key, privateKey }) => folder.writeKey(`${key.keyId}.pem`, privateKey));
const [janePem, samPem, twinPem] = pems as [string, string, string];

/** An archive whose key history states the persons. */
function archiveAt(name: string): string {
  const keys = new Keys();
  for (const { key } of [jane, sam, twin]) keys.add('person', key.name.split('/person/')[1]!, key);
  for (const [number, note] of keys.notes.entries())
    folder.write(`${name}/key/${String(number).padStart(20, '0')}.note`, note);
  return folder.file(name);
}

const place = (at: string, id = 'h-1', ...more: string[]) =>
  cairn([
    'holds',
    'place',
    at,
    id,
    '--org',
    'acme',
    '--by',
    'jane.doe',
    '--key',
    janePem,
    '--reason',
    'A letter',
    '--root',
    root,
    ...more,
  ]);
const release = (at: string, by: string, pem: string, id = 'h-1') =>
  cairn(['holds', 'release', at, id, '--by', by, '--key', pem, '--reason', 'Settled', '--root', root]);
const listed = async (at: string) => (await cairn(['holds', 'list', at, '--root', root])).stdout;

describe('a legal hold', () => {
  test('stands from its placement until two different persons have signed its release', async () => {
    const at = archiveAt('two');
    expect(await place(at, 'h-1', '--from', '2026-01-01', '--session', 's-1')).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(await listed(at)).toMatch(
      /h-1 +stands +organisation acme, session s-1, from 2026-01-01.*placed by jane\.doe/,
    );
    expect((await release(at, 'jane.doe', janePem)).stdout).toMatch(/one release signed/);
    expect((await release(at, 'sam.lee', samPem)).stdout).toMatch(/^h-1 released/);
    expect(await listed(at)).toMatch(/released by jane\.doe, released by sam\.lee/);
  });

  test.each([
    ['the same person again', 'jane.doe', janePem],
    ['the same key under another name', 'jane', twinPem],
  ])('is not released by %s', async (name, by, pem) => {
    const at = archiveAt(`same ${name}`);
    await place(at);
    await release(at, 'jane.doe', janePem);
    const said = await release(at, by, pem);
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toMatch(/needs a second person/);
    expect(await listed(at)).toMatch(/stands, one release signed/);
  });

  test('is neither placed nor released with a key that the root has not stated for that person', async () => {
    const at = archiveAt('stranger');
    await place(at);
    const stranger = folder.writeKey('stranger.pem', person('sam.lee', 99).privateKey);
    const said = await release(at, 'sam.lee', stranger);
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toMatch(/none of the known keys has signed it/);
  });

  test('that was altered, or put there by another, makes the whole list not count', async () => {
    const at = archiveAt('altered');
    await place(at);
    await place(at, 'h-2');
    const path = join(at, holdName(0));
    const note = readFileSync(path, 'utf8');
    writeFileSync(path, note.replace('"org":"acme"', '"org":"else"'));
    expect(await cairn(['holds', 'list', at, '--root', root])).toMatchObject({ code: 1, stdout: '' });
    writeFileSync(path, note);
    writeFileSync(join(at, holdName(2)), 'no note');
    expect(await cairn(['holds', 'list', at, '--root', root])).toMatchObject({ code: 1, stdout: '' });
  });

  test.each([
    ['a hold that is there', async (at: string) => place(at), /was placed before/],
    [
      'the release of none',
      async (at: string) => release(at, 'sam.lee', samPem, 'h-9'),
      /there is no hold h-9/,
    ],
  ])('refuses %s, and writes nothing', async (name, act, says) => {
    const at = archiveAt(name);
    await place(at);
    const said = await act(at);
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toMatch(says);
    expect((await listed(at)).trim().split('\n')).toHaveLength(2);
  });
});

describe('a statement that a person has signed elsewhere', () => {
  const words: HoldWords = {
    act: 'place',
    agent: null,
    at: 1,
    by: 'jane.doe',
    from: null,
    hold: 'h-1',
    org: 'acme',
    reason: 'r',
    session: null,
    to: null,
  };
  const keysAt = (at: string): KeyHistory =>
    KeyHistory.of(
      DEPLOYMENT,
      Array.from({ length: 6 }, (_, number) =>
        readFileSync(join(at, `key/${String(number).padStart(20, '0')}.note`)),
      ),
      new Keys().root.key,
    );

  test('is added once, also when the answer to the first try was lost', async () => {
    const at = archiveAt('lost');
    await using evidence = await openEvidence(at, NO_STORE);
    const note = new HoldHistory(keysAt(at)).sign(words, jane);
    const until = new Date(2_000_000_000_000);
    const first = await addHold(evidence, keysAt(at), note, until);
    expect(await addHold(evidence, keysAt(at), note, until)).toEqual(first);
    expect((await readHolds(evidence, keysAt(at))).next.number).toBe(1);
  });

  test('does not take the place of another that came before it', async () => {
    const at = archiveAt('raced');
    await using evidence = await openEvidence(at, NO_STORE);
    const [one, other] = [words, { ...words, hold: 'h-2' }].map((said) =>
      new HoldHistory(keysAt(at)).sign(said, jane),
    ) as [Uint8Array, Uint8Array];
    const until = new Date(2_000_000_000_000);
    const racing = { ...evidence, create: async () => 'exists' as const, read: async () => other };
    await expect(addHold(racing, keysAt(at), one, until)).rejects.toMatchObject({ code: 'hold.raced' });
    await addHold(evidence, keysAt(at), other, until);
    await expect(addHold(evidence, keysAt(at), one, until)).rejects.toMatchObject({
      code: 'hold-history.invalid',
    });
  });
});
