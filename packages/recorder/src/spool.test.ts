import { mkdtemp, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SimulatedDisk } from '../test/simulated-disk.ts';
import { realDisk } from './disk.ts';
import type { Finding } from './finding.ts';
import { Spool, type SpoolOptions } from './spool.ts';

const SNAPSHOT = Buffer.from('{"streams":"here"}');
let directory: string;
let findings: Finding[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cairn-spool-'));
  findings = [];
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const openSpool = (more: Partial<SpoolOptions> = {}) =>
  Spool.open({
    disk: realDisk,
    directory,
    bytesMax: 1 << 20,
    fileBytes: 4096,
    reserveBytes: 4096,
    cursorMs: 20,
    nowMs: () => 1000,
    onFinding: (finding) => findings.push(finding),
    onChange: () => {},
    ...more,
  });

const bodies = (from: number, count: number, bytes = 100) =>
  Array.from({ length: count }, (_, index) => Buffer.from(`${from + index}`.padStart(bytes, '.')));
const append = (spool: Spool, from: number, count: number, bytes?: number) =>
  spool.append(bodies(from, count, bytes), () => SNAPSHOT);
const files = async () => (await readdir(directory)).filter((name) => name.endsWith('.wal')).sort();

async function readAll(spool: Spool, from = spool.sent): Promise<string[]> {
  const all: string[] = [];
  for (;;) {
    const run = await spool.read(from);
    if (run === undefined) return all;
    for (const { body } of run.records) all.push(Buffer.from(body).toString().replace(/^\.+/, ''));
    from = run.records.at(-1)!.number + 1;
  }
}

const names = (from: number, count: number) => Array.from({ length: count }, (_, index) => `${from + index}`);

async function flip(file: string, at: number): Promise<void> {
  const handle = await open(join(directory, file), 'r+');
  const byte = Buffer.alloc(1);
  const { size } = await handle.stat();
  const position = at < 0 ? size + at : at;
  await handle.read(byte, 0, 1, position);
  byte[0]! ^= 0x01;
  await handle.write(byte, 0, 1, position);
  await handle.close();
}

describe('the spool', () => {
  test('hands records out in the order in which they were appended, over many files', async () => {
    const spool = await openSpool();
    for (let from = 0; from < 200; from += 10) await append(spool, from, 10);
    expect((await files()).length).toBeGreaterThan(3);
    expect(await readAll(spool)).toEqual(names(0, 200));
    await spool.close();
  });

  test('has everything again after it was opened again', async () => {
    const first = await openSpool();
    for (let from = 0; from < 100; from += 10) await append(first, from, 10);
    await first.close();
    const second = await openSpool();
    await append(second, 100, 5);
    expect(await readAll(second)).toEqual(names(0, 105));
    expect(findings).toEqual([]);
    await second.close();
  });

  test('removes a file only when the stored cursor is past it', async () => {
    const spool = await openSpool();
    for (let from = 0; from < 200; from += 10) await append(spool, from, 10);
    const before = (await files()).length;
    spool.release(100);
    expect((await files()).length).toBe(before);
    await spool.storeCursor();
    expect((await files()).length).toBeLessThan(before);
    await spool.close();
    const again = await openSpool();
    expect(await readAll(again)).toEqual(names(100, 100));
    expect(findings).toEqual([]);
    await again.close();
  });

  test('a torn tail is cut and the records before it survive', async () => {
    const spool = await openSpool();
    await append(spool, 0, 10);
    await append(spool, 10, 10);
    await spool.close();
    const [file] = await files();
    const { bytes } = (await realDisk.list(directory)).find(({ name }) => name === file)!;
    for (const cut of [1, 20, 60, 130]) {
      await truncate(join(directory, file!), bytes - cut);
      const again = await openSpool();
      const whole = 20 - Math.ceil(cut / 121);
      expect(await readAll(again)).toEqual(names(0, whole));
      expect(findings.at(-1)?.code).toBe('spool.torn');
      await again.close();
      findings = [];
      const third = await openSpool();
      expect(findings).toEqual([]);
      await third.close();
    }
  });

  test('a flipped byte loses that record alone, is reported once, and later files are still sent', async () => {
    const spool = await openSpool();
    for (let from = 0; from < 100; from += 5) await append(spool, from, 5);
    await spool.close();
    await flip((await files())[1]!, 2000);
    const again = await openSpool();
    const found = await readAll(again);
    await readAll(again);
    expect(found.length).toBe(99);
    expect(found.filter((name, index) => index > 0 && Number(name) <= Number(found[index - 1]))).toEqual([]);
    expect(findings.map(({ code }) => code)).toEqual(['spool.damaged']);
    await again.close();
  });

  test('a flipped byte in the last file is no torn tail when a later write is behind it', async () => {
    const spool = await openSpool();
    await append(spool, 0, 5);
    await append(spool, 5, 5);
    await spool.close();
    await flip((await files())[0]!, 200);
    const again = await openSpool();
    expect((await readAll(again)).length).toBe(9);
    expect(findings.map(({ code }) => code)).toEqual(['spool.damaged']);
    await again.close();
  });

  test('whatever byte of whatever file is flipped, only the record that holds it is lost', async () => {
    const open = (disk: SimulatedDisk) =>
      openSpool({ disk: disk.session(), directory: '/spool', fileBytes: 300, reserveBytes: 0 });
    const written = async () => {
      const disk = new SimulatedDisk();
      const spool = await open(disk);
      await append(spool, 0, 4, 8);
      await append(spool, 4, 4, 8);
      await append(spool, 8, 100, 8);
      await append(spool, 108, 1, 8);
      await spool.close();
      return { disk, files: disk.paths().filter((path) => path.endsWith('.wal')) };
    };
    let { disk, files } = await written();
    expect(files.length).toBe(3);
    const wrong: unknown[] = [];
    for (const [which, size] of files.map((path) => disk.sizeOf(path)).entries()) {
      for (let at = 0; at < size; at++) {
        disk.flip(files[which]!, at, 0x01);
        const again = await open(disk);
        const read = await readAll(again);
        if (read.length < 108 || findings.length !== 1) wrong.push([which, at, read.length, findings]);
        await again.close();
        findings = [];
        // The torn end of the last write was cut off.
        if (disk.sizeOf(files[which]!) === size) disk.flip(files[which]!, at, 0x01);
        else ({ disk, files } = await written());
      }
    }
    expect(wrong).toEqual([]);
  });

  test('a file that somebody removed is reported and the rest is sent', async () => {
    const spool = await openSpool();
    for (let from = 0; from < 100; from += 10) await append(spool, from, 10);
    await spool.close();
    await rm(join(directory, (await files())[1]!));
    const again = await openSpool();
    const found = await readAll(again);
    expect(found[0]).toBe('0');
    expect(found.at(-1)).toBe('99');
    expect(findings.map(({ code }) => code)).toEqual(['spool.missing']);
    await again.close();
  });

  test('an unreadable cursor sends everything again and loses nothing', async () => {
    const spool = await openSpool();
    await append(spool, 0, 20);
    spool.release(10);
    await spool.close();
    await flip('cursor', 0);
    await flip('cursor', 4_096);
    const again = await openSpool();
    expect(await readAll(again)).toEqual(names(0, 20));
    await again.close();
  });

  test('a cursor that is torn or spoiled in one place is the one that was stored before', async () => {
    const spool = await openSpool();
    await append(spool, 0, 20);
    for (const sent of [4, 8, 12]) {
      spool.release(sent);
      await spool.storeCursor();
    }
    await spool.close();
    // The first store made the file with 4 in both places, 8 went over the one and 12 over the other.
    for (const [at, first] of [
      [0, 12],
      [4_096, 8],
    ] as const) {
      await flip('cursor', at);
      const again = await openSpool();
      expect(await readAll(again)).toEqual(names(first, 20 - first));
      await again.close();
      await flip('cursor', at);
    }
    expect((await stat(join(directory, 'cursor'))).size).toBe(8_192);
  });

  test('a cursor of one line, as earlier versions stored it, is read', async () => {
    const spool = await openSpool();
    await append(spool, 0, 20);
    await spool.close();
    await writeFile(join(directory, 'cursor'), '10 a15d25e1\n');
    const again = await openSpool();
    expect(await readAll(again)).toEqual(names(10, 10));
    await again.close();
  });

  test('is full at its bound, keeps room for own records, and takes records again once some are sent', async () => {
    const spool = await openSpool({ bytesMax: 20_000 });
    let at = 0;
    while (spool.fits(1210, false)) {
      await append(spool, at, 10);
      at += 10;
    }
    await spool.declareFull();
    expect(spool.full).toBe(true);
    expect(spool.fits(100, false)).toBe(false);
    expect(spool.fits(100, true)).toBe(true);
    expect(await spool.makeRoom()).toBe(false);
    spool.release(at - 10);
    await spool.storeCursor();
    expect(await spool.makeRoom()).toBe(true);
    expect(spool.fits(100, false)).toBe(true);
    await spool.close();
  });
});

describe('the spool on a failing disk', () => {
  test.each(['append', 'sync'] as const)(
    'after a failed %s the records go to a new file and none is doubled',
    async (bad) => {
      const disk = new SimulatedDisk();
      const spool = await openSpool({ disk: disk.session(), directory: '/spool' });
      await append(spool, 0, 5);
      let left = 1;
      disk.plan = (operation) => (operation === bad && left-- > 0 ? 'before' : undefined);
      await append(spool, 5, 5);
      await append(spool, 10, 5);
      expect(await readAll(spool)).toEqual(names(0, 15));
      expect(disk.paths().filter((path) => path.endsWith('.wal')).length).toBe(2);
      disk.cutPower(() => 0);
      const again = await openSpool({ disk: disk.session(), directory: '/spool' });
      expect(await readAll(again)).toEqual(names(0, 15));
      expect(findings.map(({ code }) => code)).toEqual(['spool.write-failed']);
    },
  );

  test('a file is not synced a second time after its sync failed', async () => {
    const disk = new SimulatedDisk();
    const spool = await openSpool({ disk: disk.session(), directory: '/spool' });
    await append(spool, 0, 5);
    disk.calls.length = 0;
    let failed = '';
    disk.plan = (operation, path) => {
      if (operation !== 'sync' || failed !== '') return undefined;
      failed = path;
      return 'before';
    };
    await append(spool, 5, 5);
    const later = disk.calls.slice(disk.calls.findIndex((call) => call.includes('!')) + 1);
    expect(later.filter((call) => call.startsWith('sync ') && failed.endsWith(call.slice(5)))).toEqual([]);
    expect(later.some((call) => call.startsWith('sync '))).toBe(true);
  });

  test('the cursor is written over where it lies, and by a new file after that failed', async () => {
    const disk = new SimulatedDisk();
    const spool = await openSpool({ disk: disk.session(), directory: '/spool' });
    await append(spool, 0, 20);
    const callsOf = async (sent: number): Promise<string[]> => {
      disk.calls.length = 0;
      spool.release(sent);
      await spool.storeCursor().catch(() => {});
      return disk.calls.map((call) => call.split(' ', 1)[0]!);
    };
    const anew = ['remove', 'create', 'append', 'sync', 'rename', 'syncDirectory'];
    expect(await callsOf(4)).toEqual(anew);
    expect(await callsOf(8)).toEqual(['overwrite', 'sync']);
    disk.plan = (operation) => (operation === 'overwrite' ? 'part' : undefined);
    expect(await callsOf(12)).toEqual(['overwrite']);
    disk.plan = () => undefined;
    expect(await callsOf(16)).toEqual(anew);
    disk.cutPower(() => 0);
    const again = await openSpool({ disk: disk.session(), directory: '/spool' });
    expect(await readAll(again)).toEqual(names(16, 4));
  });

  test.each(['before', 'after', 'part'] as const)(
    'a cursor whose store failed %s its effect is the old one or the new one, and never beyond',
    async (fault) => {
      for (let seed = 0; seed < 40; seed += 1) {
        const disk = new SimulatedDisk();
        const spool = await openSpool({ disk: disk.session(), directory: '/spool' });
        await append(spool, 0, 20);
        for (const sent of [4, 8]) {
          spool.release(sent);
          await spool.storeCursor();
        }
        const bad = seed % 2 === 0 ? 'overwrite' : 'sync';
        disk.plan = (operation) => (operation === bad ? fault : undefined);
        spool.release(12);
        await expect(spool.storeCursor()).rejects.toThrow('EIO');
        disk.plan = () => undefined;
        let drawn = seed;
        disk.cutPower(() => ((drawn = (drawn * 16_807 + 11) % 2_147_483_647) % 1_000) / 1_000);
        const again = await openSpool({ disk: disk.session(), directory: '/spool' });
        expect([8, 12]).toContain(again.sent);
      }
    },
  );

  test('when two files fail in a row the append is refused, and the same records succeed later', async () => {
    const disk = new SimulatedDisk();
    const spool = await openSpool({ disk: disk.session(), directory: '/spool' });
    await append(spool, 0, 5);
    disk.plan = (operation) => (operation === 'sync' ? 'before' : undefined);
    await expect(append(spool, 5, 5)).rejects.toMatchObject({ code: 'spool.failed' });
    expect(spool.failing).toBe(true);
    expect(await readAll(spool)).toEqual(names(0, 5));
    disk.plan = () => undefined;
    await append(spool, 5, 5);
    expect(spool.failing).toBe(false);
    disk.cutPower(() => 0.5);
    const again = await openSpool({ disk: disk.session(), directory: '/spool' });
    expect(await readAll(again)).toEqual(names(0, 10));
  });
});
