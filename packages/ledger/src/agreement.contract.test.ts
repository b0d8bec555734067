// Two verifiers that share no code judge the same archives, whole and damaged: whatever one finds, the other finds.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Archive, auditAll, type Bucket, Gateway, Keys, ORIGIN, recordOf } from '../test/deployment.ts';
import {
  Acceptance,
  type AnchorsReport,
  bundleOf,
  checkpointName,
  type LogReport,
  REASONS,
  sha256Text,
  signCheckpoint,
} from './index.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const binary = join(root, '.local', 'cache', 'verifier-go');
const scratch = mkdtempSync(join(tmpdir(), 'cairn-agreement-'));

beforeAll(() => {
  mkdirSync(dirname(binary), { recursive: true });
  const built = spawnSync('go', ['build', '-trimpath', '-o', binary, '.'], {
    cwd: join(root, 'tools', 'verifier-go'),
    encoding: 'utf8',
  });
  if (built.status !== 0)
    throw new Error(`the verifier does not build: ${built.error?.message ?? built.stderr}`);
}, 300_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Where the finding lies, and what it is; the detail is for people. */
interface Found {
  readonly reason: string;
  readonly leaf: number;
  readonly object: string;
  readonly seq: number;
}
const foundIn = (findings: readonly Partial<Found>[]): Found[] =>
  findings
    .map(({ reason = '', leaf = -1, object = '', seq = -1 }) => ({ reason, leaf, object, seq }))
    .sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));

/** What both say, in one shape: schemas/ledger.md, "The verdict as JSON". */
interface Judgement {
  readonly anchors: { verdict: string; size: number; root: string; findings: readonly Found[] };
  readonly first_bad: { leaf: number; reason: string; object: string } | null;
  readonly findings: readonly Found[];
  readonly log: Record<string, unknown>;
  readonly streams: readonly Record<string, unknown>[];
  readonly population: readonly Record<string, unknown>[];
}

function judgeInGo(
  bucket: Bucket,
  rootKey: string,
): { exit: number | null; keys: string; judgement: Judgement } {
  const directory = mkdtempSync(join(scratch, 'bucket-'));
  for (const [name, bytes] of bucket) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), bytes);
  }
  const { status, stdout, stderr } = spawnSync(
    binary,
    ['--json', '--quiet', '--root-key', rootKey, directory],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  rmSync(directory, { recursive: true });
  if (stdout === '') throw new Error(`the verifier gave no verdict: ${stderr}`);
  const report = JSON.parse(stdout);
  const log = report.logs.find(({ origin }: { origin: string }) => origin === ORIGIN);
  return {
    exit: status,
    keys: report.keys.verdict,
    judgement: {
      anchors: {
        verdict: report.anchors.verdict,
        size: report.anchors.size,
        root: report.anchors.root,
        findings: foundIn(report.anchors.findings),
      },
      first_bad: log.first_bad && {
        leaf: log.first_bad.leaf,
        reason: log.first_bad.reason,
        object: log.first_bad.object,
      },
      findings: foundIn(log.findings),
      log: {
        verdict: log.verdict,
        size: log.size,
        root: log.root,
        proven: log.proven,
        deleted: log.deleted,
        reasons: log.reasons,
      },
      streams: log.streams,
      population: log.population,
    },
  };
}

function judgeInTypeScript(bucket: Bucket, { root }: Keys): Judgement {
  const { anchors, log } = auditAll(bucket, root.key);
  return judgementOf(anchors, log);
}

