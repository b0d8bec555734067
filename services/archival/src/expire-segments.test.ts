import type { ObjectStore } from '@cairn/adapters';
import { manifestName, openManifest, openTombstone, tombstoneName } from '@cairn/ledger';
import type { LegalHold, RetentionPolicy } from '@cairn/retention';
import { describe, expect, test } from '@jest/globals';
import { type Fault, faulty } from '../../../packages/adapters/test/object-store-faults.ts';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { ORIGIN, Rig } from '../test/archiver.ts';
import { DEPLOYMENT, policy } from '../test/simulation.ts';
import { anchorCheckpoints } from './anchor-checkpoints.ts';
import { AnchorLog } from './anchor-log.ts';
import { comparedClock } from './compared-clock.ts';
import { type Expired, expireSegments } from './expire-segments.ts';

const DAY_MS = 86_400_000;

const hold: LegalHold = {
  id: 'letter-1',
  org: 'acme',
  session: undefined,
  agent: undefined,
  from: undefined,
  to: undefined,
  reason: 'a letter',
  placedBy: 'jane',
  placedAt: 0,
  release: undefined,
};

async function archived(): Promise<{ rig: Rig; gateway: Gateway }> {
  const gateway = new Gateway('acme', 'gw-1');
  const rig = await Rig.with([gateway]);
  rig.append(...gateway.stream(28));
  await rig.archive(10);
  return { rig, gateway };
}

async function expire(
  rig: Rig,
  current: () => RetentionPolicy = () => policy,
  store: ObjectStore = rig.bucket,
  checkClock: () => void = () => {},
  forget: (first: number) => Promise<void> = async () => {},
): Promise<Expired & { decided: string[] }> {
  const anchors = new AnchorLog(DEPLOYMENT);
  const keys = await rig.knownKeys();
  const decided: string[] = [];
  const sum = await expireSegments({
    store,
    signing: rig.keys.signing,
    keys,
    origins: [ORIGIN],
    classOf: () => 'standard',
    policy: current,
    anchors,
    anchor: () =>
      anchorCheckpoints(
        {
          store,
          signing: rig.keys.signing,
          keys,
          origins: [ORIGIN],
          stampers: [],
          cosigners: [],
          notesLockMs: 3_650 * DAY_MS,
          nowMs: () => rig.nowMs,
        },
        anchors,
      ),
    derived: { forget: ({ first }) => forget(first) },
    notesLockMs: 3_650 * DAY_MS,
    nowMs: () => rig.nowMs,
    checkClock,
    onDecided: async ({ first }, what) => void decided.push(`${what} ${first}`),
  });
  return { ...sum, decided };
}

const segmentsIn = async (rig: Rig): Promise<number> =>
  (await Array.fromAsync(rig.bucket.listVersions('segment/'))).length;

