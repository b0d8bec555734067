// What one who holds every key of the archive, but no key of a gateway, can do to a log, and what shows it.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Archive, audit, Gateway, Keys, ORIGIN, recordOf } from '../test/deployment.ts';
import { Acceptance, type LogReport, manifestName, type Reason, segmentName } from './index.ts';
import { headerOf } from './segment-form.ts';

interface World {
  readonly keys: Keys;
  /** Of two gateways, each opened and sealed, in turn. */
  readonly datums: readonly Uint8Array[];
}

function world(calls: number): World {
  const gateways = [new Gateway('acme', 'gw-1'), new Gateway('acme', 'gw-2')];
  const streams = gateways.map((gateway) => gateway.stream(calls));
  const datums = streams[0]!.flatMap((datum, at) => [datum, streams[1]![at]!]);
  return { keys: new Keys(...gateways), datums };
}

/** A log of these datums, signed throughout, whether archival would have accepted them or not. */
function forged(keys: Keys, datums: readonly Uint8Array[]): LogReport {
  const archive = new Archive(keys);
  for (const [offset, datum] of datums.entries()) {
    const acceptance = new Acceptance({ partition: 0, partitions: 1 });
    const accepted = acceptance.accept(recordOf(offset, datum, 5));
    if (accepted.outcome !== 'leaf') throw new Error(accepted.outcome);
    archive.appendLeaf(accepted.leaf);
    if (offset % 50 === 49) archive.cut();
  }
  if (datums.length % 50 !== 0) archive.cut();
  return audit(archive.bucket, keys.root.key);
}

const reasonsOf = ({ streams }: LogReport): Reason[] =>
  [...new Set(streams.flatMap(({ reasons }) => reasons))].sort();

describe('one event of a log that was signed anew', () => {
  const { keys, datums } = world(40);
  const last = datums.length - 1;

  test('is intact when nothing was done to it', () => {
    const report = forged(keys, datums);
    expect(report).toMatchObject({ verdict: 'intact', findings: [] });
    expect(reasonsOf(report)).toEqual([]);
  });

  test('removed is a gap, and named with its leaf', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: last - 2 }), (at) => {
        const report = forged(keys, datums.toSpliced(at, 1));
        expect(reasonsOf(report)).toEqual(['gap']);
        // The leaf that follows it in its stream, which is every second one.
        expect(report.firstBadLeaf).toBe(at + 1);
      }),
      { numRuns: 40 },
    );
  });

  test('repeated is named as that', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: last }), fc.nat(20), (at, later) => {
        const to = Math.min(datums.length, at + 1 + later);
        const report = forged(keys, datums.toSpliced(to, 0, datums[at]!));
        expect(reasonsOf(report)).toEqual(['repeated']);
        expect(report.firstBadLeaf).toBe(to);
      }),
      { numRuns: 40 },
    );
  });

  test('swapped with a later one of its stream stands in the wrong order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: last - 4 }), fc.integer({ min: 1, max: 10 }), (at, steps) => {
        const other = Math.min(at + 2 * steps, at % 2 === last % 2 ? last - 2 : last - 3);
        fc.pre(other > at);
        const swapped = datums.with(at, datums[other]!).with(other, datums[at]!);
        expect(reasonsOf(forged(keys, swapped))).toContain('order');
      }),
      { numRuns: 40 },
    );
  });

  test('inserted is a fork, however well it is linked, and without a key nothing authenticates it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 39 }), (seq) => {
        const forger = new Gateway('acme', 'gw-1');
        for (let count = 0; count < seq; count += 1)
          forger.record(count === 0 ? 'stream_open' : 'tool_call', `tool-${(count - 1) % 7}`);
        const inserted = forger.record('tool_call', 'forged');
        const report = forged(keys, datums.toSpliced(2 * seq, 0, inserted));
        expect(reasonsOf(report)).toContain('fork');
      }),
      { numRuns: 20 },
    );
  });

  test('changed breaks the link of the one behind it, which names its leaf', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: last - 2 }), (at) => {
        const changed = datums[at]!.slice();
        // A byte of its id, which any value may have.
        changed[3]! ^= 1;
        const report = forged(keys, datums.with(at, changed));
        const isSigned = at >= last - 1;
        expect(reasonsOf(report)).toEqual(isSigned ? ['bad-signature'] : ['link']);
        expect(report.findings[0]).toMatchObject({
          leaf: at + 2,
          detail: expect.stringContaining(`leaf ${at},`),
        });
      }),
      { numRuns: 40 },
    );
  });

  test('and everything behind it cut off leaves what is there and says how far it is signed for', () => {
    const report = forged(keys, datums.slice(0, 20));
    expect(report.verdict).toBe('intact');
    expect(
      report.streams.map(({ authenticatedTo, lastSeq, reasons }) => ({ authenticatedTo, lastSeq, reasons })),
    ).toEqual([
      { authenticatedTo: 0, lastSeq: 9, reasons: ['open-tail'] },
      { authenticatedTo: 0, lastSeq: 9, reasons: ['open-tail'] },
    ]);
  });
});

