import { frame } from '@cairn/event';
import { checkpointName, manifestName } from '@cairn/ledger';
import { recordOf } from '@cairn/runtime';
import { describe, expect, test } from '@jest/globals';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { NOW_MS, ORIGIN, Rig } from '../test/archiver.ts';

const none = async (): Promise<void> => {};

describe('a partition is opened', () => {
  test('where the archive ends, whatever Kafka’s offset says', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    await rig.archive(10);
    rig.append(...Array.from({ length: 5 }, () => gateway.record()));
    const log = await rig.open();
    expect(log).toMatchObject({ committed: 22, start: 21, findings: [], anchor: { offset: 21 } });
    expect(await rig.take(log, rig.records.slice(21), none)).toEqual([]);
    await rig.endSegment(log);
    expect(await rig.report()).toMatchObject({ verdict: 'intact', proven: 27 });
  });

  test('and remembers what was sent twice across it', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    const datums = gateway.stream(1_500);
    rig.append(...datums);
    await rig.archive(400);
    rig.append(...datums.slice(-900));
    const log = await rig.open();
    await rig.take(log, rig.records.slice(log.start), none);
    expect(log.segment).toBeUndefined();
  });

  test('and knows another event under a number that was archived before', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(1_500));
    await rig.archive(400);
    gateway.seq -= 1_000;
    rig.append(gateway.record('tool_call', 'another'));
    const log = await rig.open();
    const found = await rig.take(log, rig.records.slice(log.start), none);
    expect(found.map(({ reason }) => reason)).toEqual(['fork']);
    expect(log.segment?.end).toBe(1_503);
  });

  test('and refused when Kafka holds another record than the one that was archived last', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    await rig.archive(50);
    const other = new Gateway('acme', 'gw-1');
    other.restart();
    rig.records.splice(-1, 1, recordOf(21, frame(1, other.record('stream_open')), NOW_MS));
    const log = await rig.open();
    await expect(rig.take(log, rig.records.slice(log.start), none)).rejects.toMatchObject({
      code: 'archive.rollback',
    });
  });

  test('and refused when Kafka ends before the archive does', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    await rig.archive(50);
    rig.records.length = 20;
    await expect(rig.open()).rejects.toMatchObject({ code: 'archive.rollback' });
  });

  test('with a finding when Kafka deleted records that were not archived', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    await rig.archive(50);
    rig.append(...gateway.stream(20));
    rig.logFirst = 30;
    const log = await rig.open();
    expect(log.start).toBe(30);
    expect(log.findings).toMatchObject([{ reason: 'log-lost', at: 22 }]);
  });

  test('when its latest checkpoint was hidden, and says so', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    await rig.archive(11);
    rig.bucket.hide(checkpointName(ORIGIN, 22));
    const log = await rig.open();
    expect(log.committed).toBe(22);
    expect(log.findings).toMatchObject([{ reason: 'disturbed', at: 22 }]);
  });

  test('by the manifest that was put first when a newer one stands before it, and says so', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    await rig.archive(11);
    rig.bucket.replace(manifestName(ORIGIN, 0), Buffer.from('another'));
    const log = await rig.open();
    expect(log).toMatchObject({ committed: 22, findings: [{ reason: 'disturbed', at: 0 }] });
  });

  test('and refused when a manifest is missing', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    await rig.archive(11);
    const [{ version } = { version: '' }] = await Array.fromAsync(
      rig.bucket.listVersions(manifestName(ORIGIN, 0)),
    );
    rig.bucket.lose(manifestName(ORIGIN, 0), version);
    await expect(rig.open()).rejects.toMatchObject({ code: 'archive.broken' });
  });
});

describe('streams are watched', () => {
  test('a whole stream with its opening and seals has no finding', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    gateway.restart();
    rig.append(...gateway.stream(20));
    expect(await rig.take(await rig.open(), rig.records, none)).toEqual([]);
  });

  test('across an interruption as if there were none', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(20));
    await rig.archive(11);
    rig.append(gateway.record(), gateway.record('stream_close'));
    gateway.restart();
    rig.append(...gateway.stream(3));
    const log = await rig.open();
    expect(await rig.take(log, rig.records.slice(log.start), none)).toEqual([]);
  });

  test.each([
    ['gap', (datums: Uint8Array[]) => datums.splice(4, 2)],
    ['bad-signature', (datums: Uint8Array[]) => void (datums.at(-1)![datums.at(-1)!.length - 1]! ^= 1)],
    ['not-opened', (datums: Uint8Array[]) => datums.splice(0, 1)],
  ])('%s is found', async (reason, spoil) => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    const datums = gateway.stream(10);
    spoil(datums);
    rig.append(...datums);
    const found = await rig.take(await rig.open(), rig.records, none);
    expect(found.map((finding) => finding.reason)).toEqual([reason]);
  });

  test('fork, link, after-close, unlinked-epoch, unknown-key and unsealed-tail are found', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const stranger = new Gateway('acme', 'gw-2');
    const rig = await Rig.with([gateway]);
    rig.append(...gateway.stream(5));
    const { seq, head } = gateway;
    rig.append(gateway.record('tool_call', 'one'));
    gateway.seq = seq;
    gateway.head = head;
    rig.append(gateway.record('tool_call', 'two')); // the same number, another event
    rig.append(gateway.record()); // linked to the second
    rig.append(gateway.record('stream_close'), gateway.record());
    gateway.restart(false);
    rig.append(gateway.record('stream_open'));
    rig.append(...Array.from({ length: 257 }, () => gateway.record()));
    rig.append(...stranger.stream(1));
    const found = await rig.take(await rig.open(), rig.records, none);
    expect(found.map(({ reason }) => reason)).toEqual([
      'fork',
      'link',
      'after-close',
      'unlinked-epoch',
      'unsealed-tail',
      'unknown-key',
    ]);
  });

  test('a stream that falls silent is found once, until it speaks again; one that was closed is not', async () => {
    const [gateway, closed] = [new Gateway('acme', 'gw-1'), new Gateway('acme', 'gw-2')];
    const rig = await Rig.with([gateway, closed]);
    rig.append(...gateway.stream(3), ...closed.stream(3), closed.record('stream_close'));
    const log = await rig.open();
    await rig.take(log, rig.records, none);
    const silent = (afterMs: number) =>
      log.watches.silent(NOW_MS + afterMs).map(({ reason, stream }) => [reason, stream?.gatewayId]);
    expect(silent(50_000)).toEqual([]);
    expect(silent(70_000)).toEqual([['silence', 'gw-1']]);
    expect(silent(80_000)).toEqual([]);
  });
});