function judgementOf(anchors: AnchorsReport, report: LogReport): Judgement {
  const { verdict, size, root, proven, deleted, reasons, firstBadLeaf } = report;
  const bad = report.findings.filter(
    ({ reason, leaf }) => REASONS[reason] === 'broken' && leaf === firstBadLeaf,
  );
  // At one leaf, what is wrong with the log goes before what is with a stream.
  const first = bad.find(({ stream }) => stream === undefined) ?? bad[0];
  const byName = (one: Record<string, unknown>): string =>
    `${one['org']}/${one['gateway']}/${one['day'] ?? one['epoch']}`;
  const sorted = (list: Record<string, unknown>[]): Record<string, unknown>[] =>
    list.sort((one, other) => (byName(one) < byName(other) ? -1 : 1));
  return {
    anchors: {
      verdict: anchors.verdict,
      size: anchors.size,
      root: anchors.root,
      findings: foundIn(anchors.findings),
    },
    first_bad:
      first === undefined ? null : { leaf: first.leaf, reason: first.reason, object: first.object ?? '' },
    findings: foundIn(report.findings),
    log: {
      // As verdicts are written: of the log and its streams together.
      verdict: worstOf([verdict, ...report.streams.map((stream) => stream.verdict)]),
      size,
      root,
      proven,
      deleted,
      reasons,
    },
    streams: sorted(
      report.streams.map((stream) => ({
        authenticated_to: stream.authenticatedTo,
        closed: stream.closed,
        deleted: stream.deleted,
        epoch: stream.epoch,
        events: stream.events,
        first_seq: stream.firstSeq,
        gateway: stream.gatewayId,
        last_seq: stream.lastSeq,
        org: stream.orgId,
        reasons: stream.reasons,
        silence_ms: stream.silenceMs,
        verdict: stream.verdict,
      })),
    ),
    population: sorted(
      report.population.map(({ day, events, gatewayId, orgId }) => ({
        day,
        events,
        gateway: gatewayId,
        org: orgId,
      })),
    ),
  };
}

const worstOf = (verdicts: readonly string[]): string =>
  ['broken', 'not verifiable here'].find((verdict) => verdicts.includes(verdict)) ?? 'intact';

/** 1 if anything is broken, else 2 if anything is not verifiable here, else 0. */
function exitOf({ anchors, log, streams }: Judgement): number {
  const verdicts = [anchors.verdict, log['verdict'], ...streams.map(({ verdict }) => verdict)];
  return verdicts.includes('broken') ? 1 : verdicts.includes('not verifiable here') ? 2 : 0;
}

/** Lets both judge, and demands that they agree. */
function agree(bucket: Bucket, keys: Keys): Judgement {
  const { exit, judgement } = judgeInGo(bucket, keys.root.key.vkey);
  const other = judgeInTypeScript(bucket, keys);
  expect(judgement).toEqual(other);
  expect(exit).toBe(exitOf(other));
  return judgement;
}

/** How a world is made: numbers from which everything follows. */
const worlds = fc.record({
  gateways: fc.integer({ min: 1, max: 3 }),
  calls: fc.integer({ min: 5, max: 60 }),
  restarts: fc.array(fc.record({ at: fc.nat(59), isLinked: fc.boolean(), isClosed: fc.boolean() }), {
    maxLength: 2,
  }),
  cuts: fc.array(fc.nat(250), { maxLength: 6 }),
  expired: fc.array(fc.record({ number: fc.nat(7), isAnchored: fc.boolean() }), { maxLength: 2 }),
  anchors: fc.boolean(),
});
type World = typeof worlds extends fc.Arbitrary<infer Of> ? Of : never;

function record({ gateways: count, calls, restarts }: World): { keys: Keys; datums: Uint8Array[] } {
  const gateways = Array.from(
    { length: count },
    (_, at) => new Gateway(at === 2 ? 'globex' : 'acme', `gw-${at}`),
  );
  const keys = new Keys(...gateways);
  const datums = gateways.map((gateway) => gateway.record('stream_open'));
  for (let call = 0; call < calls; call += 1) {
    for (const gateway of gateways) datums.push(gateway.record('tool_call', `tool-${call % 7}`));
    if (call % 9 === 8) for (const gateway of gateways) datums.push(gateway.record('seal'));
    for (const { at, isLinked, isClosed } of restarts) {
      if (at !== call) continue;
      if (isClosed) datums.push(gateways[0]!.record('stream_close'));
      gateways[0]!.restart(isLinked);
      datums.push(gateways[0]!.record('stream_open'));
    }
  }
  return { keys, datums };
}

