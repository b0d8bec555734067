import { checkpointName, keyName, segmentName } from '@cairn/ledger';
import { describe, expect, test } from '@jest/globals';
import { ObjectStoreInMemory } from '../../adapters/test/object-store-in-memory.ts';
import { ORIGIN, worldOf } from '../../cli/src/testing/archive-on-disk.ts';
import { evidenceIn } from './evidence.ts';
import { verifyArchive } from './verify-archive.ts';

/** What is said of a bucket that somebody who may write to it has meddled with, every object of it locked. */
async function verified(meddle: (bucket: ObjectStoreInMemory) => void) {
  const { archive } = worldOf(30, 40);
  const bucket = new ObjectStoreInMemory(() => 0);
  await bucket.ensureBucket();
  for (const [name, bytes] of archive.bucket)
    await bucket.putLocked(name, bytes, { mode: 'COMPLIANCE', retainUntil: new Date(1_000_000) });
  meddle(bucket);
  const rootKey = archive.keys.root.key;
  const trusted = { rootKey, kept: [], timeCertificates: undefined, witnesses: [], isAnchored: false };
  return verifyArchive(evidenceIn(bucket, 's3://bucket'), trusted);
}

describe('an object that was put in front of another', () => {
  test.each([
    ['a segment', segmentName(ORIGIN, 40, 1)],
    ['a checkpoint', checkpointName(ORIGIN, 80)],
  ])('of %s, is told and not believed: the first one is judged', async (_, name) => {
    const verdict = await verified((bucket) => bucket.replace(name, Buffer.from('another')));
    const [log] = verdict.logs;
    expect(verdict.verdict).toBe('intact');
    expect(log).toMatchObject({ proven: 96, reasons: { disturbed: 1 } });
    expect(log!.findings).toContainEqual(
      expect.objectContaining({ class: 'remark', reason: 'disturbed', object: name }),
    );
  });

  test('of a key statement takes back no key, and is told', async () => {
    const verdict = await verified((bucket) => bucket.replace(keyName(1), Buffer.from('another')));
    expect(verdict.keys).toMatchObject({
      verdict: 'intact',
      statements: 6,
      findings: [{ class: 'remark', reason: 'disturbed' }],
    });
  });

  test('to hide it with a delete marker hides nothing: a log is not rolled back so', async () => {
    const verdict = await verified((bucket) => bucket.hide(checkpointName(ORIGIN, 96)));
    expect(verdict.logs[0]).toMatchObject({ size: 96, reasons: { disturbed: 1 }, verdict: 'intact' });
  });
});
