// What Cairn writes before tools that nobody here wrote; and each of them refuses it after a change.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openClickHouse, openObjectStore, requestTimestamp } from '@cairn/adapters';
import { decodeDatum, formatUuid } from '@cairn/event';
import {
  anchorCheckpointName,
  type EvidenceVerdict,
  hexOfHash,
  parseObjectName,
  segmentName,
  timestampName,
} from '@cairn/ledger';
import { type Parts, S3_ACCESS_KEY, S3_SECRET_KEY, startParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type OpensslAuthority, startAuthority } from '../../adapters/test/openssl-authority.ts';
import { Archive, DEPLOYMENT, Folder, Gateway, Keys, ORIGIN, worldOf } from './testing/archive-on-disk.ts';
import { fsck, judge } from './testing/go-tools.ts';
import { cairn } from './testing/run-cairn.ts';

const folder = new Folder();
const LEAVES = 70_000;
let large: Archive;
let largeDatums: Uint8Array[];
let root: string;

/** A log that goes beyond one segment and one tile of level 1. */
beforeAll(() => {
  const gateway = new Gateway('acme', 'gw-1');
  large = new Archive(new Keys(gateway));
  root = large.keys.root.key.vkey;
  largeDatums = Array.from({ length: LEAVES }, (_, at) =>
    gateway.record(
      at === 0 ? 'stream_open' : at % 256 === 255 || at === LEAVES - 1 ? 'seal' : 'tool_call',
      `tool-${at % 7}`,
    ),
  );
  for (const datum of largeDatums) large.append(datum);
  large.cut();
  folder.writeBucket('large', large.bucket);
}, 120_000);
afterAll(() => folder[Symbol.dispose]());

const flip = (path: string, at: number): void => {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
};

describe('an exported log of 70,000 leaves', () => {
  let tiles: string;
  let vkey: string;
  beforeAll(async () => {
    tiles = folder.file('tiles');
    const said = await cairn([
      'export',
      'tlog',
      tiles,
      '--from',
      folder.file('large'),
      '--root',
      root,
      '--json',
    ]);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    const { vkeys, size } = JSON.parse(said.stdout) as { vkeys: string[]; size: number };
    expect(size).toBe(LEAVES);
    vkey = folder.write('log.vkey', vkeys[0]!);
  }, 120_000);

  test("passes Tessera's fsck, which computes every leaf and every tile anew", () => {
    const said = fsck(tiles, vkey);
    expect(said.text).toContain("Successfully fsck'd");
    expect(said.accepts).toBe(true);
  }, 120_000);

  test.each([
    ['an entry', 'tile/entries/100', 500],
    ['a hash of a leaf', 'tile/0/200', 40],
    ['a hash of a level above', 'tile/1/000', 64],
    ['the checkpoint', 'checkpoint', 50],
  ])(
    'is refused by fsck with one bit of %s turned',
    (_, file, at) => {
      const copy = folder.file(`tiles-${file.replaceAll('/', '-')}`);
      cpSync(tiles, copy, { recursive: true });
      flip(join(copy, file), at);
      expect(fsck(copy, vkey)).toMatchObject({ accepts: false });
    },
    120_000,
  );

  test("gives Go's tlog every leaf that it asks for, proven under the root; with one bit turned it does not", () => {
    const checkpoint = join(tiles, 'checkpoint');
    expect(judge('tree', checkpoint, readFileSync(vkey, 'utf8'), tiles)).toEqual({
      accepts: true,
      text: '71 leaves of 70000\n',
    });
    const copy = folder.file('tiles-tlog');
    cpSync(tiles, copy, { recursive: true });
    flip(join(copy, 'tile/0/070'), 1_000);
    expect(judge('tree', checkpoint, readFileSync(vkey, 'utf8'), copy).accepts).toBe(false);
  });
});

