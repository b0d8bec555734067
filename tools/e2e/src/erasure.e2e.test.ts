import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Archival } from '@cairn/archival';
import { partitionOf } from '@cairn/event';
import { gatewaySubject, type Manifest, openManifest, personKeyName } from '@cairn/ledger';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type DeploymentKeys, signerOf } from '../../../services/archival/test/deployment-keys.ts';
import { type ArchiveRig, dayPolicy, eventually, lastArchived, startArchiveRig } from './archive-rig.ts';
import { drained, PARTITIONS, TOPIC } from './rig.ts';
import { CANARY, CONTROL, type SealedSubjects, sealedSubjects, writePem } from './sealed-subjects.ts';

/*
 * Half of an archive's segments end, and everybody in it is erased. The store keeps its own time, and nobody can set it: so the policy
 * keeps events for a day, and the gateway's clock was three days behind when it recorded the first half of them.
 */

const BUCKET = 'erasure';
const GATEWAY = 'gw-archive';
const DAY_MS = 86_400_000;
const SUBJECTS = 1_000;
/** Each half of the archive is cut in so many, at least. */
const CUTS = 2;
/** Archival locks everything at least so long. */
const LOCK_MS_LEAST = 60_000;

describe('an archive of which half the segments end and everybody is erased', () => {
  let rig: ArchiveRig;
  let archival: Archival | undefined;
  let keys: DeploymentKeys;
  let sealed: SealedSubjects;
  let behindMs = 3 * DAY_MS;
  let openedAt: number;
  /** The organisation and the command line record in partitions of which archival's own stream is in the second alone. */
  const own = partitionOf('cairn', 'archival', PARTITIONS);
  const org = nameWhere('acme', (name) => partitionOf(name, GATEWAY, PARTITIONS) !== own);
  const at = partitionOf(org, GATEWAY, PARTITIONS);
  const actsId = nameWhere('cli', (name) => partitionOf(org, name, PARTITIONS) === own);

  beforeAll(async () => {
    rig = await startArchiveRig({ bucket: BUCKET, nowMicros: () => (Date.now() - behindMs) * 1_000 });
    const policyFile = join(rig.directory, 'retention.yaml');
    writeFileSync(policyFile, dayPolicy('[]'));
    Object.assign(rig.env, { CAIRN_RETENTION_CONFIG: policyFile });
    archival = await rig.openArchival();
    keys = await rig.stateKeys();
    sealed = await sealedSubjects(rig, org);
    for (let half = 0; half < 2; half += 1) {
      for (let cut = 0; cut < CUTS; cut += 1) {
        await sealed.record(SUBJECTS / CUTS / 2);
        await rig.record(org, 1);
        await rig.archived();
      }
      openedAt ??= Date.now();
      behindMs = 0;
    }
  }, 300_000);
  afterAll(async () => {
    await archival?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
  }, 60_000);

  const manifests = async (): Promise<Manifest[]> => {
    const all: Manifest[] = [];
    for await (const { key } of rig.store.list(`manifest/${TOPIC}/${at}/`))
      all.push(openManifest(await rig.store.get(key, { bytesMax: 1 << 24 }), [keys.signing.archive.key]));
    return all;
  };
  const isOld = ({ timestamps }: Manifest): boolean => timestamps.max < (openedAt - DAY_MS) * 1_000;
  const eventsOf = (some: readonly Manifest[]): number =>
    some
      .flatMap(({ streams }) => streams.filter(({ gateway }) => gateway === GATEWAY))
      .reduce((sum, { events }) => sum + events, 0);
  const leavesOf = (some: readonly Manifest[]): number =>
    some.reduce((sum, { first, end }) => sum + end - first, 0);

  test('no raw value stands in Kafka, ClickHouse, the archive, a spool or a log of a service', async () => {
    const rows = async (text: string): Promise<number> => {
      const [row] = await rig.clickhouse.query<{ rows: number }>(
        'SELECT toUInt32(countIf(position(toString(tuple(*)), {text:String}) > 0)) AS rows FROM cairn.events',
        { text },
      );
      return row!.rows;
    };
    const all = await manifests();
    // The same searches find what stands beside it in the clear.
    expect(sealed.filesWith(CONTROL).some((file) => file.endsWith('.log'))).toBe(true);
    expect([await rows(CONTROL), await sealed.archivedWith(CONTROL, all)]).toEqual([SUBJECTS, SUBJECTS]);
    expect([sealed.filesWith(CANARY), await rows(CANARY), await sealed.archivedWith(CANARY, all)]).toEqual([
      [],
      0,
      0,
    ]);
  }, 120_000);

  test('a thousand subjects are erased: what was sealed opened before and opens no more, and each act is in the trail', async () => {
    const jane = signerOf(personKeyName('e2e', 'jane.doe'));
    keys.state('person', 'jane.doe', jane.key);
    await rig.stateKeys();
    const pem = writePem(join(rig.directory, 'jane.pem'), jane.privateKey);
    const acts = join(rig.directory, 'acts');
    const as = ['--archive', `s3://${BUCKET}`, '--by', 'jane.doe', '--key', pem, '--reason', 'Request 4711'];
    const env = {
      CAIRN_ROOT_KEY: keys.root.key.vkey,
      CAIRN_ACTS_ID: actsId,
      CAIRN_ACTS_DIRECTORY: acts,
    };
    const [subject, eventId] = [sealed.subjects.at(-1)!, sealed.eventIds.at(-1)!];
    const before = sealed.act(['unseal', eventId, ...as], env);
    expect(before).toMatchObject({ code: 0, stdout: expect.stringContaining(`${CANARY} ${subject}`) });

    const list = join(rig.directory, 'requests.txt');
    writeFileSync(list, sealed.subjects.map((one) => `${one}\n`).join(''));
    const erased = sealed.act(['subjects', 'erase', '--file', list, '--org', org, ...as], env);
    expect(erased).toMatchObject({ code: 0, stderr: expect.stringContaining(`${SUBJECTS} erased`) });
    const left = readdirSync(join(sealed.directory, org)).filter((name) => !name.endsWith('.erased.note'));
    expect(left).toEqual([]);
    const after = sealed.act(['unseal', eventId, ...as], env);
    expect(after).toMatchObject({ code: 1, stdout: expect.stringContaining('erased [subject.erased]') });
    expect(after.stdout).not.toContain(CANARY);

    const vkey = readFileSync(join(acts, org, 'keys', `${org}.vkey`), 'utf8').trim();
    keys.state('gateway', gatewaySubject(org, actsId), { vkey });
    await rig.stateKeys();
    await drained(rig);
    const told = await rig.clickhouse.query<{ method: string; status: string; count: number }>(
      `SELECT method, toString(result_status) AS status, toUInt32(uniqExact(event_id)) AS count FROM cairn.events
       WHERE gateway_id = {id:String} AND method != '' GROUP BY ALL ORDER BY ALL`,
      { id: actsId },
    );
    expect(told).toEqual([
      { method: 'event/unseal', status: 'failure', count: 1 },
      { method: 'event/unseal', status: 'success', count: 1 },
      { method: 'subject/erase', status: 'success', count: SUBJECTS },
    ]);
    await eventually('what the command line recorded is archived', async () => {
      const [row] = await rig.clickhouse.query<{ last: number }>(
        'SELECT toUInt32(max(offset)) AS last FROM cairn.events WHERE gateway_id = {id:String}',
        { id: actsId },
      );
      return (await lastArchived(rig.store, own)) >= row!.last;
    });
  }, 300_000);

  test('both verifiers find it intact, with the exact counts of what is there and of what was deleted', async () => {
    await rig.recorder.close(20_000);
    await drained(rig);
    await eventually('the last events of the gateway are archived', async () => {
      const [row] = await rig.clickhouse.query<{ last: number }>(
        `SELECT toUInt32(max(offset)) AS last FROM cairn.events WHERE partition = ${at} AND gateway_id = '${GATEWAY}'`,
      );
      return (await lastArchived(rig.store, at)) >= row!.last;
    });
    await sleep(Math.max(0, openedAt + LOCK_MS_LEAST + 3_000 - Date.now()));
    const all = await manifests();
    const old = all.filter(isOld);
    const gone = async (): Promise<number> =>
      (await Array.fromAsync(rig.store.list(`tombstone/${TOPIC}/${at}/`))).filter(({ key }) =>
        key.endsWith('.done.note'),
      ).length;
    await archival!.run('expire');
    await archival!.run('anchor');
    const [counted] = await rig.clickhouse.query<{ events: number }>(
      'SELECT toUInt32(count()) AS events FROM cairn.events WHERE gateway_id = {gateway:String}',
      { gateway: GATEWAY },
    );
    expect([await gone(), old.length >= CUTS]).toEqual([old.length, true]);
    // Nothing comes behind what is verified.
    await archival![Symbol.asyncDispose]();
    archival = undefined;
    await rig.stateKeys();

    const { ours, theirs } = await rig.verdicts(keys.root.key.vkey);
    expect(theirs).toEqual(ours);
    const deleted = leavesOf(old);
    const log = ours.verdict.logs.find(({ origin }) => origin.endsWith(`/${at}`))!;
    expect(log).toMatchObject({ verdict: 'intact', deleted, first_bad: null });
    expect(log.size - log.deleted).toBe(log.proven);
    const stream = log.streams.find(({ gateway }) => gateway === GATEWAY)!;
    expect(stream).toMatchObject({ verdict: 'intact', deleted: eventsOf(old) });
    expect(stream.events + stream.deleted).toBe(counted!.events);
    // Of each subject one event of its key and one of its value.
    expect(Math.min(stream.events, stream.deleted)).toBeGreaterThanOrEqual(SUBJECTS + CUTS);
    const living = all.filter((manifest) => !isOld(manifest));
    expect(await sealed.archivedWith(CONTROL, living)).toBe(SUBJECTS / 2);
    const acted = ours.verdict.logs
      .find(({ origin }) => origin.endsWith(`/${own}`))!
      .streams.filter(({ gateway }) => gateway === actsId);
    // Two unsealings and the erasures: each run of the command is a stream.
    expect(acted.map(({ verdict }) => verdict)).toEqual(['intact', 'intact', 'intact']);
  }, 300_000);
});

/** The first name of a row for which something holds. */
function nameWhere(prefix: string, holds: (name: string) => boolean): string {
  return Array.from({ length: 100 }, (_, number) => `${prefix}-${number}`).find(holds)!;
}
