import { frame, leafHash, partitionOf } from '@cairn/event';
import { Acceptance, type StreamPositions } from '@cairn/ledger';
import type { EventRow } from '@cairn/native';
import { type LogRecord, recordOf } from '@cairn/runtime';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { GATEWAY, ORG, streamOf } from '../test/stream.ts';
import { nativeEncoder } from './encoder.ts';
import type { Anchor, Gap } from './event-table.ts';
import { gapsOfHoles, openSorted, type Sorted } from './sort-records.ts';

const PARTITIONS = 8;
const PARTITION = partitionOf(ORG, GATEWAY, PARTITIONS);
const TOPIC = 'audit.events.standard';
const HERE = { topic: TOPIC, partition: PARTITION, partitions: PARTITIONS };
const uncovered = () => false;

/** A chunk whose record n lies at offset 100 + n; undefined leaves a hole. */
interface Arrived {
  readonly records: readonly LogRecord[];
  readonly holes: readonly { readonly first: number; readonly last: number }[];
}

function chunkOf(values: readonly (Uint8Array | null | undefined)[]): Arrived {
  const records = values.flatMap((value, index) =>
    value === undefined ? [] : [recordOf(100 + index, value, 1_795_000_000_000)],
  );
  const holes = values.flatMap((value, index) =>
    value === undefined ? [{ first: 100 + index, last: 100 + index }] : [],
  );
  return { records, holes };
}

/** A chunk and what became of it. */
interface Outcome extends Pick<Sorted, 'parked' | 'findings' | 'single'> {
  readonly rows: readonly EventRow[];
  /** Those of the holes first. */
  readonly gaps: readonly Gap[];
}

function sortChunk(
  { records, holes }: Arrived,
  streams: StreamPositions,
  isCovered: (offset: number) => boolean,
  releasedIdOf: (id: number) => number | undefined = (id) => id,
  anchor?: Anchor,
): Outcome {
  const acceptance = new Acceptance({ ...HERE, releasedIdOf }, streams);
  const sorting = { ...HERE, acceptance, isCovered, anchor };
  const open = nativeEncoder.open(HERE);
  const rows: EventRow[] = [];
  const sorted = openSorted(sorting, {
    ...open,
    get count() {
      return rows.length;
    },
    add: (row) => void rows.push(row),
  });
  sorted.add(records);
  const { gaps, parked, findings, single } = sorted;
  return { rows, gaps: [...gapsOfHoles({ holes }, sorting), ...gaps], parked, findings, single };
}

const framed = (datums: readonly Uint8Array[], id = 1): Uint8Array[] =>
  datums.map((datum) => frame(id, datum));
const sort = (
  values: readonly (Uint8Array | null | undefined)[],
  streams: StreamPositions = new Map(),
  isCovered: (offset: number) => boolean = uncovered,
): Outcome => sortChunk(chunkOf(values), streams, isCovered);
const offsetsOf = ({ rows }: Outcome): number[] => rows.map(({ offset }) => offset);

/** Every offset of the chunk, once, under the outcome that it came to. */
function accountOf(sorted: Outcome): number[] {
  const ranges = [...sorted.gaps, ...sorted.parked.map(({ gap }) => gap)].flatMap(({ first, last }) =>
    Array.from({ length: last - first + 1 }, (_, index) => first + index),
  );
  return [...offsetsOf(sorted), ...ranges].toSorted((left, right) => left - right);
}