describe('notes and proofs', () => {
  const { archive, datums } = worldOf(30, 40);
  const { keys } = archive;

  test("open with Go's note: statements about keys, manifests, checkpoints of logs and of the anchor log", () => {
    const vkeys = {
      key: keys.root.key.vkey,
      manifest: keys.archive.key.vkey,
      checkpoint: keys.log.key.vkey,
      'anchor-checkpoint': keys.anchor.key.vkey,
    };
    const kinds = new Set<string>();
    for (const [name, note] of archive.bucket) {
      const kind = parseObjectName(name)?.kind;
      if (kind === undefined || !(kind in vkeys)) continue;
      kinds.add(kind);
      const vkey = vkeys[kind as keyof typeof vkeys];
      const said = judge('note', vkey, folder.write('some.note', note));
      expect([name, said.accepts]).toEqual([name, true]);
      expect(Buffer.from(note).toString().startsWith(`${said.text}\n— `)).toBe(true);
      const changed = note.with(20, note[20]! ^ 1);
      expect([name, judge('note', vkey, folder.write('some.note', changed)).accepts]).toEqual([name, false]);
    }
    expect([...kinds].sort()).toEqual(Object.keys(vkeys).sort());
  });

  test('hold for torchwood: of an event in its log, of its checkpoint in the anchor log; and not after a change', async () => {
    const from = folder.writeBucket('small', archive.bucket);
    const id = formatUuid(decodeDatum(datums[51]!).event_id);
    const out = folder.file('proof');
    await cairn(['proof', id, '--from', from, '--root', keys.root.key.vkey, '--out', out, '--scan']);
    for (const [name, vkey] of [
      [`${id}.tlog-proof`, keys.log.key.vkey],
      [`${id}.anchor.tlog-proof`, keys.anchor.key.vkey],
    ] as const) {
      const path = join(out, name);
      expect(judge('proof', vkey, path)).toMatchObject({ accepts: true });
      flip(path, 60);
      expect(judge('proof', vkey, path)).toMatchObject({ accepts: false });
    }
    const said = judge('proof', keys.log.key.vkey, join(out, `${id}.tlog-proof`));
    expect(said.accepts).toBe(false);
  });

  test('say the leaf hash that the archive has', async () => {
    const id = formatUuid(decodeDatum(datums[51]!).event_id);
    const from = folder.writeBucket('again', archive.bucket);
    const args = [
      'proof',
      id,
      '--from',
      from,
      '--root',
      keys.root.key.vkey,
      '--out',
      folder.file('hash'),
      '--scan',
      '--json',
    ];
    const { leaf } = JSON.parse((await cairn(args)).stdout) as { leaf: number };
    const said = judge('proof', keys.log.key.vkey, folder.file(`hash/${id}.tlog-proof`));
    expect(said.text.trim()).toBe(hexOfHash(archive.leafHashes[leaf]!));
  });
});

describe('a timestamp of an anchor checkpoint', () => {
  let authority: OpensslAuthority;
  beforeAll(async () => {
    authority = await startAuthority('tsa-1');
  });
  afterAll(async () => authority?.[Symbol.asyncDispose]());

  test('is verified by openssl and by cairn verify, out of an archive and out of a bundle; not after a change', async () => {
    const { archive } = worldOf(30, 40);
    const note = archive.bucket.get(anchorCheckpointName(3))!;
    const { response, genTime } = await requestTimestamp(authority.authority, note);
    archive.bucket.set(timestampName(3, 'tsa-1'), new Uint8Array(response));
    const directory = folder.writeBucket('stamped', archive.bucket);
    const kept = readFileSync(join(directory, timestampName(3, 'tsa-1')));
    expect(authority.verify(kept, readFileSync(join(directory, anchorCheckpointName(3))))).toBe(
      'Verification: OK',
    );
    expect(authority.verify(kept, note.with(3, 0))).toContain('imprint mismatch');

    const ca = folder.write('ca.pem', authority.authority.caCertificates);
    const verdictOf = async (where: string): Promise<EvidenceVerdict> =>
      JSON.parse(
        (await cairn(['verify', where, '--root', archive.keys.root.key.vkey, '--time-ca', ca, '--json']))
          .stdout,
      );
    const stamp = { authority: 'tsa-1', size: 3, time: genTime.toISOString(), verdict: 'intact' };
    expect(await verdictOf(directory)).toMatchObject({ verdict: 'intact', anchors: { timestamps: [stamp] } });

    const bundle = folder.file('stamped.tar');
    const key = folder.writeKey('archive.pem', archive.keys.archive.privateKey);
    const args = [
      '--org',
      'acme',
      '--from',
      '2026-11-18',
      '--to',
      '2026-11-19',
      '--archive',
      directory,
      '--key',
      key,
    ];
    expect((await cairn(['bundle', bundle, ...args, '--root', archive.keys.root.key.vkey])).code).toBe(0);
    expect(await verdictOf(bundle)).toMatchObject({ verdict: 'intact', anchors: { timestamps: [stamp] } });

    flip(join(directory, timestampName(3, 'tsa-1')), kept.length - 10);
    const changed = await verdictOf(directory);
    expect(changed.anchors.timestamps[0]!.verdict).not.toBe('intact');
    expect(changed.logs[0]!.reasons).toMatchObject({ 'time-missing': 1 });
  }, 60_000);
});

