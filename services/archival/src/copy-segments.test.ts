import { decodeDatum } from '@cairn/event';
import { hexOfHash, tombstoneName } from '@cairn/ledger';
import type { EventRows } from '@cairn/native';
import { copyName } from '@cairn/query';
import { describe, expect, test } from '@jest/globals';
import { faulty } from '../../../packages/adapters/test/object-store-faults.ts';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { ORIGIN, Rig } from '../test/archiver.ts';
import { type CopyStore, copySegments } from './copy-segments.ts';

class CopiesInMemory implements CopyStore {
  readonly held = new Map<string, EventRows>();
  /** Called after each write; what it throws is what the writer hears. */
  written: (name: string) => void = () => {};

  async *list(prefix: string) {
    for (const key of this.held.keys()) if (key.startsWith(prefix)) yield { key };
  }

  async write(name: string, rows: EventRows): Promise<void> {
    if (this.held.has(name)) throw new Error(`${name} is taken`);
    this.held.set(name, rows);
    this.written(name);
  }

  async remove(name: string): Promise<void> {
    this.held.delete(name);
  }
}

async function archived(): Promise<Rig> {
  const gateways = [new Gateway('acme', 'gw-1'), new Gateway('globex', 'gw-2')];
  const rig = await Rig.with(gateways);
  const streams = gateways.map((gateway) => gateway.stream(13));
  rig.append(...streams[0]!.flatMap((datum, at) => [datum, streams[1]![at]!]));
  await rig.archive(10);
  return rig;
}

const copy = async (rig: Rig, copies: CopyStore, count = 100) =>
  copySegments({ store: rig.bucket, copies, keys: await rig.knownKeys(), origins: [ORIGIN], count });

describe('query copies', () => {
  test('hold every event of their segment once, each link that is as it should be told as such', async () => {
    const rig = await archived();
    const copies = new CopiesInMemory();
    expect(await copy(rig, copies)).toEqual({ copied: 3, events: 30, waiting: 0, removed: 0 });
    expect([...copies.held.keys()]).toEqual([0, 10, 20].map((first) => copyName(ORIGIN, first)));
    const rows = [...copies.held.values()].flatMap((held) => held.rows);
    expect(rows.map(({ offset }) => offset)).toEqual(rig.records.map(({ offset }) => offset));
    // Both streams begin at 0, and from then on every event follows the one before, over the ends of segments.
    expect(rows.filter(({ linked }) => !linked).map(({ offset }) => offset)).toEqual([0, 1]);
    for (const [at, row] of rows.entries()) {
      const { seq, prev_hash } = decodeDatum(row.bytes.slice(row.start, row.end), row.schemaId);
      if (seq > 0) expect(Buffer.from(prev_hash).toString('hex')).toBe(hexOfHash(rows[at - 2]!.leafHash));
    }
  });

  test('are made some at a time, and what is there is not made again', async () => {
    const rig = await archived();
    const copies = new CopiesInMemory();
    expect(await copy(rig, copies, 1)).toMatchObject({ copied: 1, waiting: 2 });
    expect(await copy(rig, copies, 1)).toMatchObject({ copied: 1, waiting: 1 });
    expect(await copy(rig, copies)).toMatchObject({ copied: 1, waiting: 0 });
    const linked = [...copies.held.values()].flatMap(({ rows }) => rows.filter((row) => !row.linked));
    expect(linked.map(({ offset }) => offset)).toEqual([0, 1]);
  });

  test('are all there after the next run when one was written and the answer was lost', async () => {
    const rig = await archived();
    const copies = new CopiesInMemory();
    copies.written = () => {
      throw new Error('no answer');
    };
    await expect(copy(rig, copies)).rejects.toThrow('no answer');
    copies.written = () => {};
    expect(await copy(rig, copies)).toMatchObject({ copied: 2 });
    expect(copies.held.size).toBe(3);
  });

  test('are not made of a segment whose deletion was decided, and one that is there goes', async () => {
    const rig = await archived();
    const copies = new CopiesInMemory();
    await copy(rig, copies);
    const decided = { mode: 'COMPLIANCE', retainUntil: new Date(rig.nowMs + 1_000) } as const;
    await rig.bucket.putLocked(tombstoneName(ORIGIN, 10), Buffer.from('decided'), decided);
    expect(await copy(rig, copies)).toEqual({ copied: 0, events: 0, waiting: 0, removed: 1 });
    expect([...copies.held.keys()]).toEqual([0, 20].map((first) => copyName(ORIGIN, first)));
  });

  test('are not made of a segment that is not what its manifest says', async () => {
    const rig = await archived();
    const copies = new CopiesInMemory();
    const store = faulty(rig.bucket, ({ method, key }) =>
      method === 'get' && key.startsWith('segment/') ? 'altered' : undefined,
    );
    const options = { store, copies, keys: await rig.knownKeys(), origins: [ORIGIN], count: 100 };
    await expect(copySegments(options)).rejects.toMatchObject({ code: 'archive.read-back' });
    expect(copies.held.size).toBe(0);
  });
});