/** The archive of these datums, every one a leaf whatever it is, as one who holds the archive's keys could write it. */
function archiveOf(keys: Keys, datums: readonly Uint8Array[], { cuts, expired, anchors }: World): Bucket {
  const archive = new Archive(keys);
  const firsts: number[] = [0];
  for (const [offset, datum] of datums.entries()) {
    const acceptance = new Acceptance({ partition: 0, partitions: 1 });
    const accepted = acceptance.accept(recordOf(offset, datum, 1_795_000_000_000 + offset * 3_600_000));
    if (accepted.outcome !== 'leaf') throw new Error(accepted.outcome);
    archive.appendLeaf(accepted.leaf);
    if (cuts.includes(offset) && offset + 1 < datums.length) firsts.push(archive.cut().end);
  }
  archive.cut();
  if (anchors) {
    for (const [name, note] of [...archive.bucket]) if (name.startsWith('checkpoint/')) archive.anchor(note);
  }
  const gone = new Set<number>();
  for (const { number, isAnchored } of expired) {
    const first = firsts[number];
    if (first === undefined || gone.has(first)) continue;
    gone.add(first);
    archive.expire(first, isAnchored);
  }
  return archive.bucket;
}

describe('the two verifiers agree', () => {
  test('about archives that nothing was done to, deleted segments and unlinked epochs included', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const { keys, datums } = record(world);
        const { log } = agree(archiveOf(keys, datums, world), keys);
        expect(log['verdict']).not.toBe('broken');
      }),
      { numRuns: 40 },
    );
  }, 300_000);

  const tampers = fc.oneof(
    ...(['removed', 'repeated', 'swapped', 'inserted', 'changed'] as const).map((what) => fc.constant(what)),
  );
  test('about archives that were signed anew with one event removed, repeated, swapped, inserted or changed', () => {
    fc.assert(
      fc.property(worlds, tampers, fc.nat(10_000), fc.nat(10_000), (world, what, somewhere, elsewhere) => {
        const { keys, datums } = record(world);
        const at = somewhere % datums.length;
        const to = elsewhere % datums.length;
        agree(archiveOf(keys, tamper(datums, what, at, to), { ...world, expired: [] }), keys);
      }),
      { numRuns: 100 },
    );
  }, 600_000);

  test('about archives of which a byte was flipped, or an object is lost, cut short, longer or another', () => {
    fc.assert(
      fc.property(
        worlds,
        fc.constantFrom('flip', 'flip', 'lose', 'lose', 'cut', 'lengthen', 'replace'),
        fc.nat(1 << 30),
        fc.nat(1 << 30),
        (world, what, which, where) => {
          const { keys, datums } = record(world);
          const bucket = archiveOf(keys, datums, world);
          const names = [...bucket.keys()].filter((name) => !name.startsWith('key/'));
          const name = names[which % names.length]!;
          const same = names.filter((other) => other.split('/')[0] === name.split('/')[0]);
          harm(bucket, what, name, same[where % same.length]!, where);
          agree(bucket, keys);
        },
      ),
      { numRuns: 200 },
    );
  }, 900_000);
});

describe('the two verifiers agree about rows', () => {
  test('of which a byte is another, in a frame that is as it must be', () => {
    fc.assert(
      fc.property(worlds, fc.nat(1 << 30), fc.nat(1 << 30), fc.nat(255), (world, which, where, value) => {
        const { keys, datums } = record(world);
        const bucket = archiveOf(keys, datums, { ...world, expired: [] });
        const names = [...bucket.keys()].filter((name) => name.startsWith('segment/'));
        const name = names[which % names.length]!;
        bucket.set(name, withOtherByte(bucket.get(name)!, where, value));
        agree(bucket, keys);
      }),
      { numRuns: 150 },
    );
  }, 600_000);
});

