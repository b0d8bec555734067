import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Archival, ArchivalParts } from '@cairn/archival';
import { partitionOf } from '@cairn/event';
import { type Manifest, openManifest } from '@cairn/ledger';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Kafka as KafkaJs, logLevel } from 'kafkajs';
import { type RunningWitness, startGoWitness } from '../../../packages/adapters/test/go-witness.ts';
import { type Fault, faulty, type StoreMethod } from '../../../packages/adapters/test/object-store-faults.ts';
import type { DeploymentKeys } from '../../../services/archival/test/deployment-keys.ts';
import { type ArchiveRig, dayPolicy, eventually, lastArchived, startArchiveRig } from './archive-rig.ts';
import { drained, PARTITIONS, TOPIC } from './rig.ts';

/*
 * Years of an archive on real parts. The store keeps its own time, and nobody can set it: so the policy keeps events for a day, and the
 * gateway's clock was three days behind when it recorded the first half of them.
 */

const BUCKET = 'evidence';
const GATEWAY = 'gw-archive';
const DAY_MS = 86_400_000;
const SEGMENTS = 4;
const EVENTS = 25;
/** Archival locks everything at least so long. */
const LOCK_MS_LEAST = 60_000;

const HOLD = `
  - id: letter-1
    org: borealis
    reason: a letter
    placed_by: jane.doe
    placed_at: 2026-01-01T00:00:00Z`;

