import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { checkpointName, type EvidenceVerdict, keyName } from '@cairn/ledger';
import { afterAll, describe, expect, test } from '@jest/globals';
import { seedFrom, signerOf } from '../../ledger/test/deployment.ts';
import { Archive, DEPLOYMENT, Folder, Gateway, Keys, ORIGIN, worldOf } from './testing/archive-on-disk.ts';
import { cairn } from './testing/run-cairn.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

/** An archive of several gateways whose key history says nothing yet, and what the owners of the keys hand over. */
function unstated(name: string) {
  const { archive, gateways } = worldOf(30, 40);
  const { keys } = archive;
  const at = folder.writeBucket(name, archive.bucket);
  rmSync(join(at, 'key'), { recursive: true });
  for (const { org, gateway, signer } of gateways)
    folder.write(`${name}-gateways/${gateway}-${org}.vkey`, `${signer.key.vkey}\n`);
  folder.write(`${name}-archival/log.vkey`, `${keys.log.key.vkey}\n`);
  folder.write(`${name}-archival/archive.vkey`, `${keys.archive.key.vkey}\n`);
  folder.write(`${name}-archival/anchor.vkey`, `${keys.anchor.key.vkey}\n`);
  folder.writeKey(`${name}-archival/log.pem`, keys.log.privateKey);
  return { at, keys, handed: [folder.file(`${name}-gateways`), folder.file(`${name}-archival`)] };
}

const rootPem = folder.writeKey('root.pem', new Keys().root.privateKey);
const enrol = (at: string, ...more: string[]) =>
  cairn(['keys', 'enrol', at, ...more, '--root-key', rootPem, '--deployment', DEPLOYMENT]);
const verified = async (at: string): Promise<EvidenceVerdict> => {
  const said = await cairn(['verify', at, '--root', new Keys().root.key.vkey, '--json']);
  return JSON.parse(said.stdout) as EvidenceVerdict;
};

describe('cairn keys enrol', () => {
  test('states every key that was handed over, and then the archive verifies as intact', async () => {
    const { at, handed } = unstated('first');
    expect((await verified(at)).verdict).toBe('not verifiable here');
    const said = await enrol(at, ...handed);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout.trim().split('\n')).toHaveLength(6);
    expect(await verified(at)).toMatchObject({
      verdict: 'intact',
      keys: { verdict: 'intact', statements: 6 },
    });
  });

  test('says nothing twice when it is repeated', async () => {
    const { at, handed } = unstated('again');
    await enrol(at, ...handed);
    const again = await enrol(at, ...handed);
    expect(again).toMatchObject({ code: 0, stdout: '' });
    expect(again.stderr).toMatch(/6 were stated before/);
    expect((await verified(at)).keys.statements).toBe(6);
  });

  test('lets no key take the place of a valid one unless it is told so, and states the others', async () => {
    const { at, handed } = unstated('other');
    await enrol(at, ...handed);
    const other = signerOf(ORIGIN, seedFrom(77)).key.vkey;
    const late = new Gateway('acme', 'gw-9').signer.key.vkey;
    const said = await enrol(at, other, late);
    expect(said.code).toBe(1);
    expect(said.stdout).toMatch(/gateway key [0-9a-f]{8} of acme\/gw-9 is valid from 0 on/);
    expect(said.stderr).toMatch(/is not stated for audit\.example.*--rotated/);
    expect((await verified(at)).keys.statements).toBe(7);
  });

  test('refuses a key whose name has no role, the root key above all, before anything is stated', async () => {
    const { at } = unstated('names');
    for (const name of [`${DEPLOYMENT}/root`, 'elsewhere/archive', `${DEPLOYMENT}/x`]) {
      const said = await enrol(at, signerOf(name, seedFrom(9)).key.vkey);
      expect(said).toMatchObject({ code: 64, stdout: '' });
    }
    expect((await verified(at)).keys.statements).toBe(0);
  });

  test('of rotated keys lets each begin where the archive has it first, and the old ones end there: all stays intact', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const keys = new Keys();
    const archive = new Archive(keys);
    const old = [gateway.signer, keys.log, keys.archive, keys.anchor].map(({ key }) => key.vkey);
    archive.append(...gateway.stream(5));
    archive.cut();
    archive.anchor(archive.bucket.get(checkpointName(ORIGIN, 7))!);
    gateway.restart();
    Object.assign(gateway, { signer: signerOf(gateway.signer.key.name, seedFrom(90)) });
    Object.assign(keys, {
      log: signerOf(ORIGIN, seedFrom(91)),
      archive: signerOf(keys.archive.key.name, seedFrom(92)),
      anchor: signerOf(keys.anchor.key.name, seedFrom(93)),
    });
    archive.append(...gateway.stream(3));
    archive.cut();
    archive.anchor(archive.bucket.get(checkpointName(ORIGIN, 12))!);
    // The new archive key lets an old segment go.
    archive.expire(0);
    const at = folder.writeBucket('rotated', archive.bucket);
    rmSync(join(at, 'key'), { recursive: true });
    await enrol(at, ...old);
    expect((await verified(at)).verdict).not.toBe('intact');
    const fresh = [gateway.signer, keys.log, keys.archive, keys.anchor].map(({ key }) => key.vkey);
    const said = await enrol(at, ...fresh, '--rotated');
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout).toMatch(/gateway key [0-9a-f]{8} of acme\/gw-1 is valid from 2 on, rotated/);
    expect(said.stdout).toMatch(/log key [0-9a-f]{8} of \S+ is valid from 0 to before 12, rotated/);
    expect(said.stdout).toMatch(/archive key [0-9a-f]{8} of \S+ is valid from 0 to before 8, rotated/);
    expect(said.stdout).toMatch(/anchor key [0-9a-f]{8} of \S+ is valid from 0 to before 2, rotated/);
    const verdict = await verified(at);
    expect(verdict).toMatchObject({ verdict: 'intact', keys: { statements: 12 } });
    // A crash between the two statements of a rotation is mended by a repeat.
    rmSync(join(at, keyName(11)));
    expect((await enrol(at, ...fresh, '--rotated')).stdout).toMatch(/to before 2, rotated/);
    expect((await verified(at)).keys.statements).toBe(12);
  });
});
