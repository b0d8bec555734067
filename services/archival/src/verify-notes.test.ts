import { anchorCheckpointName, checkpointName, manifestName } from '@cairn/ledger';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { ORIGIN, Rig } from '../test/archiver.ts';
import { DEPLOYMENT } from '../test/simulation.ts';
import { anchorCheckpoints } from './anchor-checkpoints.ts';
import { AnchorLog } from './anchor-log.ts';
import { type SizesSeen, verifyNotes } from './verify-notes.ts';

describe('the notes of an archive', () => {
  let rig: Rig;
  let anchors: AnchorLog;
  let seen: SizesSeen;
  beforeEach(async () => {
    const gateway = new Gateway('acme', 'gw-1');
    rig = await Rig.with([gateway]);
    // Segments of leaves 0 to 9, 10 to 19, 20 to 29.
    rig.append(...gateway.stream(28));
    await rig.archive(10);
    anchors = new AnchorLog(DEPLOYMENT);
    seen = new Map();
  });

  const anchor = async (): Promise<void> => {
    await anchorCheckpoints(
      {
        store: rig.bucket,
        signing: rig.keys.signing,
        keys: await rig.knownKeys(),
        origins: [ORIGIN],
        stampers: [],
        cosigners: [],
        notesLockMs: 86_400_000,
        nowMs: () => rig.nowMs,
      },
      anchors,
    );
  };
  const found = async (): Promise<string[]> => {
    const findings: string[] = [];
    await verifyNotes(
      {
        store: rig.bucket,
        keys: await rig.knownKeys(),
        origins: [ORIGIN],
        anchors,
        onFinding: ({ reason, at, detail }) => void findings.push(`${reason} ${at}: ${detail}`),
      },
      seen,
    );
    return findings;
  };
  const lose = async (key: string): Promise<void> => {
    for (const { version } of await Array.fromAsync(rig.bucket.listVersions(key)))
      rig.bucket.lose(key, version);
  };

  test('that nobody touched give no finding, also while a segment is being written', async () => {
    await anchor();
    expect(await found()).toEqual([]);
    const begun = manifestName(ORIGIN, 30);
    await rig.bucket.putLocked(begun, Buffer.from('begun'), {
      mode: 'COMPLIANCE',
      retainUntil: new Date(rig.nowMs + 60_000),
    });
    expect(await found()).toEqual([]);
  });

  test.each([
    ['manifest', manifestName(ORIGIN, 10), 10],
    ['last manifest', manifestName(ORIGIN, 20), 20],
    ['checkpoint', checkpointName(ORIGIN, 10), 10],
    ['last checkpoint', checkpointName(ORIGIN, 30), 30],
    ['anchor checkpoint', anchorCheckpointName(3), 3],
  ])(
    'of which a %s is replaced by a newer version or hidden behind a delete marker: named',
    async (_, key, at) => {
      await anchor();
      rig.bucket.replace(key, Buffer.from('another'));
      expect(await found()).toEqual([`disturbed ${at}: ${key} was replaced by a newer version`]);
      rig.bucket.hide(key);
      expect(await found()).toEqual([`disturbed ${at}: ${key} was hidden by a newer version`]);
    },
  );

  test.each([
    ['first manifest', manifestName(ORIGIN, 0), 0],
    ['manifest', manifestName(ORIGIN, 10), 10],
    ['last manifest', manifestName(ORIGIN, 20), 20],
    ['checkpoint', checkpointName(ORIGIN, 20), 20],
  ])('of which a %s is gone with all its versions: named', async (_, key, at) => {
    await lose(key);
    expect(await found()).toEqual([`missing ${at}: ${key} is not there`]);
  });

  test('of which the last checkpoint is gone: named, when it was anchored', async () => {
    await anchor();
    await lose(checkpointName(ORIGIN, 30));
    expect(await found()).toEqual([
      `rollback 20: ${checkpointName(ORIGIN, 30)} was there and is not: the log ends at 20`,
    ]);
  });

  test('of which the last checkpoint is gone: named, when an earlier run saw it', async () => {
    expect(await found()).toEqual([]);
    await lose(checkpointName(ORIGIN, 30));
    const rollback = `rollback 20: ${checkpointName(ORIGIN, 30)} was there and is not: the log ends at 20`;
    expect(await found()).toEqual([rollback]);
    expect(await found()).toEqual([rollback]);
  });

  test('of which the last anchor checkpoint is gone: named', async () => {
    await anchor();
    await lose(anchorCheckpointName(3));
    expect(await found()).toEqual([
      `rollback 0: ${anchorCheckpointName(3)} was there and is not: the log ends at 0`,
    ]);
  });

  test('of which the last checkpoint is an earlier one put in its place: named', async () => {
    await anchor();
    const key = checkpointName(ORIGIN, 30);
    const earlier = await rig.bucket.get(checkpointName(ORIGIN, 20), { bytesMax: 1 << 16 });
    await lose(key);
    rig.bucket.replace(key, Buffer.from(earlier));
    expect(await found()).toEqual([`checkpoint-form 30: ${key} is a checkpoint of 20`]);
  });

  test('of which the last checkpoint is of no key: named', async () => {
    const key = checkpointName(ORIGIN, 30);
    await lose(key);
    rig.bucket.replace(key, Buffer.from('no note'));
    const [finding, ...more] = await found();
    expect(finding).toContain(`checkpoint-form 30: ${key} does not open`);
    expect(more).toEqual([]);
  });
});
