import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type Parts, startTestParts } from '@cairn/local';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import avsc, { type Schema } from 'avsc';
import fc from 'fast-check';
import { locate } from '../test/locate.ts';
import { blockOf } from './block.ts';
import { Pages } from './pages.ts';
import { type Hints, planOf, type SchemaField, typeName } from './plan.ts';
import { openColumns, transpose, transpositionOf } from './transpose.ts';

/** A field's type, values of it, and whether it may be a hint's. */
interface Kind {
  readonly type: unknown;
  readonly value: fc.Arbitrary<unknown>;
}

const text = fc.string({ unit: 'grapheme', maxLength: 300 }).map((value) => value.toWellFormed());
const bytesOf = (size: number) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((of) => Buffer.from(of));
const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const long = fc
  .tuple(fc.integer({ min: -(2 ** 20), max: 2 ** 20 - 1 }), fc.nat(2 ** 31 - 1))
  .map(([high, low]) => high * 2 ** 31 + low);

let names = 0;
const named = (type: object): object => ({ ...type, name: `T${names++}` });

const scalar: fc.Arbitrary<Kind> = fc.oneof(
  fc.constant({ type: 'string', value: text }),
  fc.constant({ type: 'int', value: int }),
  fc.constant({ type: 'long', value: long }),
  fc.constant({ type: 'boolean', value: fc.boolean() }),
  fc.constant({ type: 'double', value: fc.double({ noNaN: true, noDefaultInfinity: true }) }),
  fc.constant({
    type: 'bytes',
    value: fc.string({ maxLength: 200 }).map((value) => Buffer.from(value.toWellFormed())),
  }),
  fc
    .integer({ min: 1, max: 70 })
    .map((size) => ({ type: named({ type: 'fixed', size }), value: bytesOf(size) })),
);
const enumeration: fc.Arbitrary<Kind> = fc.integer({ min: 1, max: 90 }).map((count) => {
  const symbols = Array.from({ length: count }, (_, index) => `symbol_${index}`);
  return { type: named({ type: 'enum', symbols }), value: fc.constantFrom(...symbols) };
});
const nullable: fc.Arbitrary<Kind> = scalar.map(({ type, value }) => ({
  type: ['null', type],
  value: fc.option(value, { nil: null }),
}));
const record: fc.Arbitrary<Kind> = fc
  .array(fc.oneof(scalar, nullable, enumeration), { minLength: 1, maxLength: 3 })
  .map((kinds) => ({
    type: named({
      type: 'record',
      fields: kinds.map(({ type }, index) => ({ name: `part_${index}`, type })),
    }),
    value: fc.record(Object.fromEntries(kinds.map(({ value }, index) => [`part_${index}`, value]))),
  }));
const list: fc.Arbitrary<Kind> = fc.oneof(scalar, nullable, enumeration, record).map(({ type, value }) => ({
  type: { type: 'array', items: type },
  value: fc.array(value, { maxLength: 5 }),
}));
const anyKind: fc.Arbitrary<Kind> = fc.oneof(scalar, nullable, enumeration, list, record);

/** A schema, hints about it, and rows. */
const cases = fc.array(fc.tuple(anyKind, fc.boolean()), { minLength: 1, maxLength: 8 }).chain((kinds) => {
  const fields: SchemaField[] = kinds.map(([{ type }], index) => ({ name: `field_${index}`, type }));
  const strings = kinds.flatMap(([{ type }, chosen], index) =>
    chosen && (type === 'string' || JSON.stringify(type) === '{"type":"array","items":"string"}')
      ? [`field_${index}`]
      : [],
  );
  const row = fc.record(Object.fromEntries(kinds.map(([{ value }], index) => [`field_${index}`, value])));
  return fc.record({
    fields: fc.constant(fields),
    hints: fc.constant<Hints>({ uuids: new Set(), dictionaries: new Set(strings) }),
    rows: fc.array(row, { minLength: 1, maxLength: 30 }),
  });
});