describe('a restart', () => {
  const restarted = (isLinked: boolean, between: (gateway: Gateway) => Uint8Array[]): LogReport => {
    const gateway = new Gateway('acme', 'gw-1');
    const keys = new Keys(gateway);
    const datums = [...gateway.stream(3), ...between(gateway)];
    gateway.restart(isLinked);
    return forged(keys, [...datums, ...gateway.stream(3)]);
  };

  test('that names the end before it authenticates it', () => {
    const report = restarted(true, (gateway) => [gateway.record()]);
    expect(report.streams.map(({ reasons, authenticatedTo }) => ({ reasons, authenticatedTo }))).toEqual([
      { reasons: [], authenticatedTo: 5 },
      { reasons: [], authenticatedTo: 4 },
    ]);
  });

  test('whose predecessor lost its end is broken: the link leads to an event that is not there', () => {
    const report = restarted(true, (gateway) => {
      gateway.record();
      return [];
    });
    expect(reasonsOf(report)).toEqual(['link']);
  });

  test('that does not know what was before it leaves that open', () => {
    const report = restarted(false, (gateway) => [gateway.record()]);
    expect(report.streams.map(({ verdict, reasons }) => ({ verdict, reasons }))).toEqual([
      { verdict: 'not verifiable here', reasons: ['unsealed-tail'] },
      { verdict: 'not verifiable here', reasons: ['unlinked-epoch'] },
    ]);
  });
});

describe('a byte of the bucket', () => {
  test('flipped anywhere in a segment, a manifest or a checkpoint is found, with its leaf', () => {
    const { keys, datums } = world(12);
    const archive = new Archive(keys);
    archive.append(...datums);
    archive.cut();
    for (const [name, bytes] of archive.bucket) {
      if (name.startsWith('key/')) continue;
      // The header is compared with what it must be, byte for byte; the blocks are where a change could hide.
      const blocksAt = name.startsWith('segment/')
        ? headerOf({ origin: ORIGIN, first: 0, end: 28 }, 1).length
        : bytes.length;
      for (let at = 0; at < bytes.length; at += at < blocksAt ? 41 : 1) {
        const changed = bytes.slice();
        changed[at]! ^= 1 << (at % 8);
        const report = audit(new Map([...archive.bucket, [name, changed]]), keys.root.key);
        expect([name, at, report.verdict]).not.toEqual([name, at, 'intact']);
        expect(report.findings.length).toBeGreaterThan(0);
      }
    }
  });

  test('of one event flipped in an object that was packed anew names the piece, and the event by its successor', () => {
    const { keys, datums } = world(400);
    const archive = new Archive(keys);
    archive.append(...datums);
    archive.cut();
    const changed = datums[301]!.slice();
    changed[3]! ^= 1;
    const other = new Archive(keys);
    other.append(...datums.with(301, changed));
    other.cut();
    const name = segmentName(ORIGIN, 0, 1);
    const bucket = new Map([...archive.bucket, [name, other.bucket.get(name)!]]);
    const report = audit(bucket, keys.root.key);
    expect(report.reasons).toEqual({
      'object-altered': 1,
      'root-mismatch': 1,
      link: 1,
      'history-missing': 2,
    });
    expect(report.findings).toContainEqual({
      reason: 'root-mismatch',
      leaf: 256,
      detail: 'leaves 256 to 511 do not lead to the signed root',
      object: name,
    });
    expect(report.findings).toContainEqual(
      expect.objectContaining({ reason: 'link', detail: expect.stringContaining('leaf 301,') }),
    );
    bucket.set(manifestName(ORIGIN, 0), other.bucket.get(manifestName(ORIGIN, 0))!);
    expect(audit(bucket, keys.root.key).reasons).toMatchObject({ 'root-mismatch': expect.any(Number) });
  });
});