describe('ClickHouse', () => {
  const BUCKET = 'cairn-judges';
  let parts: Parts;
  let address: string;
  beforeAll(async () => {
    parts = await startParts({ directory: folder.file('parts'), parts: ['clickhouse', 's3'], ports: 'any' });
    address = parts.part('s3').address;
    await using store = await openObjectStore({
      endpoint: address,
      bucket: BUCKET,
      accessKey: S3_ACCESS_KEY,
      secretKey: S3_SECRET_KEY,
    });
    await store.ensureBucket();
    const lock = { mode: 'COMPLIANCE', retainUntil: new Date(Date.now() + 5_000) } as const;
    for (const [name, bytes] of large.bucket) await store.putLocked(name, bytes, lock);
    const altered = large.bucket.get(segmentName(ORIGIN, 0, 1))!;
    await store.putLocked('segment/altered.avro', altered.with(60_000, altered[60_000]! ^ 1), lock);
  }, 180_000);
  afterAll(async () => parts?.[Symbol.asyncDispose]());

  const rowsOf = async (key: string, select: string): Promise<Record<string, unknown>[]> => {
    await using clickhouse = openClickHouse({ url: parts.part('clickhouse').address });
    return clickhouse.query(
      `SELECT ${select} FROM s3('${address}/${BUCKET}/${key}', '${S3_ACCESS_KEY}', '${S3_SECRET_KEY}', 'Avro') ORDER BY offset`,
      {},
      { output_format_json_quote_64bit_integers: 0 },
    );
  };

  test('reads a segment where it lies: offsets, values, and in every event the leaf hash of the one before', async () => {
    const rows = await rowsOf(
      segmentName(ORIGIN, 0, 1),
      'offset, seq, tool_name, hex(prev_hash) AS prev_hash',
    );
    expect(rows).toHaveLength(65_536);
    const differing = rows.findIndex((row, at) => {
      const { seq, tool_name: toolName } = decodeDatum(largeDatums[at]!);
      const link = at === 0 ? row['prev_hash'] : hexOfHash(large.leafHashes[at - 1]!).toUpperCase();
      return (
        row['offset'] !== at ||
        row['seq'] !== seq ||
        row['tool_name'] !== toolName ||
        row['prev_hash'] !== link
      );
    });
    expect(differing).toBe(-1);
  }, 60_000);

  test('does not read it as it was with one bit turned', async () => {
    // A bit may hit what ClickHouse refuses, or a value that it cannot know to be another one.
    const digestsOf = async (key: string): Promise<string> =>
      (await rowsOf(key, 'toString(sipHash64(toString(tuple(*)))) AS digest'))
        .map(({ digest }) => digest)
        .join();
    const whole = await digestsOf(segmentName(ORIGIN, 0, 1));
    expect(whole.split(',')).toHaveLength(65_536);
    const altered = await digestsOf('segment/altered.avro').catch(() => 'refused');
    expect(altered === whole).toBe(false);
  }, 60_000);

  test('and S3 give cairn verify the archive out of the bucket: 70,000 leaves intact', async () => {
    const env = { S3_ENDPOINT: address, S3_ACCESS_KEY, S3_SECRET_KEY, CAIRN_ROOT_KEY: root };
    const said = await cairn(['verify', `s3://${BUCKET}`, '--json'], { env });
    const verdict = JSON.parse(said.stdout) as EvidenceVerdict;
    expect(verdict).toMatchObject({
      deployment: DEPLOYMENT,
      verdict: 'intact',
      logs: [{ origin: ORIGIN, size: LEAVES, proven: LEAVES }],
    });
    expect(said.code).toBe(0);
  }, 60_000);
});
