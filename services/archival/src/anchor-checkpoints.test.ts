import { Failure } from '@cairn/failure';
import { anchorCheckpointName, anchorEntriesName, timestampName } from '@cairn/ledger';
import { describe, expect, test } from '@jest/globals';
import { type Fault, faulty } from '../../../packages/adapters/test/object-store-faults.ts';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { ORIGIN, Rig } from '../test/archiver.ts';
import { DEPLOYMENT } from '../test/simulation.ts';
import { type AnchorOptions, anchorCheckpoints, type Cosigner, type Stamper } from './anchor-checkpoints.ts';
import { AnchorLog } from './anchor-log.ts';

const stamper: Stamper = {
  name: 'tsa',
  stamp: async (data) => ({ response: Buffer.from(`a timestamp over ${data.length} bytes`), atMs: 7 }),
};

async function rigWith(records: number): Promise<{ rig: Rig; gateway: Gateway }> {
  const gateway = new Gateway('acme', 'gw-1');
  const rig = await Rig.with([gateway]);
  rig.append(...gateway.stream(records));
  await rig.archive(10);
  return { rig, gateway };
}

async function optionsOf(rig: Rig, more: Partial<AnchorOptions> = {}): Promise<AnchorOptions> {
  return {
    store: rig.bucket,
    signing: rig.keys.signing,
    keys: await rig.knownKeys(),
    origins: [ORIGIN],
    stampers: [stamper],
    cosigners: [],
    notesLockMs: 86_400_000,
    nowMs: () => rig.nowMs,
    ...more,
  };
}

describe('a round of the anchor log', () => {
  test('adds every checkpoint since the round before, and an auditor finds them there', async () => {
    const { rig, gateway } = await rigWith(30);
    const log = new AnchorLog(DEPLOYMENT);
    expect(await anchorCheckpoints(await optionsOf(rig), log)).toMatchObject({ size: 4, added: 4 });
    expect(await anchorCheckpoints(await optionsOf(rig), log)).toMatchObject({ size: 4, added: 0 });
    rig.append(gateway.record());
    await rig.archive(10);
    // Another process, which has read nothing yet, goes on.
    expect(await anchorCheckpoints(await optionsOf(rig), new AnchorLog(DEPLOYMENT))).toMatchObject({
      size: 5,
      added: 1,
    });
    expect(await anchorCheckpoints(await optionsOf(rig), log)).toMatchObject({ size: 5, added: 0 });
    const { anchors, logs } = await rig.audit();
    expect(anchors).toMatchObject({ verdict: 'intact', size: 5 });
    expect(anchors.checkpoints.get(ORIGIN)?.map(({ size }) => size)).toEqual([10, 20, 30, 32, 33]);
    expect(logs.get(ORIGIN)?.verdict).toBe('intact');
  });

  test('is stamped once by each authority; one that is away is asked again by the next run', async () => {
    const { rig } = await rigWith(5);
    let asked = 0;
    let isAway = true;
    const other: Stamper = {
      name: 'other',
      stamp: async (data) => {
        asked += 1;
        if (isAway) throw new Failure({ code: 'timestamp.unreachable', retry: 'later', message: 'away' });
        return stamper.stamp(data);
      },
    };
    const log = new AnchorLog(DEPLOYMENT);
    const run = async () => anchorCheckpoints(await optionsOf(rig, { stampers: [stamper, other] }), log);
    expect((await run()).timestamps).toEqual([
      { name: 'tsa', atMs: 7, error: undefined },
      { name: 'other', atMs: undefined, error: 'away' },
    ]);
    isAway = false;
    await run();
    await run();
    expect(asked).toBe(2);
    expect(await rig.bucket.head(timestampName(1, 'other'))).toBeDefined();
  });

  test('shows a witness the proof from where the witness stands', async () => {
    const { rig, gateway } = await rigWith(30);
    const seen: [number, number][] = [];
    let stands = 0;
    const cosigner: Cosigner = {
      name: 'witness',
      async cosign(oldSize, proof, checkpoint) {
        seen.push([oldSize, proof.length]);
        if (oldSize !== stands) return { size: stands };
        stands = Number(Buffer.from(checkpoint).toString().split('\n')[1]);
        return { line: '— witness AAAAAA==\n', atMs: 9 };
      },
    };
    const log = new AnchorLog(DEPLOYMENT);
    await anchorCheckpoints(await optionsOf(rig, { cosigners: [cosigner] }), log);
    rig.append(gateway.record());
    await rig.archive(10);
    const round = await anchorCheckpoints(await optionsOf(rig, { cosigners: [cosigner] }), log);
    expect(round.cosignatures).toEqual([{ name: 'witness', atMs: 9, error: undefined }]);
    expect(seen).toEqual([
      [0, 0],
      [0, 0],
      [4, 1],
    ]);
  });

  test.each<Fault>(['before', 'after', 'doubled', 'altered'])(
    'whose store fails %s effect, at every call in turn, is finished by the next run',
    async (fault) => {
      const calls: string[] = [];
      const { rig: quiet } = await rigWith(30);
      const counted = faulty(quiet.bucket, ({ method, key }) => void calls.push(`${method} ${key}`));
      await anchorCheckpoints(await optionsOf(quiet, { store: counted }), new AnchorLog(DEPLOYMENT));
      for (const [at, call] of calls.entries()) {
        const { rig, gateway } = await rigWith(30);
        const broken = faulty(rig.bucket, ({ index }) => (index === at ? fault : undefined));
        await anchorCheckpoints(await optionsOf(rig, { store: broken }), new AnchorLog(DEPLOYMENT)).catch(
          () => {},
        );
        rig.append(gateway.record());
        await rig.archive(10);
        await anchorCheckpoints(await optionsOf(rig), new AnchorLog(DEPLOYMENT));
        await anchorCheckpoints(await optionsOf(rig), new AnchorLog(DEPLOYMENT));
        const { anchors } = await rig.audit();
        expect([call, anchors.verdict, anchors.checkpoints.get(ORIGIN)?.map(({ size }) => size)]).toEqual([
          call,
          'intact',
          [10, 20, 30, 32, 33],
        ]);
      }
    },
  );

  test('by two at the same time is one round', async () => {
    const { rig } = await rigWith(30);
    const options = await optionsOf(rig);
    const [one, other] = [new AnchorLog(DEPLOYMENT), new AnchorLog(DEPLOYMENT)];
    await Promise.all([anchorCheckpoints(options, one), anchorCheckpoints(options, other)]);
    expect(await Array.fromAsync(rig.bucket.listVersions('anchor/'))).toMatchObject([
      { key: anchorCheckpointName(4) },
      { key: anchorEntriesName(0) },
      { key: timestampName(4, 'tsa') },
    ]);
  });

  test('is refused when a checkpoint among its logs was not signed by the log', async () => {
    const { rig } = await rigWith(5);
    const forged = await Rig.with([]);
    await rig.bucket.putLocked(
      'checkpoint/audit.events.standard/0/00000000000000000009.note',
      await forged.bucket.get('key/00000000000000000000.note', { bytesMax: 65_536 }),
      { mode: 'COMPLIANCE', retainUntil: new Date(rig.nowMs + 60_000) },
    );
    await expect(anchorCheckpoints(await optionsOf(rig), new AnchorLog(DEPLOYMENT))).rejects.toBeInstanceOf(
      Failure,
    );
  });
});
