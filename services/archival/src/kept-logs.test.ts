import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ObjectStore } from '@cairn/adapters';
import { hexOfHash } from '@cairn/ledger';
import { afterAll, describe, expect, test } from '@jest/globals';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { ORIGIN, Rig } from '../test/archiver.ts';
import { type KeptLog, type KeptLogs, keptLogsIn } from './kept-logs.ts';
import type { OpenLog } from './open-partition.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-kept-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

class KeptInMemory implements KeptLogs {
  log: KeptLog | undefined;
  read = async () => this.log;
  keep = async (log: KeptLog) => void (this.log = structuredClone(log));
}

/** A log of 76 segments of two gateways, one of which fell silent early and opened a new epoch before. */
async function longLog(): Promise<{ rig: Rig; kept: KeptInMemory; gateway: Gateway }> {
  const [gateway, early] = [new Gateway('acme', 'gw-1'), new Gateway('acme', 'gw-2')];
  const rig = await Rig.with([gateway, early]);
  const kept = new KeptInMemory();
  rig.kept = kept;
  rig.append(...early.stream(4));
  early.restart();
  rig.append(...early.stream(3), ...gateway.stream(1_500));
  await rig.archive(20);
  return { rig, kept, gateway };
}

/** The store, and which manifests were read. */
function watched(bucket: ObjectStore): { store: ObjectStore; manifests: string[] } {
  const manifests: string[] = [];
  const get: ObjectStore['get'] = (key, reading) => {
    if (key.startsWith('manifest/')) manifests.push(key);
    return bucket.get(key, reading);
  };
  const store = new Proxy(bucket, {
    get: (of, name) => {
      if (name === 'get') return get;
      const value = Reflect.get(of, name) as unknown;
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
  return { store, manifests };
}

const standOf = ({ committed, start, anchor, tree, previous, manifests, watches }: OpenLog) => ({
  committed,
  start,
  anchor,
  previous,
  root: hexOfHash(tree.root()),
  positions: manifests.builder.positions(),
  watches: watches.kept(),
});

describe('what was kept of a log', () => {
  test('spares reading the manifests that it is of, and comes to the same as all of them', async () => {
    const { rig, kept, gateway } = await longLog();
    expect(kept.log).toMatchObject({ origin: ORIGIN, size: 64 * 20 });
    const some = watched(rig.bucket);
    const fromKept = standOf(await rig.open(some.store));
    rig.kept = undefined;
    const all = watched(rig.bucket);
    const fromAll = standOf(await rig.open(all.store));
    expect(fromKept).toEqual(fromAll);
    const firstsOf = (names: readonly string[]) =>
      [...new Set(names.map((name) => Number(name.slice(-25, -5))))].sort((left, right) => left - right);
    expect(firstsOf(all.manifests)).toEqual(Array.from({ length: 76 }, (_, at) => at * 20));
    // The segment in which the other gateway fell silent, and those that hold the latest 1,024 events of this one.
    const read = firstsOf(some.manifests);
    expect(read[0]).toBe(0);
    expect(read[1]).toBeGreaterThan(400);

    rig.kept = kept;
    gateway.seq -= 20;
    rig.append(gateway.record('tool_call', 'another'));
    const log = await rig.open();
    const found = await rig.take(log, rig.records.slice(log.start), async () => {});
    expect(found.map(({ reason }) => reason)).toEqual(['fork']);
  });

  test('is not believed when it does not lead to the checkpoint that the archive has, and everything is read', async () => {
    const { rig, kept } = await longLog();
    const whole = standOf(await rig.open());
    const good = kept.log!;
    const other = 'ab'.repeat(32);
    for (const wrong of [
      { ...good, nodes: good.nodes.map(() => other) },
      { ...good, root: other },
      { ...good, size: good.size + 1 },
      { ...good, size: 10_000 },
      { ...good, nodes: [] },
    ]) {
      kept.log = wrong;
      const all = watched(rig.bucket);
      expect(standOf(await rig.open(all.store))).toEqual(whole);
      expect(all.manifests.length).toBeGreaterThanOrEqual(76);
    }
  });

  test('is refused as the archive is when the manifests behind it do not follow it', async () => {
    const { rig, kept } = await longLog();
    kept.log = { ...kept.log!, previous: 'ab'.repeat(32) };
    await expect(rig.open()).rejects.toMatchObject({ code: 'archive.broken' });
  });

  test('comes back from its file as it was put there, and a torn file counts as none', async () => {
    const { rig, kept } = await longLog();
    const files = keptLogsIn(directory);
    expect(await files.read(ORIGIN)).toBeUndefined();
    await files.keep(kept.log!);
    expect(await files.read(ORIGIN)).toEqual(kept.log);
    const [name] = readdirSync(directory);
    writeFileSync(join(directory, name!), JSON.stringify(kept.log).slice(0, 500));
    expect(await files.read(ORIGIN)).toBeUndefined();
    rig.kept = { read: files.read, keep: async () => Promise.reject(new Error('ENOSPC')) };
    expect((await rig.open()).committed).toBe(rig.records.length);
  });
});
