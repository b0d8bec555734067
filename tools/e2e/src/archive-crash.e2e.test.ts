import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openObjectStore } from '@cairn/adapters';
import { S3_ACCESS_KEY, S3_SECRET_KEY } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type OpensslAuthority, startAuthority } from '../../../packages/adapters/test/openssl-authority.ts';
import { type Lane, openLane, type Step, type Strike, stateLaneKeys, type Trap } from './archival-lane.ts';
import { type ArchiveRig, eventually, lastArchived, startArchiveRig } from './archive-rig.ts';
import { drained } from './rig.ts';

/*
 * Every write of archival in turn, while events come: what it puts into the store and commits to the broker (proxies know it by
 * the request), and what it writes to its own disk (strace knows it by the system call). Several archives are made of one
 * topic beside each other, so that the kills do not take all day.
 */

const LANES = 4;
/** Of a service, whatever hangs. */
const MEMORY_BYTES_MAX = 512 * 1024 ** 2;
const ORGS = ['acme', 'borealis'];

const STEPS: readonly Step[] = [
  'offset before',
  'segment/',
  'manifest/',
  'checkpoint/',
  'offset after',
  'anchor/entries/',
  'anchor/checkpoint/',
  'anchor/timestamp/',
];
const STRIKES: readonly Strike[] = ['unapplied', 'unreported', 'killed before', 'killed after'];
/** Where the first start of each lane ends, which makes its keys. */
const FIRST: readonly Trap[] = [
  { call: 'link', when: 1 },
  { call: 'link', when: 3 },
  { call: 'fsync', when: 2 },
  { call: 'fsync', when: 5 },
];
/** Of each lane while it runs. Its spool is written with O_DSYNC, so a write fails as its sync does. */
const DISK_FAULTS = [
  'pwrite64:error=ENOSPC',
  'pwrite64:error=EIO',
  'pwrite64,fdatasync,fsync:error=ENOSPC',
  'pwrite64,fdatasync,fsync:error=EIO',
] as const;
const UNRECORDED = 'cairn_archival_findings_unrecorded_total';
/** Of each call, more than one start makes; the last is the proof. */
const CALLS = { fdatasync: 12, fsync: 12, rename: 6 } as const;

