import { manifestName } from '@cairn/ledger';
import { describe, expect, test } from '@jest/globals';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { ORIGIN, Rig, TOPIC } from '../test/archiver.ts';
import { HotTableInMemory } from '../test/hot-table-in-memory.ts';
import { policy } from '../test/simulation.ts';
import { dropHotDays } from './drop-hot-days.ts';
import type { Finding } from './finding.ts';
import { reconcileTable } from './reconcile-table.ts';
import { type VerifyPlace, verifySegments } from './verify-segments.ts';

const DAY_MS = 86_400_000;
const place = { topic: TOPIC, partition: 0 };

async function archived(): Promise<{ rig: Rig; table: HotTableInMemory }> {
  const gateway = new Gateway('acme', 'gw-1');
  const rig = await Rig.with([gateway]);
  const datums = gateway.stream(38);
  rig.append(...datums.slice(0, 20), ...datums.slice(17, 20), ...datums.slice(20));
  await rig.archive(12);
  return { rig, table: new HotTableInMemory(place, rig.records) };
}

async function reconcile(rig: Rig, table: HotTableInMemory) {
  const findings: Finding[] = [];
  const sum = await reconcileTable({
    store: rig.bucket,
    keys: await rig.knownKeys(),
    table,
    origins: [ORIGIN],
    fromMs: 0,
    toMs: Number.POSITIVE_INFINITY,
    onFinding: (finding) => void findings.push(finding),
  });
  return { sum, details: findings.map(({ detail }) => detail).sort() };
}

describe('reconciling the table with the archive', () => {
  test('a table that ingest loaded has no difference', async () => {
    const { rig, table } = await archived();
    expect(await reconcile(rig, table)).toEqual({
      sum: { segments: 4, rows: 40, differing: 0 },
      details: [],
    });
  });

  test('rows that were rewritten, deleted, invented and doubled are named, whatever their leaf hash says', async () => {
    const { rig, table } = await archived();
    const [rewritten, deleted, doubled, rehashed] = [3, 7, 30, 35];
    table.rowsHeld = table.rowsHeld.flatMap((row) => {
      if (row.offset === deleted) return [];
      if (row.offset === doubled) return [row, row];
      if (row.offset === rehashed) return [{ ...row, leafHash: '0'.repeat(64) }];
      if (row.offset !== rewritten) return [row];
      return [{ ...row, fields: { ...row.fields, tool_name: 'another', latency_ms: 1 } }];
    });
    // Offset 21 was a duplicate: no leaf.
    table.rowsHeld.push({ ...table.rowsHeld[20]!, offset: 21 });
    expect((await reconcile(rig, table)).details).toEqual([
      'offset 30 has more than one row',
      'offset 7 has no row',
      'the row of offset 21 is no event of the archive',
      'the row of offset 3 differs in tool_name, latency_ms',
      'the row of offset 35 differs in leaf_hash',
    ]);
  });

  test('every leaf is placed at its index, whatever offsets between are no leaves, and twice says the same', async () => {
    const { rig, table } = await archived();
    await reconcile(rig, table);
    const once = [...table.runs.values()];
    await reconcile(rig, table);
    expect([...table.runs.values()].toSorted((a, b) => a.offsetFirst - b.offsetFirst)).toEqual(
      once.toSorted((a, b) => a.offsetFirst - b.offsetFirst),
    );
    const indexOf = (offset: number): number | undefined => {
      const run = once.find(({ offsetFirst, offsetLast }) => offsetFirst <= offset && offset <= offsetLast);
      return run && run.leafFirst + offset - run.offsetFirst;
    };
    const offsets = table.rowsHeld.map(({ offset }) => offset);
    expect(offsets.length).toBeGreaterThan(30);
    expect(offsets.map(indexOf)).toEqual(offsets.map((_, index) => index));
    const others = rig.records.map(({ offset }) => offset).filter((offset) => !offsets.includes(offset));
    expect(others.length).toBeGreaterThan(0);
    expect(others.map(indexOf)).toEqual(others.map(() => undefined));
  });

  test('a row that the table refused is told as such: who declares it can be asked for the parked record', async () => {
    const { rig, table } = await archived();
    table.rowsHeld = table.rowsHeld.filter(({ offset }) => offset !== 9);
    table.declared.add(9);
    expect((await reconcile(rig, table)).details).toEqual([
      'offset 9 has no row, and ingest declared that the table refused it',
    ]);
  });
});

