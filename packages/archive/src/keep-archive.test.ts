import { anchorCheckpointName, checkpointName, manifestName, segmentName } from '@cairn/ledger';
import { describe, expect, test } from '@jest/globals';
import { ObjectStoreInMemory } from '../../adapters/test/object-store-in-memory.ts';
import { type Archive, ORIGIN, worldOf } from '../../cli/src/testing/archive-on-disk.ts';
import { type Evidence, evidenceIn } from './evidence.ts';
import { keepArchive } from './keep-archive.ts';
import { AnchorLogReader } from './read-anchors.ts';

const LOCK = { mode: 'COMPLIANCE', retainUntil: new Date(1_000_000) } as const;

async function keptWorld() {
  const world = worldOf(30, 40);
  const bucket = new ObjectStoreInMemory(() => 0);
  await bucket.ensureBucket();
  const sync = async (archive: Archive): Promise<void> => {
    for (const [name, bytes] of archive.bucket) await bucket.putLocked(name, bytes, LOCK);
  };
  await sync(world.archive);
  const evidence = evidenceIn(bucket, 's3://bucket');
  const read: string[] = [];
  const told: Evidence = {
    ...evidence,
    read(name, ...more) {
      read.push(name);
      return evidence.read(name, ...more);
    },
  };
  const clock = { nowMs: 0 };
  const rootKey = world.archive.keys.root.key;
  const archive = keepArchive({
    evidence: told,
    rootKey,
    copies: undefined,
    nowMs: () => clock.nowMs,
    ageMsMax: 1_000,
  });
  return { world, bucket, sync, read, clock, archive };
}

describe('an archive that is kept', () => {
  test('is read once for all who ask at the same time, and not again until it is old', async () => {
    const { archive, read, clock } = await keptWorld();
    const [one, other] = await Promise.all([archive.state(), archive.state()]);
    expect(other).toBe(one);
    expect(one.segments.map(({ manifest }) => [manifest.first, manifest.end])).toEqual([
      [0, 40],
      [40, 80],
      [80, 96],
    ]);
    const after = read.length;
    clock.nowMs = 999;
    expect(await archive.state()).toBe(one);
    expect(read.length).toBe(after);
  });

  test('reads of a log that grew only what is new, and it leads to the signed root as in a first reading', async () => {
    const { world, archive, read, clock, sync } = await keptWorld();
    await archive.state();
    const extra = world.gateways[0]!;
    for (let more = 0; more < 25; more += 1) world.archive.append(extra.record());
    world.archive.cut();
    await sync(world.archive);
    read.length = 0;
    clock.nowMs = 1_000;
    const { segments } = await archive.state();
    expect(segments.at(-1)!.manifest).toMatchObject({ first: 96, end: 121 });
    expect(read.filter((name) => name.startsWith('manifest/'))).toEqual([manifestName(ORIGIN, 96)]);
    expect(read.filter((name) => name.startsWith('segment/') || name.startsWith('key/'))).toEqual([]);
  });

  test('that goes on with a manifest that does not follow is refused, and so is it asked again', async () => {
    const { archive, bucket, clock, world } = await keptWorld();
    await archive.state();
    const forged = world.archive.bucket.get(manifestName(ORIGIN, 40))!;
    await bucket.putLocked(manifestName(ORIGIN, 96), forged, LOCK);
    clock.nowMs = 1_000;
    await expect(archive.state()).rejects.toMatchObject({ code: 'archive.broken' });
    await expect(archive.state()).rejects.toMatchObject({ code: 'archive.broken' });
  });

  test('has the anchor log that its checkpoints are in, asked for again only when it is old', async () => {
    const { archive, read, clock } = await keptWorld();
    const { report } = await archive.anchors();
    expect(report.checkpoints.get(ORIGIN)?.map(({ size }) => size)).toEqual([40, 80, 96]);
    const after = read.length;
    clock.nowMs = 999;
    await Promise.all([archive.anchors(), archive.anchors()]);
    expect(read.length).toBe(after);
    expect(read).not.toContain(segmentName(ORIGIN, 0, 1));
  });

  test('reads of an anchor log that grew only what is new, and proves by it as a first reading does', async () => {
    const { world, archive, bucket, read, clock, sync } = await keptWorld();
    await archive.anchors();
    const extra = world.gateways[0]!;
    for (let more = 0; more < 25; more += 1) world.archive.append(extra.record());
    world.archive.cut();
    world.archive.anchor(world.archive.bucket.get(checkpointName(ORIGIN, 121))!);
    // The entries are there a while before the checkpoint that makes a round of them.
    const latest = anchorCheckpointName(4);
    const note = world.archive.bucket.get(latest)!;
    world.archive.bucket.delete(latest);
    await sync(world.archive);
    clock.nowMs = 1_000;
    const before = await archive.anchors();
    expect(before.report).toMatchObject({ verdict: 'intact' });
    expect(before.report.checkpoints.get(ORIGIN)?.map(({ size }) => size)).toEqual([40, 80, 96]);
    await bucket.putLocked(latest, note, LOCK);
    read.length = 0;
    clock.nowMs = 2_000;
    const { report, tree } = await archive.anchors();
    expect(read.filter((name) => name.startsWith('anchor/'))).toEqual([latest]);
    expect(report.checkpoints.get(ORIGIN)?.map(({ size }) => size)).toEqual([40, 80, 96, 121]);
    const { history } = await archive.state();
    const whole = await new AnchorLogReader(evidenceIn(bucket, 's3://bucket'), history).read();
    expect(report).toEqual(whole.report);
    expect(tree.root(report.size)).toBe(whole.tree.root(report.size));
  });
});