describe('archival', () => {
  let rig: ArchiveRig;
  let authority: OpensslAuthority;
  let lanes: Lane[];
  let going = true;
  let flow: Promise<void>;

  beforeAll(async () => {
    rig = await startArchiveRig({ bucket: 'unused' });
    authority = await startAuthority('tsa');
    const ca = join(rig.directory, 'ca.pem');
    writeFileSync(ca, authority.authority.caCertificates);
    const env = {
      CAIRN_ARCHIVAL_SEGMENT_AGE_MS_MAX: '1000',
      CAIRN_ARCHIVAL_JOB_ANCHOR: '*/2 * * * * *',
      CAIRN_TIMESTAMP_AUTHORITIES: `tsa=${authority.authority.url}=${ca}`,
    };
    lanes = await Promise.all(Array.from({ length: LANES }, (_, number) => openLane(rig, number, env)));
    const record = async (): Promise<void> => {
      while (going) {
        for (const org of ORGS) await rig.record(org, 2);
        await sleep(100);
      }
    };
    flow = record();
  }, 240_000);
  afterAll(async () => {
    going = false;
    await flow;
    for (const lane of lanes ?? []) await lane[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
  }, 60_000);

  /** Each piece of work by whichever lane is free. */
  const share = async <T>(work: readonly T[], act: (lane: Lane, item: T) => Promise<void>): Promise<void> => {
    const left = [...work];
    await Promise.all(
      lanes.map(async (lane) => {
        for (let item = left.shift(); item !== undefined; item = left.shift()) await act(lane, item);
      }),
    );
  };

  const checkpointsOf = async ({ bucket }: Lane): Promise<number> => {
    const s3 = { accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY, bucket };
    await using store = await openObjectStore({ ...s3, endpoint: rig.parts.part('s3').address });
    return (await Array.fromAsync(store.list('checkpoint/'))).length;
  };
  /** Runs of its jobs that are in the table. */
  const runsRecorded = async ({ instance }: Lane): Promise<number> => {
    const [row] = await rig.clickhouse.query<{ runs: number }>(
      `SELECT toUInt32(count()) AS runs FROM cairn.events WHERE gateway_id = {instance:String} AND kind = 'admin'`,
      { instance },
    );
    return row?.runs ?? 0;
  };

  test('killed while it makes its keys: the next start goes on', async () => {
    const reached = await Promise.all(lanes.map((lane, at) => lane.startInto(FIRST[at]!, 'SIGKILL')));
    expect(reached).toEqual(lanes.map(() => true));
  }, 120_000);

  test('struck at every request that writes, before and after its effect, killed and not', async () => {
    await Promise.all(lanes.map((lane) => lane.start()));
    const struck: string[] = [];
    await share(
      STEPS.flatMap((step) => STRIKES.map((strike) => ({ step, strike }))),
      async (lane, { step, strike }) => {
        await lane.strike(step, strike);
        struck.push(`${step} ${strike}`);
      },
    );
    expect(struck.length).toBe(STEPS.length * STRIKES.length);
    await Promise.all(lanes.map((lane) => lane.stop()));
  }, 400_000);

  test('killed at every sync and rename of its own disk that a start makes', async () => {
    const reached: string[] = [];
    const passed: string[] = [];
    await share(
      Object.entries(CALLS).flatMap(([call, most]) =>
        Array.from({ length: most }, (_, at) => ({ call: call as keyof typeof CALLS, when: at + 1 })),
      ),
      async (lane, trap) => {
        (((await lane.startInto(trap, 'SIGKILL')) ? reached : passed) as string[]).push(
          `${trap.call} ${trap.when}`,
        );
      },
    );
    for (const call of ['fdatasync 1', 'fdatasync 3', 'fsync 2', 'rename 1']) expect(reached).toContain(call);
    for (const [call, most] of Object.entries(CALLS)) expect(passed).toContain(`${call} ${most}`);
  }, 400_000);

  test('whose disk fails a write, a sync or a rename with EIO or ENOSPC while it starts', async () => {
    const faults = ['EIO', 'ENOSPC'] as const;
    const traps: Trap[] = [
      { call: 'fdatasync', when: 1 },
      { call: 'fdatasync', when: 2 },
      { call: 'fdatasync', when: 4 },
      { call: 'fsync', when: 1 },
      { call: 'fsync', when: 2 },
      { call: 'rename', when: 1 },
    ];
    const missed: string[] = [];
    await share(
      faults.flatMap((fault) => traps.map((trap) => ({ trap, fault }))),
      async (lane, { trap, fault }) => {
        if (!(await lane.startInto(trap, fault))) missed.push(`${trap.call} ${trap.when} ${fault}`);
      },
    );
    expect(missed).toEqual([]);
  }, 300_000);

  test('whose own disk fails while it archives: evidence is written meanwhile, and it records again when the disk is back', async () => {
    await Promise.all(
      lanes.map(async (lane, at) => {
        await lane.start();
        {
          await using _ = lane.failDisk(DISK_FAULTS[at]!);
          await eventually(
            `events of its own are not recorded under ${DISK_FAULTS[at]}`,
            async () => (await lane.metric(UNRECORDED)) > 1,
          );
          const checkpoints = await checkpointsOf(lane);
          await eventually('it archives', async () => (await checkpointsOf(lane)) > checkpoints);
        }
        const runs = await runsRecorded(lane);
        await eventually('it records again', async () => (await runsRecorded(lane)) > runs);
        await lane.stop();
      }),
    );
  }, 120_000);

  test('whose store hangs while 40,000 events come: its memory stays bounded, and it is done when the store is back', async () => {
    const [lane] = lanes as [Lane];
    await lane.start();
    const before = lane.memoryBytes();
    lane.hangStore(true);
    let most = before;
    for (let batch = 0; batch < 40; batch += 1) {
      await rig.record(ORGS[0]!, 1_000);
      most = Math.max(most, lane.memoryBytes());
    }
    await sleep(2_000);
    most = Math.max(most, lane.memoryBytes());
    lane.hangStore(false);
    expect(most).toBeLessThan(MEMORY_BYTES_MAX);
    await lane.stop();
  }, 300_000);

  test('afterwards every archive holds every event once and is intact, by both verifiers', async () => {
    await Promise.all(lanes.map((lane) => lane.start()));
    going = false;
    await flow;
    await rig.recorder.close(20_000);
    await drained(rig);
    const rows = await rig.clickhouse.query<{ partition: number; last: number; rows: number }>(
      `SELECT partition, max(offset) AS last, toUInt32(count()) AS rows FROM cairn.events
       WHERE gateway_id = 'gw-archive' GROUP BY partition`,
      {},
      { output_format_json_quote_64bit_integers: 0 },
    );
    for (const { bucket } of lanes) {
      const s3 = { accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY, bucket };
      await using store = await openObjectStore({ ...s3, endpoint: rig.parts.part('s3').address });
      for (const { partition, last } of rows)
        await eventually(
          `${bucket} holds partition ${partition}`,
          async () => (await lastArchived(store, partition)) >= last,
        );
    }
    await Promise.all(lanes.map((lane) => lane.stop()));
    const recorded = rows.reduce((sum, { rows: count }) => sum + count, 0);
    for (const lane of lanes) {
      const root = await stateLaneKeys(rig, lane, lanes, ORGS);
      const { ours, theirs } = await rig.verdicts(root, lane.bucket);
      const logs = ours.verdict.logs;
      const broken = logs.flatMap(({ findings, streams }) => [
        ...findings,
        ...streams.filter(
          ({ verdict, reasons }) => verdict !== 'intact' && !reasons.every((one) => one === 'unsealed-tail'),
        ),
      ]);
      expect([lane.bucket, broken]).toEqual([lane.bucket, []]);
      expect(logs.map(({ size, proven }) => proven - size)).toEqual(logs.map(() => 0));
      const streams = logs.flatMap((log) => log.streams.filter(({ gateway }) => gateway === 'gw-archive'));
      expect(
        streams.map(({ verdict, first_seq: first, last_seq: last, events }) => [
          verdict,
          first,
          last + 1 - events,
        ]),
      ).toEqual(streams.map(() => ['intact', 0, 0]));
      expect(streams.reduce((sum, { events }) => sum + events, 0)).toBe(recorded);
      expect(theirs).toEqual(ours);
    }
  }, 300_000);
});
