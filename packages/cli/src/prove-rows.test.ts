import { decodeDatum, hexOf, leafHash } from '@cairn/event';
import { ANSWER_FIELDS } from '@cairn/query';
import { afterAll, describe, expect, test } from '@jest/globals';
import { ecsOf, ocsfOf, type StoredEvent } from '../../siem/src/index.ts';
import { Folder, ORIGIN, worldOf } from './testing/archive-on-disk.ts';
import { cairn } from './testing/run-cairn.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const { archive, datums } = worldOf(20, 25);
const bucket = folder.writeBucket('archive', archive.bucket);
const env = { CAIRN_ROOT_KEY: archive.keys.root.key.vkey };

/** Rows as an export has them. */
const rows = [...datums.entries()].map(([offset, datum]) => {
  const event = decodeDatum(datum) as unknown as Record<string, unknown>;
  const [, topic = ''] = ORIGIN.split('/');
  const place = { topic, partition: 0, offset, received_at: 1_795_000_000_000 + offset * 10 };
  const shown = ANSWER_FIELDS.map((name) => {
    const value = event[name];
    return [name, value instanceof Uint8Array ? hexOf(value) : (value ?? '')];
  });
  return {
    ...place,
    leaf_hash: hexOf(leafHash(1, datum)),
    leaf_index: offset as number | null,
    ...(Object.fromEntries(shown) as Record<string, unknown>),
  };
});

const ALL = rows.length;
let files = 0;
function prove(lines: readonly object[]) {
  const end = { _end: { count: lines.length } };
  return proveText([...lines, end].map((line) => `${JSON.stringify(line)}\n`).join(''));
}

async function proveText(text: string) {
  files += 1;
  const file = folder.write(`rows-${files}`, text);
  const said = await cairn(['proof', '--rows', file, '--from', bucket, '--json'], { env });
  return {
    code: said.code,
    values: said.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  };
}

describe('an export', () => {
  test('of which every row is what the archive holds is proven to its last row', async () => {
    const { code, values } = await prove(rows);
    expect(values).toEqual([{ rows: ALL, proven: ALL, wrong: 0, unarchived: 0, deleted: 0 }]);
    expect(code).toBe(0);
  });

  test.each([
    ['agent_id', 'another', 'its agent_id is not that of leaf 31'],
    ['decision', 'allow?', 'its decision is not that of leaf 31'],
    ['leaf_hash', '0'.repeat(64), 'its leaf hash is not that of leaf 31'],
    ['leaf_index', 30, 'it says leaf 30, and is leaf 31'],
    ['received_at', 1, 'its received_at is not that of leaf 31'],
  ])('with one altered %s is told by its line, and the rest is proven', async (field, value, reason) => {
    const { code, values } = await prove(
      rows.map((row, at) => (at === 31 ? { ...row, [field]: value } : row)),
    );
    expect(values).toEqual([
      { line: 32, reason },
      { rows: ALL, proven: ALL - 1, wrong: 1, unarchived: 0, deleted: 0 },
    ]);
    expect(code).toBe(1);
  });

  test('with a row that is not archived yet is not said to be proven', async () => {
    const late = { ...rows.at(-1)!, offset: ALL, leaf_index: null };
    const { code, values } = await prove([...rows, late]);
    expect(code).toBe(2);
    expect(values).toEqual([{ rows: ALL + 1, proven: ALL, wrong: 0, unarchived: 1, deleted: 0 }]);
  });

  test('in OCSF or ECS is proven by leaf hash and index, which stand in each record', async () => {
    for (const map of [ocsfOf, ecsOf]) {
      const records = rows.map((row) => ({ ...map(row as unknown as StoredEvent) }));
      expect(await prove(records)).toMatchObject({ code: 0, values: [{ proven: ALL }] });
      const forged = records.map((record) =>
        JSON.parse(JSON.stringify(record).replace('"leaf_index":12', '"leaf_index":13')),
      );
      expect((await prove(forged)).values[0]).toEqual({
        line: 13,
        reason: 'it says leaf 13, and is leaf 12',
      });
    }
  });

  test('in JSON is compared field by field, as its lines are those of NDJSON', async () => {
    const json = (of: readonly object[]) =>
      `{"events":[\n${of.map((row) => JSON.stringify(row)).join(',\n')}\n],"count":${of.length},"next":null}\n`;
    expect(await proveText(json(rows))).toMatchObject({ code: 0, values: [{ rows: ALL, proven: ALL }] });
    const altered = rows.map((row, at) => (at === 31 ? { ...row, agent_id: 'another' } : row));
    expect((await proveText(json(altered))).values[0]).toEqual({
      line: 33,
      reason: 'its agent_id is not that of leaf 31',
    });
    expect(await proveText(json([]))).toMatchObject({ code: 0, values: [{ rows: 0 }] });
  });

  test('in CSV is proven by leaf hash and index, whatever line breaks, quotes and commas its cells hold', async () => {
    const csv = (of: typeof rows) =>
      [
        '"timestamp","agent_id","topic","partition","offset","leaf_hash","leaf_index"',
        ...of.map(
          ({ topic, offset, leaf_hash: hash, leaf_index: index }) =>
            `1,"a ""quoted"",\r\n,name",${JSON.stringify(topic)},0,${offset},"${hash}",${index ?? ''}`,
        ),
      ]
        .map((record) => `${record}\r\n`)
        .join('');
    expect(await proveText(csv(rows))).toMatchObject({ code: 0, values: [{ rows: ALL, proven: ALL }] });
    const unknown = rows.map((row) => ({ ...row, leaf_index: null }));
    expect(await proveText(csv(unknown))).toMatchObject({ code: 0, values: [{ proven: ALL }] });
    const forged = rows.map((row, at) => (at === 12 ? { ...row, leaf_index: 13 } : row));
    // Two lines a record, behind the header.
    expect((await proveText(csv(forged))).values[0]).toEqual({
      line: 26,
      reason: 'it says leaf 13, and is leaf 12',
    });
  });

  test('in CSV that was cut off in the midst of a row, or has no number where one belongs, is refused and not half proven', async () => {
    const head = 'topic,partition,offset,leaf_hash,leaf_index,agent_id\r\n';
    for (const [broken, line] of [
      ['t,0,1,aa,1,"cut', 2],
      ['t,0,1,aa,x,b\r\n', 2],
      ['\r\nt,0,,aa,1,b\r\n', 3],
    ] as const) {
      const file = folder.write('broken', head + broken);
      const said = await cairn(['proof', '--rows', file, '--from', bucket], { env });
      expect([said.code, said.stderr]).toEqual([1, expect.stringContaining(`line ${line}`)]);
    }
  });

  test('in Parquet that was cut off, or is none behind its first bytes, is refused and not half proven', async () => {
    for (const broken of ['PAR1', `PAR1${'x'.repeat(200)}PAR1`, `PAR1${'\u0000'.repeat(200)}`]) {
      const file = folder.write('broken', broken);
      const said = await cairn(['proof', '--rows', file, '--from', bucket], { env });
      expect([said.code, said.stderr]).toEqual([1, expect.stringContaining('row 1 of')]);
      expect(said.stderr).toContain('export.unreadable');
    }
  });

  test('that is none is refused by its first line', async () => {
    const file = folder.write('none', 'timestamp,topic\n1,2\n');
    const said = await cairn(['proof', '--rows', file, '--from', bucket], { env });
    expect([said.code, said.stderr]).toEqual([1, expect.stringContaining('line 1')]);
  });
});