/** The same container of one block, one byte of its rows another. */
function withOtherByte(container: Uint8Array, where: number, value: number): Uint8Array {
  const bytes = Buffer.from(container);
  const marker = bytes.subarray(-16);
  const start = bytes.indexOf(marker) + 16;
  const frameAt = bytes.indexOf(Buffer.from('28b52ffd', 'hex'), start);
  // The count is one byte below 64 events and two above.
  const countEnd = start + (bytes[start]! < 128 ? 1 : 2);
  const rows = zstdDecompressSync(bytes.subarray(frameAt, -16));
  rows[where % rows.length] = value;
  const frame = zstdCompressSync(rows, { pledgedSrcSize: rows.length });
  const size: number[] = [];
  for (let rest = frame.length * 2; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      size.push(rest);
      break;
    }
    size.push((rest % 128) | 128);
  }
  return Buffer.concat([bytes.subarray(0, countEnd), Uint8Array.from(size), frame, marker]);
}

describe('what both call by one name', () => {
  const world: World = { gateways: 2, calls: 40, restarts: [], cuts: [20, 50], expired: [], anchors: true };
  const { keys, datums } = record(world);
  const archive = (): Bucket => archiveOf(keys, datums, world);
  const objects = (bucket: Bucket, kind: string): string[] =>
    [...bucket.keys()].filter((name) => name.startsWith(kind)).sort();

  test('a log rolled back to an earlier checkpoint', () => {
    const bucket = archive();
    for (const kind of ['checkpoint/', 'manifest/', 'segment/']) bucket.delete(objects(bucket, kind).at(-1)!);
    expect(agree(bucket, keys).first_bad).toMatchObject({ leaf: 51, reason: 'rollback' });
  });

  test('a checkpoint of another history, where no segment ends', () => {
    const bucket = archive();
    const text = Buffer.from(bucket.get(objects(bucket, 'checkpoint/')[0]!)!).toString();
    const root = /\n21\n(.*)\n/.exec(text)![1]!;
    const note = signCheckpoint({ origin: ORIGIN, size: 33, root: sha256Text(Buffer.from(root)) }, keys.log);
    bucket.set(checkpointName(ORIGIN, 33), note);
    expect(agree(bucket, keys).first_bad).toMatchObject({ leaf: 33, reason: 'checkpoint-form' });
  });

  test('a round of anchors that is cut short, empty, gone, another, or larger than a round', () => {
    const whole = archive();
    const [, name, next] = objects(whole, 'anchor/entries/');
    const round = whole.get(name!)!;
    const reasonOf = (altered: Uint8Array | undefined): string | undefined => {
      const bucket = archive();
      if (altered === undefined) bucket.delete(name!);
      else bucket.set(name!, altered);
      return agree(bucket, keys).anchors.findings[0]?.reason;
    };
    expect(reasonOf(round.slice(0, -1))).toBe('segment-form');
    expect(reasonOf(new Uint8Array())).toBe('segment-form');
    expect(reasonOf(undefined)).toBe('missing');
    expect(reasonOf(whole.get(next!)!)).toBe('root-mismatch');
    expect(reasonOf(bundleOf(Array(65_537).fill(new Uint8Array(1))))).toBe('segment-form');
    expect(reasonOf(bundleOf([...Array(1_200).fill(Buffer.from('no note'))]))).toBe('checkpoint-form');
  });

  test('a manifest that was deleted', () => {
    const bucket = archive();
    bucket.delete(objects(bucket, 'manifest/')[1]!);
    expect(agree(bucket, keys).first_bad).toMatchObject({ leaf: 21, reason: 'missing' });
  });

  test('a manifest that does not say where it ends', () => {
    const bucket = archive();
    const name = objects(bucket, 'manifest/')[1]!;
    bucket.set(
      name,
      Buffer.from(Buffer.from(bucket.get(name)!).toString().replace('{"end":51,', '{"end":51;')),
    );
    expect(agree(bucket, keys).first_bad).toMatchObject({ leaf: 21, reason: 'manifest-form' });
  });

  test('a row whose head is spelled in another way', () => {
    const bucket = archive();
    const name = objects(bucket, 'segment/')[0]!;
    bucket.set(name, withOtherByte(bucket.get(name)!, 2, 0));
    expect(agree(bucket, keys).log['reasons']).toMatchObject({ 'object-altered': 1, 'segment-form': 1 });
  });

  test('an object that was deleted without a tombstone', () => {
    const bucket = archive();
    bucket.delete(objects(bucket, 'segment/')[2]!);
    const { first_bad, log, streams } = agree(bucket, keys);
    expect(first_bad).toMatchObject({ leaf: 51, reason: 'missing' });
    // Nor can its events be judged: their streams are not intact.
    expect((log['reasons'] as Record<string, number>)['history-missing']).toBeGreaterThan(0);
    const touched = streams.filter(({ reasons }) => (reasons as string[]).includes('history-missing'));
    expect(touched.length).toBeGreaterThan(0);
    expect(touched.filter(({ verdict }) => verdict === 'intact')).toEqual([]);
  });

  test('a tombstone of another segment, of a stranger, and one byte of it', () => {
    const deleted = archiveOf(keys, datums, { ...world, expired: [{ number: 1, isAnchored: true }] });
    expect(agree(deleted, keys).log).toMatchObject({ verdict: 'intact', deleted: 30 });
    const name = objects(deleted, 'tombstone/')[0]!;
    const note = deleted.get(name)!;
    const other = archiveOf(keys, datums, { ...world, expired: [{ number: 2, isAnchored: true }] });
    const forgeries = [
      other.get(objects(other, 'tombstone/')[0]!)!,
      Buffer.from(
        Buffer.from(note).toString().replace('"decided_by":"retention"', '"decided_by":"somebody"'),
      ),
      Buffer.from(Buffer.from(note).toString().replace('/archive ', '/stranger ')),
      note.slice(0, -1),
    ];
    const reasons = forgeries.map((forged) => {
      const bucket = new Map(deleted).set(name, forged);
      const { log } = agree(bucket, keys);
      expect(log['verdict']).toBe('broken');
      return Object.keys(log['reasons'] as object).filter(
        (reason) => reason !== 'missing' && reason !== 'history-missing',
      );
    });
    expect(reasons).toEqual([['tombstone-form'], ['bad-signature'], ['unknown-key'], ['tombstone-form']]);
  });

  test('a segment of which one event was taken out, its other bytes left as they were', () => {
    const bucket = archive();
    const shorter = archiveOf(keys, datums.toSpliced(30, 1), { ...world, cuts: [20, 49] });
    const name = objects(bucket, 'segment/')[1]!;
    bucket.set(name, shorter.get(name)!);
    expect(agree(bucket, keys).log['reasons']).toMatchObject({ 'object-altered': 1, 'segment-form': 1 });
  });

  test("a key history that is not the root's leaves nothing intact", () => {
    const bucket = archive();
    for (const [at, name] of objects(bucket, 'key/').entries()) {
      const flipped = bucket.get(name)!.slice();
      flipped[50 + at]! ^= 1;
      const { exit, keys: verdict } = judgeInGo(new Map(bucket).set(name, flipped), keys.root.key.vkey);
      expect([verdict, exit]).toEqual(['broken', 1]);
    }
  });
});