describe('records of a chunk', () => {
  test('become rows in order of offset when their stream is whole', () => {
    const sorted = sort(framed(streamOf(5)));
    expect(offsetsOf(sorted)).toEqual([100, 101, 102, 103, 104]);
    expect(sorted).toMatchObject({ gaps: [], parked: [], findings: [] });
  });

  test('that a producer sent twice are loaded once, and the second is declared a duplicate', () => {
    const values = framed(streamOf(3));
    const sorted = sort([...values, ...values.slice(1)]);
    expect(offsetsOf(sorted)).toEqual([100, 101, 102]);
    expect(sorted.gaps.map(({ first, reason, gatewayId }) => [first, reason, gatewayId])).toEqual([
      [103, 'duplicate', GATEWAY],
      [104, 'duplicate', GATEWAY],
    ]);
  });

  test('carry the leaf hash of their entry, and say whether they are linked to the event before', () => {
    const datums = streamOf(3);
    const { rows } = sort(framed(datums));
    expect(rows.map(({ leafHash }) => leafHash)).toEqual(
      datums.map((datum) => Buffer.from(leafHash(1, datum)).toString('latin1')),
    );
    // The first names the genesis hash, which no row holds.
    expect(rows.map(({ linked }) => linked)).toEqual([false, true, true]);
    for (const [index, { bytes, start, end }] of rows.entries()) {
      expect(Buffer.from(bytes.subarray(start, end))).toEqual(Buffer.from(datums[index] ?? []));
    }
  });

  test('are found to be duplicates of events of an earlier chunk', () => {
    const streams: StreamPositions = new Map();
    const values = framed(streamOf(4));
    sort(values.slice(0, 3), streams);
    const sorted = sort(values.slice(1), streams);
    expect(offsetsOf(sorted)).toEqual([102]);
    expect(sorted.gaps).toHaveLength(2);
  });

  test('whose numbers leave some out are loaded, and the missing numbers are a finding', () => {
    const [first, , , fourth] = framed(streamOf(4));
    const sorted = sort([first, fourth]);
    expect(offsetsOf(sorted)).toEqual([100, 101]);
    expect(sorted.findings).toMatchObject([{ finding: 'gap', offset: 101, missing: { from: 1, to: 2 } }]);
  });

  test('that put another event under a number are loaded, and the fork is a finding', () => {
    const [zero, one] = framed(streamOf(2));
    const [, other] = framed(streamOf(2, { timestamp: 1_796_000_000_000_000 }));
    const sorted = sort([zero, one, other]);
    expect(offsetsOf(sorted)).toEqual([100, 101, 102]);
    expect(sorted.findings).toMatchObject([{ finding: 'fork', offset: 102, seq: 1 }]);
  });

  test('of an epoch that was left are loaded, and its return is a finding', () => {
    const old = framed(streamOf(2));
    const [fresh] = framed(streamOf(1, { epoch: 2 }));
    const sorted = sort([old[0], fresh, old[1]]);
    expect(offsetsOf(sorted)).toEqual([100, 101, 102]);
    expect(sorted.findings).toMatchObject([{ finding: 'stale-epoch', offset: 102, epoch: 1 }]);
  });

  test.each<[string, () => Uint8Array | null]>([
    ['value.empty', () => null],
    ['frame.short', () => new Uint8Array([0, 0, 0])],
    ['frame.magic', () => new Uint8Array([1, 0, 0, 0, 1, 5])],
    ['schema.unknown', () => framed(streamOf(1), 77)[0] ?? null],
    ['datum.truncated', () => framed(streamOf(1))[0]?.subarray(0, 60) ?? null],
    ['datum.trailing', () => Buffer.concat([framed(streamOf(1))[0] ?? new Uint8Array(), new Uint8Array(1)])],
    ['timestamp.range', () => framed(streamOf(1, { timestamp: 5 }))[0] ?? null],
    ['partition.wrong', () => framed(streamOf(1, { gateway: elsewhere() }))[0] ?? null],
  ])(
    'that cannot be rows are parked as %s, with a digest of their bytes, beside loaded neighbours',
    (reason, make) => {
      const [zero, one] = framed(streamOf(2));
      const sorted = sort([zero, make(), one]);
      expect(offsetsOf(sorted)).toEqual([100, 102]);
      expect(sorted.parked).toMatchObject([{ gap: { first: 101, last: 101, reason } }]);
      expect(sorted.parked[0]?.gap.valueSha256).toMatch(/^[0-9a-f]{64}$/);
    },
  );

  test('all come to exactly one outcome, holes of the log included', () => {
    const [zero, one, two] = framed(streamOf(3));
    const sorted = sort([zero, undefined, zero, new Uint8Array([9]), undefined, one, null, two]);
    expect(accountOf(sorted)).toEqual([100, 101, 102, 103, 104, 105, 106, 107]);
  });

  test('that the table has already are not rows again, and their stream goes on behind them', () => {
    const values = framed(streamOf(4));
    const sorted = sort(values, new Map(), (offset) => offset < 102);
    expect(offsetsOf(sorted)).toEqual([102, 103]);
    expect(sorted.findings).toEqual([]);
  });

  test('are not loaded when the one before them is not what the table has', () => {
    const values = framed(streamOf(3));
    const chunk = chunkOf(values);
    const hash = sort(values).rows[0]?.leafHash ?? '';
    const after = (leafHash: string, of = chunk) =>
      sortChunk(of, new Map(), uncovered, (id) => id, { offset: 100, leafHash });
    expect(after(hash).rows.map(({ offset }) => offset)).toEqual([101, 102]);
    expect(() => after('another')).toThrow('not the one that the table has');
    expect(() => after(hash, chunkOf([new Uint8Array([9]), ...values]))).toThrow(
      'not the one that the table has',
    );
  });

  test('are read under our own ids when a registry outside gave them others', () => {
    const chunk = chunkOf(framed(streamOf(1), 40_001));
    const known = sortChunk(chunk, new Map(), uncovered, (id) => (id === 40_001 ? 1 : undefined));
    expect(known.rows.map(({ schemaId }) => schemaId)).toEqual([1]);
    const unknown = sortChunk(chunkOf(framed(streamOf(1))), new Map(), uncovered, (id) =>
      id === 40_001 ? 1 : undefined,
    );
    expect(unknown.parked).toMatchObject([{ gap: { reason: 'schema.unknown', detail: 'schema id 1' } }]);
  });
});