/** The datums of rows, one after the other, and where each begins. */
function datumsOf(
  fields: readonly SchemaField[],
  rows: readonly unknown[],
): { bytes: Buffer; starts: number[] } {
  const type = avsc.Type.forSchema({ type: 'record', name: 'Row', fields } as unknown as Schema, {
    wrapUnions: 'never',
  });
  const datums = rows.map((row) => type.toBuffer(row));
  const starts: number[] = [];
  let at = 0;
  for (const datum of datums) {
    starts.push(at);
    at += datum.length;
  }
  return { bytes: Buffer.concat(datums), starts };
}

/** Used again from block to block, as in ingest. */
const pages = new Pages();
const TOGETHER = 7;

function nativeOf(
  writer: readonly SchemaField[],
  reader: readonly SchemaField[],
  hints: Hints,
  rows: readonly unknown[],
): Buffer {
  const columns = planOf(reader, hints);
  const streams = openColumns(columns, pages);
  const { bytes, starts } = datumsOf(writer, rows);
  const written = planOf(writer, hints);
  const places = Uint16Array.from(
    starts.flatMap((start) => locate(written, bytes, start).map((at) => at - start)),
  );
  for (let from = 0; from < rows.length; from += TOGETHER) {
    const together = Math.min(TOGETHER, rows.length - from);
    const datums = {
      bytes,
      starts: Int32Array.from(starts.slice(from, from + together)),
      places: places.subarray(from * writer.length),
      stride: writer.length,
      rows: together,
    };
    transpose(transpositionOf(writer, reader, hints), datums, streams);
  }
  const block = Buffer.concat(blockOf(columns, streams, rows.length));
  // What comes after is written over it, and must find zeros.
  for (const stream of streams) stream.release();
  return block;
}

async function containerOf(fields: readonly SchemaField[], rows: readonly unknown[]): Promise<Buffer> {
  const schema = { type: 'record', name: 'Row', fields } as unknown as Schema;
  const encoder = new avsc.streams.BlockEncoder(avsc.Type.forSchema(schema, { wrapUnions: 'never' }));
  for (const row of rows) encoder.write(row);
  encoder.end();
  return buffer(encoder);
}

