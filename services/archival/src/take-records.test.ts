import { gatewaySubject } from '@cairn/ledger';
import { describe, expect, test } from '@jest/globals';
import { Gateway, seedFrom, signerOf } from '../../../packages/ledger/test/deployment.ts';
import { NOW_MS, Rig } from '../test/archiver.ts';

const none = async (): Promise<void> => {};
const DAY_MS = 86_400_000;

describe('the signature of a stream', () => {
  test('by a key that was stated after the log was opened is judged by it, and no finding', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([]);
    const log = await rig.open();
    rig.append(...gateway.stream(3));
    rig.keys.state('gateway', gatewaySubject('acme', 'gw-1'), gateway.signer.key);
    await rig.keys.store(rig.bucket, new Date(NOW_MS + DAY_MS));
    expect(await rig.take(log, rig.records, none)).toEqual([]);
  });

  test('by a key that nobody stated is told once for each epoch', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([]);
    const log = await rig.open();
    rig.append(...gateway.stream(3), gateway.record('seal'));
    gateway.restart();
    rig.append(...gateway.stream(3));
    const found = await rig.take(log, rig.records, none);
    expect(found.map(({ reason }) => reason)).toEqual(['unknown-key', 'unknown-key']);
  });

  test('that does not verify by the key that was stated since is a finding', async () => {
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([]);
    const log = await rig.open();
    rig.append(gateway.record('stream_open'));
    const forged = gateway.record('seal');
    forged[forged.length - 1]! ^= 1;
    rig.append(forged);
    await rig.take(log, rig.records.slice(0, 1), none);
    rig.keys.state('gateway', gatewaySubject('acme', 'gw-1'), gateway.signer.key);
    const other = signerOf(gateway.signer.key.name, seedFrom(200));
    rig.keys.state('gateway', gatewaySubject('acme', 'gw-1'), other.key);
    await rig.keys.store(rig.bucket, new Date(NOW_MS + DAY_MS));
    await log.keys.renew();
    const found = await rig.take(log, rig.records.slice(1), none);
    expect(found.map(({ reason }) => reason)).toEqual(['bad-signature']);
  });
});