describe('the rows of a partition', () => {
  /** Events of three epochs, another gateway's, forks and what is no event; any order and any repeats of them. */
  const pool = [
    ...framed(streamOf(6)),
    ...framed(streamOf(4, { epoch: 2 })),
    ...framed(streamOf(3, { epoch: 3 })),
    ...framed(streamOf(4, { timestamp: 1_795_000_009_000_000 })),
    ...framed(streamOf(2, { gateway: elsewhere() })),
    ...framed(streamOf(2), 40_001),
    new Uint8Array([9, 9]),
    new Uint8Array(40),
    ...framed(streamOf(1, { timestamp: 1 })),
  ];

  test('are exactly the leaves of its log, and everything else is no leaf for the same reason', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(pool.length - 1), { maxLength: 80 }), (picks) => {
        const values = picks.map((pick) => pool[pick]!);
        const sorted = sort(values);
        const acceptance = new Acceptance({ partition: PARTITION, partitions: PARTITIONS });
        const leaves: [number, string][] = [];
        const others: [number, string][] = [];
        for (const [index, value] of values.entries()) {
          const offset = 100 + index;
          const accepted = acceptance.accept(recordOf(offset, value, 1_795_000_000_000));
          if (accepted.outcome === 'leaf') leaves.push([offset, accepted.leaf.hash]);
          else others.push([offset, accepted.outcome === 'duplicate' ? 'duplicate' : accepted.reason]);
        }
        expect(leaves).toEqual(sorted.rows.map((row) => [row.offset, row.leafHash]));
        const unloaded = [...sorted.gaps, ...sorted.parked.map(({ gap }) => gap)];
        expect(others).toEqual(
          unloaded.map(({ first, reason }) => [first, reason]).sort(([a], [b]) => Number(a) - Number(b)),
        );
      }),
    );
  });
});

function elsewhere(): string {
  for (let at = 0; ; at += 1) if (partitionOf(ORG, `gw-x${at}`, PARTITIONS) !== PARTITION) return `gw-x${at}`;
}