describe('dropping hot days', () => {
  const drop = async (rig: Rig, table: HotTableInMemory, logFirst = 1_000) => {
    const findings: string[] = [];
    const dropped = await dropHotDays({
      store: rig.bucket,
      keys: await rig.knownKeys(),
      table,
      originOf: () => ORIGIN,
      policy,
      nowMs: () => rig.nowMs,
      logFirst: async () => logFirst,
      onFinding: ({ detail }) => void findings.push(detail),
    });
    return { ...dropped, findings };
  };

  test('a day goes when it is old enough and the archive was read back and holds every row', async () => {
    const { rig, table } = await archived();
    expect(await drop(rig, table)).toEqual({ dropped: [], kept: {}, findings: [] });
    rig.nowMs += 31 * DAY_MS;
    const [{ day } = { day: '' }] = await table.days();
    expect(await drop(rig, table)).toEqual({ dropped: [day], kept: {}, findings: [] });
    expect(table.rowsHeld).toEqual([]);
  });

  test.each([
    ['in-kafka', async () => 5],
    [
      'not-proven',
      async (_: Rig, table: HotTableInMemory) => {
        table.rowsHeld[4] = { ...table.rowsHeld[4]!, fields: { ...table.rowsHeld[4]!.fields, task: 'x' } };
      },
    ],
    [
      'not-proven',
      async (rig: Rig) => {
        const [object] = await Array.fromAsync(rig.bucket.listVersions('segment/'));
        rig.bucket.lose(object!.key, object!.version);
      },
    ],
    [
      'not-archived',
      async (rig: Rig, table: HotTableInMemory) => {
        table.rowsHeld.push({ ...table.rowsHeld.at(-1)!, offset: rig.records.length });
      },
    ],
  ])('a day is kept: %s', async (why, spoil) => {
    const { rig, table } = await archived();
    rig.nowMs += 31 * DAY_MS;
    const logFirst = await spoil(rig, table);
    const [{ day } = { day: '' }] = await table.days();
    const { dropped, kept } = await drop(rig, table, logFirst ?? 1_000);
    expect([dropped, kept]).toEqual([[], { [day]: why }]);
    expect(table.rowsHeld.length).toBeGreaterThan(39);
  });
});

describe('verifying segments by turns', () => {
  const verify = async (rig: Rig, at: VerifyPlace, count: number) => {
    const findings: string[] = [];
    const sum = await verifySegments(
      {
        store: rig.bucket,
        keys: await rig.knownKeys(),
        origins: [ORIGIN],
        count,
        nowMs: () => rig.nowMs,
        onFinding: ({ reason, at: leaf }) => void findings.push(`${reason} ${leaf}`),
      },
      at,
    );
    return { verified: sum.verified, leaves: sum.leaves, findings, of: [sum.from, sum.to] };
  };

  test('all come round, a few in each run', async () => {
    const { rig } = await archived();
    const at = { after: '' };
    const name = (first: number) => manifestName(ORIGIN, first);
    const whole = { verified: 3, leaves: 33, findings: [], of: [name(0), name(21)] };
    expect(await verify(rig, at, 3)).toEqual(whole);
    const rest = { verified: 1, leaves: 7, findings: [], of: [name(33), name(33)] };
    expect(await verify(rig, at, 3)).toEqual(rest);
    expect(await verify(rig, at, 3)).toMatchObject({ verified: 3 });
  });

  test('an object that is lost, replaced, hidden or altered is found', async () => {
    const { rig } = await archived();
    const objects = await Array.fromAsync(rig.bucket.listVersions('segment/'));
    rig.bucket.lose(objects[0]!.key, objects[0]!.version);
    rig.bucket.replace(objects[1]!.key, Buffer.from('another'));
    rig.bucket.hide(objects[2]!.key);
    const get = rig.bucket.get.bind(rig.bucket);
    rig.bucket.get = async (key, reading) => {
      const bytes = await get(key, reading);
      if (key === objects[3]!.key) bytes[bytes.length >> 1]! ^= 1;
      return bytes;
    };
    const { findings } = await verify(rig, { after: '' }, 10);
    expect(findings).toEqual(['missing 0', 'disturbed 12', 'disturbed 21', 'object-altered 33']);
  });
});