describe('a Native block', () => {
  let directory: string;
  let parts: Parts;
  let client: ClickHouseClient;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'cairn-native-'));
    parts = await startTestParts({ directory, parts: ['clickhouse'] });
    client = createClient({ url: parts.part('clickhouse').address });
  }, 120_000);
  afterAll(async () => {
    await client?.close();
    await parts?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  /** What ClickHouse itself reads of a body. */
  const read = async (structure: string, format: string, body: Buffer): Promise<unknown[]> => {
    const table = `t_${names++}`;
    await client.command({ query: `CREATE TABLE ${table} (n UInt64, ${structure}) ENGINE = Memory` });
    const columns = structure.split(/, (?=field_)/).map((column) => column.split(' ')[0]);
    const { stream } = await client.exec({
      query: `INSERT INTO ${table} SELECT rowNumberInAllBlocks(), ${columns.join(', ')}
        FROM input('${structure.replaceAll("'", "\\'")}') FORMAT ${format}`,
      values: Readable.from([body], { objectMode: false }),
      clickhouse_settings: { max_insert_threads: '1' },
    });
    for await (const _ of stream);
    const hexed = columns.map((column) => `toJSONString(${column}) AS ${column}`).join(', ');
    const answer = await client.query({
      query: `SELECT ${hexed} FROM ${table} ORDER BY n`,
      format: 'JSONEachRow',
    });
    const rows = await answer.json();
    await client.command({ query: `DROP TABLE ${table}` });
    return rows;
  };
  const structureOf = (fields: readonly SchemaField[], hints: Hints): string =>
    planOf(fields, hints)
      .map(({ name, plan }) => `${name} ${typeName(plan)}`)
      .join(', ');

  test('is read as the same rows as the Avro container of any schema that has columns', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ fields, hints, rows }) => {
        const structure = structureOf(fields, hints);
        const fromAvro = await read(structure, 'Avro', await containerOf(fields, rows));
        const fromNative = await read(structure, 'Native', nativeOf(fields, fields, hints, rows));
        expect(fromNative).toEqual(fromAvro);
      }),
      { numRuns: 60 },
    );
  }, 120_000);

  test('holds events of an older schema with the defaults of what that did not know', async () => {
    const older: SchemaField[] = [
      { name: 'field_0', type: 'string' },
      { name: 'field_1', type: { type: 'enum', name: 'E', symbols: ['b', 'a'] } },
      { name: 'field_2', type: 'int' },
      { name: 'field_gone', type: { type: 'array', items: 'string' } },
      { name: 'field_3', type: 'string' },
    ];
    const latest: SchemaField[] = [
      { name: 'field_0', type: 'string' },
      { name: 'field_new', type: ['null', 'long'], default: null },
      { name: 'field_1', type: { type: 'enum', name: 'E', symbols: ['a', 'b', 'c'] } },
      { name: 'field_2', type: 'long' },
      { name: 'field_list', type: { type: 'array', items: 'string' }, default: [] },
      { name: 'field_text', type: 'string', default: 'none' },
      { name: 'field_3', type: 'string' },
    ];
    const hints: Hints = { uuids: new Set(), dictionaries: new Set(['field_text']) };
    const rows = [
      { field_0: 'x', field_1: 'a', field_2: -7, field_gone: ['p', 'q'], field_3: 'y' },
      { field_0: '', field_1: 'b', field_2: 2 ** 31 - 1, field_gone: [], field_3: 'z' },
    ];
    const read1 = await read(structureOf(latest, hints), 'Native', nativeOf(older, latest, hints, rows));
    expect(read1).toEqual([
      {
        field_0: '"x"',
        field_new: null,
        field_1: '"a"',
        field_2: '-7',
        field_list: '[]',
        field_text: '"none"',
        field_3: '"y"',
      },
      {
        field_0: '""',
        field_new: null,
        field_1: '"b"',
        field_2: '2147483647',
        field_list: '[]',
        field_text: '"none"',
        field_3: '"z"',
      },
    ]);
  });

  test.each([1, 256, 257, 65_536, 65_537])(
    'keeps %d different texts of one dictionary apart',
    async (count) => {
      const fields: SchemaField[] = [{ name: 'field_0', type: 'string' }];
      const hints: Hints = { uuids: new Set(), dictionaries: new Set(['field_0']) };
      const rows = Array.from({ length: count + 10 }, (_, index) => ({ field_0: `text-${index % count}` }));
      const found = await read(structureOf(fields, hints), 'Native', nativeOf(fields, fields, hints, rows));
      expect(found).toEqual(rows.map(({ field_0 }) => ({ field_0: JSON.stringify(field_0) })));
    },
  );

  test('writes a UUID so that it prints as RFC 9562 has it', async () => {
    const fields: SchemaField[] = [{ name: 'field_0', type: { type: 'fixed', name: 'Id', size: 16 } }];
    const hints: Hints = { uuids: new Set(['field_0']), dictionaries: new Set() };
    const rows = [{ field_0: Buffer.from('0198c0de00017abc8def0123456789ab', 'hex') }];
    const found = await read(structureOf(fields, hints), 'Native', nativeOf(fields, fields, hints, rows));
    expect(found).toEqual([{ field_0: '"0198c0de-0001-7abc-8def-0123456789ab"' }]);
  });
});

describe('a schema', () => {
  const none: Hints = { uuids: new Set(), dictionaries: new Set() };

  test.each([
    ['a union of two types', ['string', 'int']],
    ['a nullable array', ['null', { type: 'array', items: 'string' }]],
    ['a map', { type: 'map', values: 'string' }],
  ])('with %s has no columns, and says so', (_what, type) => {
    expect(() => planOf([{ name: 'field', type }], none)).toThrow();
  });

  test('that changed a field into another type is refused before any row is read', () => {
    const before = [{ name: 'field', type: 'string' }];
    const after = [{ name: 'field', type: 'int' }];
    expect(() => transpositionOf(before, after, none)).toThrow('written as another type');
  });
});