function tamper(datums: Uint8Array[], what: string, at: number, to: number): Uint8Array[] {
  switch (what) {
    case 'removed':
      return datums.toSpliced(at, 1);
    case 'repeated':
      return datums.toSpliced(to, 0, datums[at]!);
    case 'swapped':
      return datums.with(at, datums[to]!).with(to, datums[at]!);
    case 'inserted':
      return datums.toSpliced(to, 0, changed(datums[at]!));
    default:
      return datums.with(at, changed(datums[at]!));
  }
}

/** The same event under another id, which any value may be. */
function changed(datum: Uint8Array): Uint8Array {
  const other = datum.slice();
  other[3]! ^= 1;
  return other;
}

function harm(bucket: Bucket, what: string, name: string, other: string, where: number): void {
  const bytes = bucket.get(name)!;
  if (what === 'lose') bucket.delete(name);
  else if (what === 'cut') bucket.set(name, bytes.slice(0, where % bytes.length));
  else if (what === 'lengthen') bucket.set(name, Uint8Array.from([...bytes, where % 256]));
  else if (what === 'replace') bucket.set(name, bucket.get(other)!);
  else {
    const flipped = bytes.slice();
    flipped[where % bytes.length]! ^= 1 << (where % 8);
    bucket.set(name, flipped);
  }
}
