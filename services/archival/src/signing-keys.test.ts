import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openNote, signNote } from '@cairn/ledger';
import { afterAll, describe, expect, test } from '@jest/globals';
import { handOutVkeys, openSigningKeys } from './signing-keys.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-keys-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('the signing keys', () => {
  test('are made once, readable by their owner alone, and the same at every start, also when many start at once', async () => {
    const all = await Promise.all(
      Array.from({ length: 8 }, () => openSigningKeys(join(directory, 'a'), 'audit.example')),
    );
    const again = await openSigningKeys(join(directory, 'a'), 'audit.example');
    const origin = 'audit.example/audit.events.standard/0';
    for (const keys of all) {
      expect(keys.log(origin).key.vkey).toBe(again.log(origin).key.vkey);
      expect(keys.archive.key.vkey).toBe(again.archive.key.vkey);
      expect(keys.anchor.key.vkey).toBe(again.anchor.key.vkey);
    }
    expect(statSync(join(directory, 'a', 'log.pem')).mode & 0o777).toBe(0o600);
    expect(again.log(origin).key.name).toBe(origin);
    expect(again.archive.key.name).toBe('audit.example/archive');
    expect(openNote(signNote('text\n', again.log(origin)), [again.log(origin).key]).text).toBe('text\n');
  });

  test('are handed out by their verifier keys, a line for each log', async () => {
    const keys = await openSigningKeys(join(directory, 'c'), 'audit.example');
    const origins = [0, 1].map((partition) => `audit.example/audit.events.standard/${partition}`);
    for (let start = 0; start < 2; start += 1) await handOutVkeys(join(directory, 'c'), keys, origins);
    const read = (name: string) => readFileSync(join(directory, 'c', name), 'utf8');
    expect(read('log.vkey')).toBe(origins.map((origin) => `${keys.log(origin).key.vkey}\n`).join(''));
    expect(read('archive.vkey')).toBe(`${keys.archive.key.vkey}\n`);
    expect(read('anchor.vkey')).toBe(`${keys.anchor.key.vkey}\n`);
  });

  test('that a killed start left half made are removed, and not those that another start is making', async () => {
    const place = join(directory, 'd');
    await openSigningKeys(place, 'audit.example');
    const before = readdirSync(place).sort();
    const [old, young] = ['log.pem.0123456789ab', 'archive.vkey.ba9876543210'].map((name) =>
      join(place, name),
    );
    for (const path of [old!, young!]) writeFileSync(path, 'a draft');
    utimesSync(old!, new Date(), new Date(Date.now() - 120_000));
    await openSigningKeys(place, 'audit.example');
    expect(readdirSync(place).sort()).toEqual([...before, 'archive.vkey.ba9876543210'].sort());
  });

  test('that cannot be read are a failure, and no new one is made in their place', async () => {
    await openSigningKeys(join(directory, 'b'), 'audit.example');
    writeFileSync(join(directory, 'b', 'archive.pem'), 'torn');
    await expect(openSigningKeys(join(directory, 'b'), 'audit.example')).rejects.toMatchObject({
      code: 'archive.key-unreadable',
    });
  });
});