describe('segments whose time is over', () => {
  test('are deleted with tombstones, an auditor finds the log intact with exact counts, and it goes on', async () => {
    const { rig, gateway } = await archived();
    rig.nowMs += 410 * DAY_MS;
    expect(await expire(rig)).toEqual({
      segments: 3,
      held: 0,
      locksExtended: 0,
      marked: 0,
      tombstones: 3,
      deleted: 3,
      waiting: 0,
      decided: ['tombstone 0', 'tombstone 10', 'tombstone 20', 'deletion 0', 'deletion 10', 'deletion 20'],
    });
    expect(await segmentsIn(rig)).toBe(0);
    rig.append(gateway.record(), gateway.record('seal'));
    const log = await rig.open();
    expect(log.findings).toEqual([]);
    expect(await rig.take(log, rig.records.slice(log.start), async () => {})).toEqual([]);
    await rig.endSegment(log);
    const report = await rig.report();
    expect(report).toMatchObject({ verdict: 'intact', deleted: 30, proven: 2, size: 32 });
    expect(report.streams).toMatchObject([{ verdict: 'intact', deleted: 30, events: 2 }]);
    expect(await expire(rig)).toMatchObject({ tombstones: 0, deleted: 0, waiting: 0 });
  });

  test('are kept while the clock is not to be believed', async () => {
    const { rig } = await archived();
    rig.nowMs += 410 * DAY_MS;
    const clock = comparedClock({ clockAheadMs: -DAY_MS }, () => rig.nowMs);
    await expect(expire(rig, undefined, rig.bucket, clock.check)).rejects.toMatchObject({
      code: 'clock.off',
    });
    expect(await segmentsIn(rig)).toBe(3);
    expect(await Array.fromAsync(rig.bucket.list('tombstone/'))).toEqual([]);
  });

  test('go after what was made of their events, and stay while that stays', async () => {
    const { rig } = await archived();
    rig.nowMs += 410 * DAY_MS;
    const there: [number, number][] = [];
    const forget = async (first: number): Promise<void> => {
      there.push([first, await segmentsIn(rig)]);
      if (first === 10 && there.length === 2) throw new Error('a copy stays');
    };
    await expect(expire(rig, undefined, rig.bucket, undefined, forget)).rejects.toThrow('a copy stays');
    expect(await segmentsIn(rig)).toBe(2);
    expect(await expire(rig, undefined, rig.bucket, undefined, forget)).toMatchObject({
      deleted: 2,
      waiting: 0,
    });
    expect(there).toEqual([
      [0, 3],
      [10, 2],
      [10, 2],
      [20, 1],
    ]);
  });

  test('are kept before it', async () => {
    const { rig } = await archived();
    rig.nowMs += 390 * DAY_MS;
    expect(await expire(rig)).toMatchObject({ tombstones: 0, deleted: 0 });
    expect(await segmentsIn(rig)).toBe(3);
  });

  test('are kept under a hold, with a lock that reaches on', async () => {
    const { rig } = await archived();
    rig.nowMs += 410 * DAY_MS;
    expect(await expire(rig, () => ({ ...policy, holds: [hold] }))).toMatchObject({
      held: 3,
      locksExtended: 3,
      marked: 3,
      tombstones: 0,
      deleted: 0,
    });
    const note = await rig.bucket.get(manifestName(ORIGIN, 0), { bytesMax: 1 << 20 });
    const [object] = openManifest(note, [rig.keys.signing.archive.key]).objects;
    const head = await rig.bucket.head(object!.key, object!.version_id);
    expect(head!.lock!.retainUntil.getTime()).toBeGreaterThan(rig.nowMs + 300 * DAY_MS);
    expect(head!.legalHold).toBe(true);
  });

  test('go once the hold is released and the lock that it carried on has ended', async () => {
    const { rig } = await archived();
    rig.nowMs += 410 * DAY_MS;
    await expire(rig, () => ({ ...policy, holds: [hold] }));
    expect(await expire(rig)).toMatchObject({ held: 0, marked: 3, deleted: 0 });
    rig.nowMs += 400 * DAY_MS;
    expect(await expire(rig)).toMatchObject({ marked: 0, deleted: 3 });
    expect(await rig.report()).toMatchObject({ verdict: 'intact', deleted: 30 });
  });

  test('are kept when a hold is placed after the decision and before the deletion', async () => {
    const { rig } = await archived();
    rig.nowMs += 410 * DAY_MS;
    let asked = 0;
    // One reading for the plan, one for each decision; then somebody writes the hold down.
    const current = (): RetentionPolicy => (++asked <= 4 ? policy : { ...policy, holds: [hold] });
    expect(await expire(rig, current)).toMatchObject({ tombstones: 3, deleted: 0, waiting: 3 });
    expect(await segmentsIn(rig)).toBe(3);
    expect(await rig.report()).toMatchObject({ verdict: 'intact', proven: 30 });
  });

  test('are gone with what was put before them since', async () => {
    const { rig } = await archived();
    const [first] = await Array.fromAsync(rig.bucket.list('segment/'));
    rig.bucket.replace(first!.key, Buffer.from('another'));
    rig.nowMs += 410 * DAY_MS;
    expect(await expire(rig)).toMatchObject({ deleted: 3 });
    expect(await segmentsIn(rig)).toBe(0);
  });

  test('are gone, and the anchor log goes on, however many versions were put before them', async () => {
    const { rig } = await archived();
    const [first] = await Array.fromAsync(rig.bucket.listVersions('segment/'));
    for (let more = 0; more < 6_000; more += 1) rig.bucket.replace(first!.key, Buffer.from('another'));
    rig.nowMs += 410 * DAY_MS;
    expect(await expire(rig)).toMatchObject({ tombstones: 3, deleted: 3, waiting: 0 });
    expect(await segmentsIn(rig)).toBe(0);
    expect(await rig.report()).toMatchObject({ verdict: 'intact', deleted: 30 });
    const tombstone = openTombstone(
      await rig.bucket.get(tombstoneName(ORIGIN, 0), { bytesMax: 65_535 }),
      (await rig.knownKeys()).archive(ORIGIN, 10),
    );
    expect(tombstone.objects[0]?.version_ids[0]).toBe(first!.version);
  });

  test.each<Fault>(['before', 'after', 'doubled', 'altered'])(
    'are gone and accounted for after the next runs when the store fails %s effect, at every call in turn',
    async (fault) => {
      const calls: string[] = [];
      const { rig: quiet } = await archived();
      quiet.nowMs += 410 * DAY_MS;
      await expire(
        quiet,
        undefined,
        faulty(quiet.bucket, ({ method, key }) => void calls.push(`${method} ${key}`)),
      );
      for (const [at, call] of calls.entries()) {
        const { rig } = await archived();
        rig.nowMs += 410 * DAY_MS;
        const broken = faulty(rig.bucket, ({ index }) => (index === at ? fault : undefined));
        await expire(rig, undefined, broken).catch(() => {});
        await expire(rig);
        const report = await rig.report();
        expect([call, await segmentsIn(rig), report.verdict, report.deleted, report.findings.length]).toEqual(
          [call, 0, 'intact', 30, 3],
        );
        expect((await Array.fromAsync(rig.bucket.list('tombstone/'))).length).toBe(6);
      }
    },
    60_000,
  );
});
