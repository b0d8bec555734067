import { describe, expect, test } from '@jest/globals';
import {
  Archive,
  audit,
  type Bucket,
  Gateway,
  Keys,
  ORIGIN,
  seedFrom,
  signerOf,
} from '../test/deployment.ts';
import {
  checkpointName,
  manifestName,
  segmentName,
  sha256Text,
  signCheckpoint,
  tombstoneName,
} from './index.ts';

/** Three gateways whose events lie among each other, in three segments. */
function deployment(): { archive: Archive; keys: Keys; gateways: Gateway[] } {
  const gateways = [new Gateway('acme', 'gw-1'), new Gateway('acme', 'gw-2'), new Gateway('other', 'gw-1')];
  const keys = new Keys(...gateways);
  const archive = new Archive(keys);
  const streams = gateways.map((gateway) => gateway.stream(200));
  for (let at = 0; at < 202; at += 1) for (const stream of streams) archive.append(stream[at]!);
  archive.cut();
  for (const gateway of gateways) archive.append(gateway.record(), gateway.record('seal'));
  archive.cut();
  for (const gateway of gateways) {
    archive.append(gateway.record('stream_close'));
    gateway.restart();
    archive.append(...gateway.stream(10));
  }
  archive.cut();
  return { archive, keys, gateways };
}

const copy = (bucket: Bucket): Bucket => new Map(bucket);