describe('an archive through the years', () => {
  let rig: ArchiveRig;
  let archival: Archival;
  let witness: RunningWitness;
  let keys: DeploymentKeys;
  let policyFile: string;
  let behindMs = 3 * DAY_MS;
  /** What goes wrong with one call of the store. */
  let draw: (method: StoreMethod, key: string) => Fault | undefined = () => undefined;
  let openedAt: number;
  /** Two organisations in two partitions, neither of which is the one of archival's own stream. */
  const own = partitionOf('cairn', 'archival', PARTITIONS);
  const orgIn = (partition: number, prefix: string): string =>
    Array.from({ length: 100 }, (_, at) => `${prefix}-${at}`).find(
      (org) => partitionOf(org, GATEWAY, PARTITIONS) === partition,
    )!;
  const [freeAt = 0, heldAt = 0] = [0, 1, 2, 3].filter((partition) => partition !== own);
  const free = orgIn(freeAt, 'free');
  const held = orgIn(heldAt, 'held');

  const open = (parts: ArchivalParts = {}, env: Readonly<Record<string, string>> = {}): Promise<Archival> =>
    rig.openArchival({ store: faulty(rig.store, ({ method, key }) => draw(method, key)), ...parts }, env);

  beforeAll(async () => {
    rig = await startArchiveRig({ bucket: BUCKET, nowMicros: () => (Date.now() - behindMs) * 1_000 });
    policyFile = join(rig.directory, 'retention.yaml');
    writeFileSync(policyFile, dayPolicy('[]'));
    Object.assign(rig.env, { CAIRN_RETENTION_CONFIG: policyFile });
    archival = await open();
    keys = await rig.stateKeys();
    witness = await startGoWitness('witness.example/w1', 'e2e/anchors', keys.signing.anchor.key.vkey);
    await archival[Symbol.asyncDispose]();
    keys.state('witness', 'e2e/anchors', { vkey: witness.vkey });
    Object.assign(rig.env, { CAIRN_WITNESSES: `w1=${witness.url}=${witness.vkey}` });
    archival = await open();
    for (let segment = 0; segment < SEGMENTS; segment += 1) {
      await rig.record(free, EVENTS);
      await rig.record(held, EVENTS);
      await rig.archived();
    }
    openedAt = Date.now();
    behindMs = 0;
    for (let segment = 0; segment < SEGMENTS; segment += 1) {
      await rig.record(free, EVENTS);
      await rig.record(held, EVENTS);
      await rig.archived();
    }
    await rig.stateKeys();
  }, 300_000);
  afterAll(async () => {
    await archival?.[Symbol.asyncDispose]();
    await witness?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
  }, 60_000);

  const factsOf = async (job: string): Promise<Record<string, unknown>> => {
    const runs = async () =>
      rig.clickhouse.query<{ detail: string; error: string }>(
        `SELECT detail, error_message AS error FROM cairn.events WHERE method = {job:String} ORDER BY timestamp`,
        { job: `job/${job}` },
      );
    const before = (await runs()).length;
    await archival.run(job);
    await eventually(`the run of ${job} is in the trail`, async () => (await runs()).length > before);
    const { detail, error } = (await runs()).at(-1)!;
    return error === '' ? (JSON.parse(detail) as Record<string, unknown>) : { error };
  };

  const manifestsOf = async (partition: number): Promise<Manifest[]> => {
    const manifests: Manifest[] = [];
    for await (const { key } of rig.store.list(`manifest/${TOPIC}/${partition}/`))
      manifests.push(
        openManifest(await rig.store.get(key, { bytesMax: 1 << 24 }), [keys.signing.archive.key]),
      );
    return manifests;
  };
  const isOld = ({ timestamps }: Manifest): boolean => timestamps.max < (openedAt - DAY_MS) * 1_000;
  const leavesOf = (manifests: readonly Manifest[]): number =>
    manifests.reduce((sum, { first, end }) => sum + end - first, 0);

  describe('before a witness', () => {
    test('each round of the anchor log is cosigned, also after the witness was away; a cosignature is verified by both verifiers', async () => {
      const cosigned = { cosignatures: [{ name: 'w1', atMs: expect.any(Number) }] };
      expect(await factsOf('anchor')).toMatchObject(cosigned);
      witness.freeze();
      await rig.record(free, 1);
      await rig.archived();
      // It must not be waited for for ever.
      const away = await factsOf('anchor').finally(() => witness.thaw());
      expect((away['cosignatures'] as { error?: string }[])[0]?.error).toMatch(/witness|answer|time/i);
      await rig.record(free, 1);
      await rig.archived();
      expect(await factsOf('anchor')).toMatchObject(cosigned);
      const { ours, theirs } = await rig.verdicts(keys.root.key.vkey);
      expect(ours.verdict.anchors.cosignatures.length).toBeGreaterThanOrEqual(2);
      expect(ours.verdict.anchors.cosignatures.map(({ verdict }) => verdict)).toEqual(
        ours.verdict.anchors.cosignatures.map(() => 'intact'),
      );
      expect(theirs.verdict.anchors.cosignatures).toEqual(ours.verdict.anchors.cosignatures);
    }, 120_000);
  });

  describe('under a hold', () => {
    test('locks are carried on by a year, the store keeps them, and nothing is deleted', async () => {
      writeFileSync(policyFile, dayPolicy(HOLD.replace('borealis', held)));
      const [object] = (await manifestsOf(heldAt))[0]!.objects;
      const before = (await rig.store.head(object!.key, object!.version_id))!.lock!.retainUntil.getTime();
      const facts = await factsOf('expire');
      expect(facts['held']).toBe((await manifestsOf(heldAt)).length);
      expect(facts['locksExtended']).toBeGreaterThanOrEqual(facts['held'] as number);
      const after = (await rig.store.head(object!.key, object!.version_id))!.lock!.retainUntil.getTime();
      expect(after - before).toBeGreaterThan(300 * DAY_MS);
      expect((await rig.store.deleteVersion(object!.key, object!.version_id)).outcome).toBe('locked');
    }, 120_000);
  });

  describe('with a wrong clock', () => {
    test('of archival, a year ahead: it says so, decides no deletion by it, and archives on', async () => {
      await archival[Symbol.asyncDispose]();
      archival = await open({ nowMs: () => Date.now() + 365 * DAY_MS });
      expect((await factsOf('expire'))['error']).toMatch(
        /^the clock of archival is \d+ s ahead of the store's, so nothing is deleted/,
      );
      expect(await Array.fromAsync(rig.store.list('tombstone/'))).toEqual([]);
      await rig.record(free, 3);
      await rig.archived();
      await archival[Symbol.asyncDispose]();
      archival = await open({ nowMs: () => Date.now() - 3_600_000 });
      expect((await factsOf('expire'))['error']).toMatch(/is 3\d\d\d s behind the store's/);
      await archival[Symbol.asyncDispose]();
      archival = await open();
      const told = (await rig.told()).filter(({ code }) => code === 'ledger.clock-off');
      expect(told.length).toBe(2);
    }, 120_000);
  });

  describe('when half of its segments are over', () => {
    test('every write of the deletion fails, unapplied or unreported, and is done by the run after it', async () => {
      await sleep(Math.max(0, openedAt + LOCK_MS_LEAST + 3_000 - Date.now()));
      const writes: [StoreMethod, string, string][] = [
        ['putLocked', 'tombstone/', '.note'],
        ['putLocked', 'anchor/entries/', ''],
        ['putLocked', 'anchor/checkpoint/', ''],
        ['deleteVersion', 'segment/', ''],
        ['putLocked', 'tombstone/', '.done.note'],
      ];
      for (const fault of ['before', 'after'] as const) {
        for (const [method, prefix, suffix] of writes) {
          let reached = false;
          draw = (asked, key) => {
            if (reached || asked !== method || !key.startsWith(prefix) || !key.endsWith(suffix))
              return undefined;
            reached = true;
            return fault;
          };
          const facts = await factsOf('expire');
          expect([method, prefix, fault, reached]).toEqual([method, prefix, fault, true]);
          expect(facts['error']).toMatch(/drawn/);
        }
      }
      draw = () => undefined;
      const old = (await manifestsOf(freeAt)).filter(isOld);
      expect(old.length).toBeGreaterThanOrEqual(SEGMENTS);
      await factsOf('expire');
      const gone = (await Array.fromAsync(rig.store.list('tombstone/'))).filter(({ key }) =>
        key.endsWith('.done.note'),
      );
      expect(gone.length).toBe(old.length);
      expect(await factsOf('expire')).toMatchObject({ tombstones: 0, deleted: 0, waiting: 0 });
    }, 300_000);

    test('both verifiers find it intact, with the exact counts of what is there and of what was deleted', async () => {
      await factsOf('anchor');
      await rig.recorder.close(20_000);
      await drained(rig);
      await rig.stateKeys();
      await eventually('the last seals are archived', async () => {
        const [row] = await rig.clickhouse.query<{ last: number }>(
          `SELECT toUInt32(max(offset)) AS last FROM cairn.events WHERE partition = ${freeAt}`,
        );
        return (await lastArchived(rig.store, freeAt)) >= (row?.last ?? 0);
      });
      const manifests = await manifestsOf(freeAt);
      const deleted = leavesOf(manifests.filter(isOld));
      const size = leavesOf(manifests);
      const { ours, theirs } = await rig.verdicts(keys.root.key.vkey);
      expect(theirs).toEqual(ours);
      const log = ours.verdict.logs.find(({ origin }) => origin.endsWith(`/${freeAt}`))!;
      expect(log).toMatchObject({ verdict: 'intact', size, deleted, proven: size - deleted });
      expect(log.streams.map(({ verdict }) => verdict)).toEqual(['intact']);
      expect(log.streams[0]!.events + log.streams[0]!.deleted).toBe(size);
      expect(deleted).toBeGreaterThan(SEGMENTS * EVENTS);
      const kept = ours.verdict.logs.find(({ origin }) => origin.endsWith(`/${heldAt}`))!;
      expect(kept).toMatchObject({ verdict: 'intact', deleted: 0, proven: kept.size });
    }, 120_000);
  });

  describe('the hot store', () => {
    test('drops a day only after the archive was read back and proven, value by value', async () => {
      await drained(rig);
      await rig.ingest.stop();
      await archival[Symbol.asyncDispose]();
      // Everything here is of today. Archival's own events, also those to each organisation, would hold this day: when it ends it
      // seals them, which no ingest loads any more. So they are left out.
      await rig.clickhouse.exec(
        `ALTER TABLE cairn.events DELETE WHERE partition NOT IN (${freeAt}, ${heldAt})`,
        { mutations_sync: 2 },
      );
      archival = await open({ nowMs: () => Date.now() + 2 * DAY_MS });
      const hot = async (): Promise<string> => {
        await archival.run('hot');
        return lastRun('hot');
      };
      const rows = async (): Promise<number> => {
        const [row] = await rig.clickhouse.query<{ rows: number }>(
          'SELECT toUInt32(count()) AS rows FROM cairn.events',
        );
        return row?.rows ?? 0;
      };
      const before = await rows();
      expect(await hot()).toContain('in-kafka');
      await forgetInKafka();
      const change = (task: string) =>
        rig.clickhouse.exec(
          `ALTER TABLE cairn.events UPDATE task = '${task}' WHERE partition = ${heldAt} AND offset = 7`,
          { mutations_sync: 2 },
        );
      await change('forged');
      expect(await hot()).toContain('not-proven');
      expect(await rows()).toBe(before);
      await change('');
      expect(await hot()).toMatch(/"dropped":\["\d{4}-\d\d-\d\d"\]/);
      expect(await rows()).toBe(0);
    }, 180_000);

    /** The latest run of a job, as the log of the service has it, and what kept a day. */
    const lastRun = (job: string): string => {
      const lines = readFileSync(join(rig.directory, 'log', 'archival-here.log'), 'utf8').split('\n');
      const why = lines.filter((line) => line.includes('is kept hot')).slice(-2);
      return `${lines.findLast((line) => line.includes(`"job":"${job}"`))} ${why}`;
    };

    /** Its records are deleted up to the end, as when their time there is over. */
    const forgetInKafka = async (): Promise<void> => {
      const admin = new KafkaJs({
        brokers: [rig.parts.part('kafka').address],
        logLevel: logLevel.NOTHING,
      }).admin();
      await admin.connect();
      await admin.fetchTopicOffsets(TOPIC);
      const bounds = await rig.kafka.boundsOf(TOPIC);
      await admin.deleteTopicRecords({
        topic: TOPIC,
        partitions: [...bounds].map(([partition, { end }]) => ({ partition, offset: String(end) })),
      });
      await admin.disconnect();
    };
  });

  test('a segment that is gone without a tombstone is missing, and the log broken, by both verifiers', async () => {
    const [lost] = (await manifestsOf(heldAt)).slice(-2);
    for (const { key } of lost!.objects) rmSync(join(rig.directory, 's3', 'objects', BUCKET, key));
    const { ours, theirs } = await rig.verdicts(keys.root.key.vkey);
    for (const { code, verdict } of [ours, theirs]) {
      const log = verdict.logs.find(({ origin }) => origin.endsWith(`/${heldAt}`))!;
      expect([code, verdict.verdict, log.first_bad?.leaf, log.first_bad?.reason]).toEqual([
        1,
        'broken',
        lost!.first,
        'missing',
      ]);
    }
  }, 120_000);
});
