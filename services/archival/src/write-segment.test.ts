import { afterEach, describe, expect, test } from '@jest/globals';
import { type Fault, faulty } from '../../../packages/adapters/test/object-store-faults.ts';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { ORIGIN, Rig } from '../test/archiver.ts';

const rigs: Rig[] = [];
afterEach(() => void rigs.splice(0));

async function rigOfTwoGateways(): Promise<Rig> {
  const gateways = [new Gateway('acme', 'gw-1'), new Gateway('initech', 'gw-2')];
  const rig = await Rig.with(gateways);
  for (const gateway of gateways) rig.append(...gateway.stream(8));
  gateways[0]!.restart();
  rig.append(...gateways[0]!.stream(6));
  return rig;
}

/** Calls that archiving everything takes, and each in its turn. */
async function callsOf(every: number): Promise<string[]> {
  const rig = await rigOfTwoGateways();
  const calls: string[] = [];
  await rig.archive(
    every,
    faulty(rig.bucket, ({ method, key }) => {
      calls.push(`${method} ${key}`);
      return undefined;
    }),
  );
  return calls;
}

const EVERY = 11;

describe('the store fails', () => {
  test.each<Fault>(['before', 'after', 'doubled', 'altered'])(
    '%s effect, at every call in turn: after the next start every event is there once and the log is intact',
    async (fault) => {
      const calls = await callsOf(EVERY);
      expect(calls.filter((call) => call.startsWith('putLocked')).length).toBe(9);
      for (const [at, call] of calls.entries()) {
        const rig = await rigOfTwoGateways();
        const broken = faulty(rig.bucket, ({ index }) => (index === at ? fault : undefined));
        await rig.archive(EVERY, broken).catch(() => {});
        // Another age: what is there already fixes where the segment ends.
        await rig.archive(7);
        const report = await rig.report();
        expect({ call, verdict: report.verdict, proven: report.proven, findings: report.findings }).toEqual({
          call,
          verdict: 'intact',
          proven: rig.records.length,
          findings: [],
        });
        expect(report.streams.map(({ verdict }) => verdict)).toEqual(['intact', 'intact', 'intact']);
      }
    },
  );

  test('killed after every write in turn: the rest is done, and nothing is written twice', async () => {
    const calls = await callsOf(EVERY);
    for (const [at, call] of calls.entries()) {
      const rig = await rigOfTwoGateways();
      const killed = faulty(rig.bucket, ({ index }) =>
        index === at ? 'after' : index > at ? 'before' : undefined,
      );
      await rig.archive(EVERY, killed).catch(() => {});
      await rig.archive(EVERY);
      const report = await rig.report();
      expect([call, report.verdict, report.proven]).toEqual([call, 'intact', rig.records.length]);
      for await (const version of rig.bucket.listVersions(''))
        expect([call, version.key, version.latest]).toEqual([call, version.key, true]);
    }
  });
});

describe('a segment', () => {
  test('is locked until its class lets go of it, with its manifest and checkpoint', async () => {
    const rig = await rigOfTwoGateways();
    const log = await rig.open();
    await rig.take(log, rig.records, async () => {});
    const { manifest } = await rig.endSegment(log);
    expect(manifest.retention).toMatchObject({ class: 'standard', mode: 'COMPLIANCE' });
    // The example policy keeps the class for 400 days after the event.
    const days = (manifest.retention.until - Math.floor(manifest.timestamps.max / 1_000)) / 86_400_000;
    expect(days).toBeGreaterThan(399);
    expect(days).toBeLessThan(402);
    for await (const { key } of rig.bucket.list('')) {
      if (key.startsWith('key/')) continue;
      const { lock } = (await rig.bucket.head(key))!;
      expect([key, lock?.mode, lock!.retainUntil.getTime() >= manifest.retention.until]).toEqual([
        key,
        'COMPLIANCE',
        true,
      ]);
    }
  });

  test('of which an object is there with other rows stops this writer, and nothing is signed', async () => {
    const rig = await rigOfTwoGateways();
    const log = await rig.open();
    await rig.take(log, rig.records, async () => {});
    const other = await Rig.with([]);
    other.append(...new Gateway('acme', 'gw-9').stream(20));
    const theirs = await other.open();
    await other.take(theirs, other.records, async () => {});
    const [object] = theirs.segment!.close().objects;
    await rig.bucket.putLocked(object!.name, object!.bytes, {
      mode: 'COMPLIANCE',
      retainUntil: new Date(rig.nowMs + 60_000),
    });
    await expect(rig.endSegment(log)).rejects.toMatchObject({ code: 'archive.second-writer' });
    expect(await Array.fromAsync(rig.bucket.list('checkpoint/'))).toEqual([]);
  });

  test('that the store keeps otherwise than it was given is not signed for', async () => {
    const rig = await rigOfTwoGateways();
    const log = await rig.open();
    await rig.take(log, rig.records, async () => {});
    const putLocked = rig.bucket.putLocked.bind(rig.bucket);
    rig.bucket.putLocked = async (key, bytes, lock) => {
      const other = new Uint8Array(bytes);
      other[other.length >> 1]! ^= 1;
      return putLocked(key, other, lock);
    };
    await expect(rig.endSegment(log)).rejects.toMatchObject({ code: 'archive.read-back' });
    expect(await Array.fromAsync(rig.bucket.list('manifest/'))).toEqual([]);
  });

  test('that another writer has committed otherwise stops this writer', async () => {
    const rig = await rigOfTwoGateways();
    const [one, other] = [await rig.open(), await rig.open()];
    await rig.take(one, rig.records.slice(0, 9), async () => {});
    await rig.take(other, rig.records.slice(0, 14), async () => {});
    await rig.endSegment(one);
    await expect(rig.endSegment(other)).rejects.toMatchObject({
      code: 'archive.second-writer',
      message: expect.stringContaining(ORIGIN),
    });
    await rig.archive(50);
    expect(await rig.report()).toMatchObject({ verdict: 'intact', proven: rig.records.length });
  });

  test('that is written by two at the same time is one segment, and both go on', async () => {
    const rig = await rigOfTwoGateways();
    const [one, other] = [await rig.open(), await rig.open()];
    await rig.take(one, rig.records, async () => {});
    await rig.take(other, rig.records, async () => {});
    const stored = await Promise.all([rig.endSegment(one), rig.endSegment(other)]);
    expect(stored.map(({ isNew }) => isNew).sort()).toEqual([false, true]);
    expect(await rig.report()).toMatchObject({ verdict: 'intact', proven: rig.records.length });
  });
});