describe('a log', () => {
  test('as archival writes it is intact, and its events are counted', () => {
    const { archive, keys } = deployment();
    const report = audit(archive.bucket, keys.root.key);
    expect(report).toMatchObject({
      verdict: 'intact',
      size: 3 * (202 + 2 + 13),
      proven: 3 * 217,
      deleted: 0,
      findings: [],
    });
    expect(report.streams).toHaveLength(6);
    for (const { verdict, reasons, closed, epoch, authenticatedTo, lastSeq } of report.streams) {
      expect({ verdict, reasons, closed }).toEqual({ verdict: 'intact', reasons: [], closed: epoch === 1 });
      expect(authenticatedTo).toBe(lastSeq);
    }
    expect(report.population.map(({ orgId, gatewayId, events }) => [orgId, gatewayId, events])).toEqual([
      ['acme', 'gw-1', 217],
      ['acme', 'gw-2', 217],
      ['other', 'gw-1', 217],
    ]);
  });

  test('whose segment is missing is broken, and its other segments are proven', () => {
    const { archive, keys } = deployment();
    archive.bucket.delete(segmentName(ORIGIN, 606, 1));
    const report = audit(archive.bucket, keys.root.key);
    expect(report).toMatchObject({
      verdict: 'broken',
      firstBadLeaf: 606,
      proven: 3 * 215,
      reasons: { missing: 1, 'history-missing': 3 },
    });
    // What the missing segment had of a stream nobody can judge; the others are as they were.
    expect(report.streams.map(({ epoch, verdict, reasons }) => [epoch, verdict, reasons])).toEqual(
      [1, 2, 1, 2, 1, 2].map((epoch) =>
        epoch === 1 ? [1, 'not verifiable here', ['history-missing']] : [2, 'intact', []],
      ),
    );
  });

  test('whose segments were deleted under policy stays intact, with exact counts', () => {
    const { archive, keys } = deployment();
    archive.expire(0);
    archive.expire(606);
    const report = audit(archive.bucket, keys.root.key);
    expect(report).toMatchObject({ verdict: 'intact', proven: 39, deleted: 612, reasons: { deleted: 2 } });
    for (const { epoch, verdict, events, deleted } of report.streams) {
      expect({ verdict, events, deleted }).toEqual(
        epoch === 1
          ? { verdict: 'intact', events: 1, deleted: 204 }
          : { verdict: 'intact', events: 12, deleted: 0 },
      );
    }
    expect(report.population.filter(({ day }) => day === '').map(({ events }) => events)).toEqual([
      204, 204, 204,
    ]);
  });

  test('whose tombstone was not anchored, or is of another segment, does not pass for it', () => {
    const { archive, keys } = deployment();
    archive.expire(0, false);
    expect(audit(archive.bucket, keys.root.key)).toMatchObject({
      verdict: 'not verifiable here',
      reasons: { 'tombstone-late': 1 },
    });
    const other = deployment();
    other.archive.expire(606);
    other.archive.bucket.delete(segmentName(ORIGIN, 0, 1));
    other.archive.bucket.set(tombstoneName(ORIGIN, 0), other.archive.bucket.get(tombstoneName(ORIGIN, 606))!);
    expect(audit(other.archive.bucket, other.keys.root.key)).toMatchObject({
      verdict: 'broken',
      firstBadLeaf: 0,
      reasons: { missing: 1, 'tombstone-form': 1 },
    });
  });

  test('that lost a manifest or a checkpoint in its middle is broken there', () => {
    const { archive, keys } = deployment();
    const bucket = copy(archive.bucket);
    bucket.delete(manifestName(ORIGIN, 606));
    expect(audit(bucket, keys.root.key)).toMatchObject({
      verdict: 'broken',
      firstBadLeaf: 606,
      reasons: { missing: 1 },
    });
    const without = copy(archive.bucket);
    without.delete(checkpointName(ORIGIN, 612));
    expect(audit(without, keys.root.key)).toMatchObject({
      verdict: 'broken',
      proven: 651,
      reasons: { missing: 1 },
    });
  });

  test('that was rolled back behind an anchored checkpoint is broken', () => {
    const { archive, keys } = deployment();
    archive.anchor(archive.bucket.get(checkpointName(ORIGIN, 651))!);
    expect(audit(archive.bucket, keys.root.key)).toMatchObject({ verdict: 'intact' });
    archive.bucket.delete(checkpointName(ORIGIN, 651));
    expect(audit(archive.bucket, keys.root.key)).toMatchObject({
      verdict: 'broken',
      reasons: { rollback: 1 },
    });
  });

  test('with another root than was anchored shows two histories', () => {
    const { archive, keys } = deployment();
    const forged = signCheckpoint(
      { origin: ORIGIN, size: 612, root: sha256Text(new Uint8Array(1)) },
      keys.log,
    );
    archive.anchor(forged);
    expect(audit(archive.bucket, keys.root.key)).toMatchObject({
      verdict: 'broken',
      reasons: { 'split-view': 1 },
    });
  });

  test('of which the auditor knows no keys is not verifiable, and not called broken', () => {
    const { archive } = deployment();
    const keys = new Keys();
    const bucket = copy(archive.bucket);
    for (const name of bucket.keys()) if (name.startsWith('key/')) bucket.delete(name);
    expect(audit(bucket, keys.root.key)).toMatchObject({ verdict: 'not verifiable here', size: 0 });
  });

  test('whose keys were rotated stays intact: each signature is judged at its position', () => {
    const gateway = new Gateway('acme', 'gw-1');
    const keys = new Keys(gateway);
    const archive = new Archive(keys);
    archive.append(...gateway.stream(5));
    archive.cut();
    const old = keys.archive;
    keys.add('archive', ORIGIN, old.key, 0, 8);
    const next = signerOf(old.key.name, seedFrom(90));
    keys.add('archive', ORIGIN, next.key, 8);
    Object.assign(keys, { archive: next });
    const rotated = new Archive(keys);
    const again = new Gateway('acme', 'gw-1');
    Object.assign(keys, { archive: old });
    rotated.append(...again.stream(5));
    rotated.cut();
    Object.assign(keys, { archive: next });
    rotated.append(again.record(), again.record('seal'));
    rotated.cut();
    expect(audit(rotated.bucket, keys.root.key)).toMatchObject({ verdict: 'intact', proven: 9 });
    Object.assign(keys, { archive: old });
    rotated.append(again.record('seal'));
    rotated.cut();
    expect(audit(rotated.bucket, keys.root.key)).toMatchObject({
      verdict: 'not verifiable here',
      reasons: { 'unknown-key': 1, 'history-missing': 1 },
    });
  });
});
